// Command noskip runs go test and fails when a test was skipped.
//
// A skipped test is a promise nobody keeps: a machine on which the namespace
// tests cannot run must say so with a failure. noskip takes go test's own
// arguments, prints what go test prints without -v, and exits with go test's
// code, or with 1 where go test was content but something was skipped:
//
//	noskip -race -count=1 ./...
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
)

func main() {
	code, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "noskip:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// run runs go test with args and returns the exit code to end with.
func run(args []string) (int, error) {
	cmd := exec.Command("go", append([]string{"test", "-json"}, args...)...)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return 1, err
	}
	// On Ctrl-C the terminal interrupts go test too; stay to print its last words.
	signal.Notify(make(chan os.Signal, 1), os.Interrupt)
	if err := cmd.Start(); err != nil {
		return 1, err
	}

	r := newReport(os.Stdout)
	readErr := r.read(stdout)
	waitErr := cmd.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](waitErr); ok {
		// ExitCode is -1 when a signal ended go test.
		return max(exit.ExitCode(), 1), readErr
	}
	if err := errors.Join(readErr, waitErr); err != nil {
		return 1, err
	}
	if len(r.skipped) > 0 {
		return 1, fmt.Errorf("%d skipped; a test here runs or fails:\n%s", len(r.skipped), strings.Join(r.skipped, "\n"))
	}
	return 0, nil
}

// event is one line of go test -json; see go doc test2json and go help buildjson.
type event struct {
	Action  string
	Package string
	Test    string
	Output  string
}

// test names a test within a run. The empty name stands for its package.
type test struct{ pkg, name string }

// report prints the events of a run the way go test prints them without -v.
type report struct {
	w       io.Writer
	output  map[test]*strings.Builder // of tests and packages that have not ended
	skipped []string                  // what was skipped and why, a paragraph each
}

func newReport(w io.Writer) *report {
	return &report{w: w, output: make(map[test]*strings.Builder)}
}

// read reports every line of r until its end.
func (r *report) read(in io.Reader) error {
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			var ev event
			if json.Unmarshal([]byte(line), &ev) != nil {
				fmt.Fprint(r.w, line) // not an event: a tool spoke past go test
			} else {
				r.add(ev)
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read go test's output: %w", err)
		}
	}
}

func (r *report) add(ev event) {
	t := test{ev.Package, ev.Test}
	switch ev.Action {
	case "build-output":
		fmt.Fprint(r.w, ev.Output)
	case "output":
		if framing(ev.Output) {
			return
		}
		if r.output[t] == nil {
			r.output[t] = new(strings.Builder)
		}
		r.output[t].WriteString(ev.Output)
	case "pass", "fail", "skip":
		r.end(t, ev.Action)
	}
}

// end prints what the outcome of t makes worth reading and forgets t.
func (r *report) end(t test, outcome string) {
	out := r.take(t)
	switch {
	case t.name == "" && outcome == "fail":
		// A panic or a timeout ends a package with its tests still open.
		for open := range r.output {
			if open.pkg == t.pkg {
				fmt.Fprint(r.w, r.take(open))
			}
		}
		fmt.Fprint(r.w, out)
	case t.name == "":
		fmt.Fprint(r.w, lastLine(out)) // "ok ..." or "? ... [no test files]"
	case outcome == "fail":
		fmt.Fprint(r.w, out)
	case outcome == "skip":
		r.skipped = append(r.skipped, fmt.Sprintf("%s %s\n%s", t.pkg, t.name, out))
	}
}

// take returns the output of t so far and forgets t.
func (r *report) take(t test) string {
	b := r.output[t]
	delete(r.output, t)
	if b == nil {
		return ""
	}
	return b.String()
}

// framing says whether line only tells that a test starts, pauses or goes on.
func framing(line string) bool {
	for _, prefix := range []string{"=== RUN ", "=== PAUSE ", "=== CONT ", "=== NAME "} {
		if strings.HasPrefix(line, prefix) {
			return true
		}
	}
	return false
}

// lastLine returns the last line of s, with its newline.
func lastLine(s string) string {
	i := strings.LastIndexByte(strings.TrimSuffix(s, "\n"), '\n')
	return s[i+1:]
}
