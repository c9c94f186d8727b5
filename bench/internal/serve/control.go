package serve

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
)

// FollowStdin obeys the lines of stdin on a goroutine of its own, if -control was
// given. add is to listen in one more namespace and to return once it does.
func (o *Options) FollowStdin(add func(path string) error) {
	if o.Control {
		go follow(os.Stdin, os.Stdout, add)
	}
}

// follow obeys lines of the form "add PATH" and answers each with "added", or with
// "failed" and the reason.
func follow(in io.Reader, out io.Writer, add func(path string) error) {
	for lines := bufio.NewScanner(in); lines.Scan(); {
		path, ok := strings.CutPrefix(lines.Text(), "add ")
		if !ok {
			fmt.Fprintf(out, "failed: want \"add PATH\", got %q\n", lines.Text())
		} else if err := add(path); err != nil {
			fmt.Fprintln(out, "failed:", err)
		} else {
			fmt.Fprintln(out, "added")
		}
	}
}
