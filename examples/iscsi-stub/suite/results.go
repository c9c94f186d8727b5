package main

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
)

// result is what became of a test on a profile, or is expected to.
type result struct {
	profile, test string
	outcome       string // PASS, SKIP, FAIL, TIMEOUT, CRASH or NOLOGIN
	why           string // what the test said; in the expected results, why that is right
}

const header = "# profile\ttest\tresult\twhy it does not pass\n"

// readResults reads expected.tsv.
func readResults(file string) ([]result, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var all []result
	for n, line := range strings.Split(string(text), "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Split(line, "\t")
		if len(f) != 4 || f[2] != "PASS" && f[3] == "" {
			return nil, fmt.Errorf("%s:%d: wants a profile, a test, a result and, unless that is PASS, a reason", file, n+1)
		}
		all = append(all, result{f[0], f[1], f[2], f[3]})
	}
	return all, nil
}

func writeResults(file string, all []result) error {
	var b bytes.Buffer
	b.WriteString(header)
	for _, r := range all {
		fmt.Fprintf(&b, "%s\t%s\t%s\t%s\n", r.profile, r.test, r.outcome, r.why)
	}
	return os.WriteFile(file, b.Bytes(), 0o644)
}

// readRun reads what the script writes: test, result, milliseconds, why.
func readRun(file, profile string) ([]result, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var all []result
	for line := range strings.Lines(string(text)) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(f) != 4 {
			return nil, fmt.Errorf("%s has the line %q", file, line)
		}
		r := result{profile: profile, test: f[0], outcome: f[1], why: strings.TrimSpace(f[3])}
		if r.outcome == "PASS" {
			r.why = ""
		}
		all = append(all, r)
	}
	return all, nil
}

func find(all []result, like result) (result, bool) {
	i := slices.IndexFunc(all, func(r result) bool { return r.profile == like.profile && r.test == like.test })
	if i < 0 {
		return result{}, false
	}
	return all[i], true
}

// differences says where results are not as expected, a line each. What is better than
// expected is one too, or the file would not be true.
func differences(expected, got []result) (lines []string) {
	for _, r := range got {
		want, known := find(expected, r)
		switch {
		case !known:
			lines = append(lines, fmt.Sprintf("%s: %s is %s, and not among the expected results. %s", r.profile, r.test, r.outcome, r.why))
		case want.outcome != r.outcome:
			lines = append(lines, fmt.Sprintf("%s: %s is %s, not %s. %s", r.profile, r.test, r.outcome, want.outcome, r.why))
		}
	}
	for _, want := range expected {
		if _, ran := find(got, want); !ran {
			lines = append(lines, fmt.Sprintf("%s: %s has not run", want.profile, want.test))
		}
	}
	return lines
}

// explained are results with the reasons that were given before for the same ones.
func explained(expected, got []result) []result {
	all := slices.Clone(got)
	for i, r := range all {
		if before, ok := find(expected, r); ok && before.outcome == r.outcome {
			all[i].why = before.why
		}
	}
	return all
}
