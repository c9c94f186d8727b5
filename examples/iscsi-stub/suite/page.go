package main

import (
	"fmt"
	"slices"
	"strings"
)

// page is docs/iscsi-conformance.md, made of the expected results.
func page(all []result) string {
	var b strings.Builder
	b.WriteString(`<!-- made of expected.tsv by "go run ./examples/iscsi-stub/suite -page"; do not edit -->
# iscsi-stub: conformance

What Debian's iscsi-test-cu (libiscsi 1.19) makes of examples/iscsi-stub. ` + "`make check-iscsi`" + ` runs it, in CI too, and fails if
any result is not the one that is kept in ` + "[expected.tsv](../examples/iscsi-stub/suite/expected.tsv)" + `. Each test runs on the kind of
logical unit that it is for:

`)
	table(&b, all, profiles[:standard])
	b.WriteString("\nThe same tests where they may differ:\n\n")
	table(&b, all, profiles[standard:])
	b.WriteString("\n## By command\n\nPassed, of the tests that are for the kind of logical unit.\n\n| suite | passed | of |\n|---|---|---|\n")
	bySuite(&b, all)
	b.WriteString("\n## What does not pass, and why\n\n| kind | test | result | reason |\n|---|---|---|---|\n")
	for _, r := range all {
		if r.outcome != "PASS" {
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", r.profile, r.test, r.outcome, strings.ReplaceAll(r.why, "|", `\|`))
		}
	}
	return b.String()
}

func table(b *strings.Builder, all []result, some []profile) {
	b.WriteString("| logical unit | | tests | passed | failed | skipped |\n|---|---|---|---|---|---|\n")
	var sum count
	for _, p := range some {
		var c count
		for _, r := range all {
			if r.profile == p.name {
				c.add(r)
				sum.add(r)
			}
		}
		fmt.Fprintf(b, "| %s | %s | %d | %d | %d | %d |\n", p.name, p.about, c.tests, c.passed, c.failed, c.skipped)
	}
	fmt.Fprintf(b, "| all | | %d | %d | %d | %d |\n", sum.tests, sum.passed, sum.failed, sum.skipped)
}

type count struct{ tests, passed, failed, skipped int }

func (c *count) add(r result) {
	c.tests++
	switch r.outcome {
	case "PASS":
		c.passed++
	case "SKIP":
		c.skipped++
	default:
		c.failed++
	}
}

// bySuite has a line for each suite of the tool, in its order.
func bySuite(b *strings.Builder, all []result) {
	var suites []string
	counts := make(map[string]*count)
	for _, r := range all {
		if !slices.ContainsFunc(profiles[:standard], func(p profile) bool { return p.name == r.profile }) {
			continue
		}
		suite := r.test[:strings.LastIndexByte(r.test, '.')]
		if counts[suite] == nil {
			counts[suite] = new(count)
			suites = append(suites, suite)
		}
		counts[suite].add(r)
	}
	slices.Sort(suites)
	for _, s := range suites {
		fmt.Fprintf(b, "| %s | %d | %d |\n", s, counts[s].passed, counts[s].tests)
	}
}
