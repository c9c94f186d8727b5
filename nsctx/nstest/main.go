package nstest

import (
	"fmt"
	"os"
)

// M is the part of testing.M that Main uses.
type M interface{ Run() int }

// Main is for TestMain: it runs the tests with the capabilities that namespaces
// need, in a user namespace if the process has not got them, and exits. The exit
// code is 1 if the tests have leaked something (see [MainFunc]) or if no user
// namespace can be made; tests are never skipped.
func Main(m M) { os.Exit(MainFunc(m.Run)) }

// MainFunc is Main with a function for the tests, and returns the exit code. When
// run has ended, goroutines, descriptors and threads in a foreign namespace that
// were not there before are leaks, and so are namespaces mounted in the directory
// of a Lab; MainFunc prints them.
func MainFunc(run func() int) int {
	done, code, err := Reexec()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if done {
		return code
	}
	before, err := takeInventory()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code = run()
	if leaks := before.leaks(); len(leaks) > 0 {
		fmt.Fprintln(os.Stderr, "nstest: the tests have leaked:")
		for _, leak := range leaks {
			fmt.Fprintln(os.Stderr, "  "+leak)
		}
		return max(code, 1)
	}
	return code
}
