package engine

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestErrorText(t *testing.T) {
	peer := netip.MustParseAddrPort("[2001:db8::1]:3260")
	for _, c := range []struct {
		err  *Error
		want string
	}{
		{&Error{Op: "new", Err: io.EOF}, "engine: new: EOF"},
		{&Error{Op: "attach", Namespace: "blue", Err: io.EOF}, `engine: attach netns "blue": EOF`},
		{&Error{Op: "read", Addr: peer, Err: io.EOF}, "engine: read [2001:db8::1]:3260: EOF"},
		{
			&Error{Op: "read", Namespace: "a b", Addr: peer, Err: os.NewSyscallError("read", unix.ECONNRESET)},
			`engine: read netns "a b" [2001:db8::1]:3260: read: connection reset by peer`,
		},
	} {
		if got := c.err.Error(); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

func TestErrorsCanBeTested(t *testing.T) {
	cause := &Error{Op: "listen", Namespace: "blue", Err: describeDescriptors(os.NewSyscallError("socket", unix.EMFILE))}
	err := fmt.Errorf("around: %w", cause)
	var typed *Error
	if !errors.As(err, &typed) || typed != cause {
		t.Errorf("errors.As finds %v", typed)
	}
	var call *os.SyscallError
	if !errors.Is(err, unix.EMFILE) || !errors.Is(err, ErrDescriptors) || !errors.As(err, &call) {
		t.Errorf("%v hides its causes", err)
	}
	if errors.Is(err, unix.ENFILE) || errors.Is(err, ErrClosed) {
		t.Errorf("%v is what it is not", err)
	}
}

func TestPanicError(t *testing.T) {
	for _, c := range []struct {
		value any
		is    []error
		text  string
	}{
		{"boom", []error{ErrPanic}, "handler panicked: boom"},
		{42, []error{ErrPanic}, "handler panicked: 42"},
		{nil, []error{ErrPanic}, "handler panicked: <nil>"},
		{fmt.Errorf("reading: %w", io.EOF), []error{ErrPanic, io.EOF}, "handler panicked: reading: EOF"},
	} {
		var err error = &Error{Op: "handler", Err: &PanicError{Value: c.value, Stack: []byte("stack")}}
		for _, target := range c.is {
			if !errors.Is(err, target) {
				t.Errorf("%v is no %v", err, target)
			}
		}
		var typed *PanicError
		if !errors.As(err, &typed) || typed.Value != c.value || string(typed.Stack) != "stack" {
			t.Errorf("errors.As finds %+v", typed)
		}
		if got := typed.Error(); got != c.text {
			t.Errorf("%q, want %q", got, c.text)
		}
	}
	if errors.Is(&PanicError{Value: "boom"}, io.EOF) {
		t.Error("a panic with a string is an io.EOF")
	}
}

func TestSentinelsAreDistinct(t *testing.T) {
	all := []error{
		ErrStopped, ErrBadHandle, ErrBadConfig, ErrNotAttached, ErrDescriptors, ErrClosed, ErrClosedNow, ErrIdle,
		ErrDeadline, ErrLinger, ErrDrained, ErrOverflow, ErrSwitch, ErrPanic, ErrStrayed,
	}
	for i, a := range all {
		for j, b := range all {
			if (i == j) != errors.Is(a, b) || i != j && a.Error() == b.Error() {
				t.Errorf("%v and %v", a, b)
			}
		}
	}
}

func TestDescribeDescriptors(t *testing.T) {
	var limit unix.Rlimit
	unitMust(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
	for _, e := range []errno{unix.EMFILE, unix.ENFILE} {
		err := describeDescriptors(os.NewSyscallError("accept4", e))
		if !errors.Is(err, ErrDescriptors) || !errors.Is(err, e) {
			t.Errorf("%v: %v", e, err)
		}
		if !strings.Contains(err.Error(), fmt.Sprintf("the limit is %d (", limit.Cur)) {
			t.Errorf("%v does not say the limit, %d", err, limit.Cur)
		}
	}
	for _, err := range []error{nil, io.EOF, unix.ENOBUFS} {
		if got := describeDescriptors(err); !errors.Is(got, err) || errors.Is(got, ErrDescriptors) {
			t.Errorf("%v has become %v", err, got)
		}
	}
}

func TestRaiseDescriptorLimit(t *testing.T) {
	var before, after unix.Rlimit
	unitMust(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &before))
	t.Cleanup(func() { unitMust(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &before)) })
	unitMust(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: before.Max - 1, Max: before.Max}))
	for range 2 { // the second time there is nothing to raise
		got, err := raiseDescriptorLimit()
		unitMust(t, err)
		unitMust(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &after))
		if got != before.Max || after.Cur != before.Max || after.Max != before.Max {
			t.Errorf("raised to %d, in force is %d of %d; the hard limit was %d", got, after.Cur, after.Max, before.Max)
		}
	}
}

func TestStateNames(t *testing.T) {
	for s, want := range map[State]string{
		StateAttaching: "attaching", StateServing: "serving", StateDraining: "draining", StateReleased: "released", 99: "unknown",
	} {
		if got := s.String(); got != want {
			t.Errorf("state %d is %q, want %q", s, got, want)
		}
	}
}

// Metrics label by these names: each has one, none two have the same.
func TestErrorKindNames(t *testing.T) {
	kinds := ErrorKinds()
	if len(kinds) != len(ErrorCounts{}) {
		t.Fatalf("%d kinds are listed, %d counted", len(kinds), len(ErrorCounts{}))
	}
	var names []string
	for i, k := range kinds {
		if int(k) != i || k.String() == "" || slices.Contains(names, k.String()) {
			t.Errorf("kind %d, listed as number %d, is %q", k, i, k)
		}
		names = append(names, k.String())
	}
	for k, want := range map[ErrorKind]string{
		ErrorAccept: "accept", ErrorAcceptAbort: "accept_abort", ErrorOverflow: "overflow", ErrorPanic: "panic",
		ErrorDrain: "drain", ErrorRegister: "register", errorKinds: "unknown", 255: "unknown",
	} {
		if got := k.String(); got != want {
			t.Errorf("kind %d is %q, want %q", k, got, want)
		}
	}
}
