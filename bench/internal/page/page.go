// Package page writes parts of the results page: Markdown.
package page

import (
	"fmt"
	"io"
	"strings"

	"github.com/nsreactor/nsreactor/bench/internal/record"
)

// Head writes a part's heading, and what was run on what.
func Head(w io.Writer, title string, args []string, m record.Machine, seconds float64) {
	fmt.Fprintf(w, "\n## %s\n", title)
	About(w, args, m, seconds)
}

// About writes what was run on what.
func About(w io.Writer, args []string, m record.Machine, seconds float64) {
	fmt.Fprintf(w, "\n`cd bench && go run . %s`, %.0f s, on %d × %s, Linux %s, %s, %s; commit %s, %s.\n",
		strings.Join(args, " "), seconds, m.CPUs, m.CPU, m.Kernel, m.Go, m.Compiler, m.Commit, m.Date)
}

// Text writes a paragraph.
func Text(w io.Writer, format string, args ...any) { fmt.Fprintf(w, "\n"+format+"\n", args...) }

// Table writes a table: the first column to the left, figures to the right.
func Table(w io.Writer, head []string, rows [][]string) {
	if len(rows) == 0 {
		return
	}
	fmt.Fprintf(w, "\n| %s |\n|%s\n", strings.Join(head, " | "), " --- |"+strings.Repeat(" ---: |", len(head)-1))
	for _, row := range rows {
		fmt.Fprintf(w, "| %s |\n", strings.Join(row, " | "))
	}
}

// Fold writes what follows, up to the function that it returns, so that a reader opens
// it who wants to see it.
func Fold(w io.Writer, summary string) (end func()) {
	fmt.Fprintf(w, "\n<details><summary>%s</summary>\n", summary)
	return func() { fmt.Fprint(w, "\n</details>\n") }
}

// Pictures shows pictures, by their names without an ending.
func Pictures(w io.Writer, names []string) {
	for _, name := range names {
		fmt.Fprintf(w, "\n![%s](%s.svg)\n", name, name)
	}
}

// A Verdict says whether a target was reached.
type Verdict struct {
	What    string // the target
	Got     string // the figure
	Reached bool
}

// Verdicts writes what was aimed for: what was not reached comes first.
func Verdicts(w io.Writer, all []Verdict) {
	for _, reached := range []bool{false, true} {
		title := "Not reached, and what does not look good:"
		if reached {
			title = "Reached:"
		}
		var lines []string
		for _, v := range all {
			if v.Reached == reached {
				lines = append(lines, fmt.Sprintf("- %s: %s", v.What, v.Got))
			}
		}
		if len(lines) > 0 {
			fmt.Fprintf(w, "\n%s\n\n%s\n", title, strings.Join(lines, "\n"))
		}
	}
}

// Warnings writes what speaks against the figures, folded if it is much.
func Warnings(w io.Writer, warnings []string) {
	if len(warnings) == 0 {
		return
	}
	end := func() {}
	if len(warnings) > 4 {
		end = Fold(w, fmt.Sprintf("%d warnings of the run", len(warnings)))
	} else {
		fmt.Fprint(w, "\nWarnings of the run:\n")
	}
	fmt.Fprintf(w, "\n- %s\n", strings.Join(warnings, "\n- "))
	end()
}
