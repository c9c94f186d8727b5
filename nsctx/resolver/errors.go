package resolver

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// What a lookup can come to. The first two are answers, and final until they
// expire; the others may pass.
var (
	// ErrNotFound means that there is no such name (NXDOMAIN).
	ErrNotFound = errors.New("no such host")
	// ErrNoData means that the name exists and has no address.
	ErrNoData = errors.New("host has no address")
	// ErrTimeout means that a server did not answer in time.
	ErrTimeout = errors.New("no answer in time")
	// ErrServerFailure means that a server answered with something other than an
	// answer: SERVFAIL, REFUSED, a referral, a malformed reply over TCP.
	ErrServerFailure = errors.New("server failure")
)

// What keeps a lookup from being tried.
var (
	// ErrInvalidHost means that the host is neither an address nor a name that can
	// be asked for: it is empty, has an empty label or one of more than 63 bytes,
	// has more than 253 bytes in all, or has other characters than letters,
	// digits, hyphens and underscores.
	ErrInvalidHost = errors.New("not a valid host name")
	// ErrConfig means that the namespace's configuration cannot be used: a file
	// exists and cannot be read, is too large, or has no usable nameserver among
	// those it lists; or the name of the namespace is not one.
	ErrConfig = errors.New("resolver configuration")
)

// Error is what a lookup returns when it fails. The cause can be tested with
// errors.Is: the sentinels of this package, nsctx.ErrClosed for a namespace that
// has been closed, an errno such as unix.ECONNREFUSED if a server cannot be
// reached, and what the context ended with. If several servers were asked, each
// one's last failure is a cause.
type Error struct {
	Namespace string // its name, as the caller gave it
	Host      string
	Err       error
}

// Error says which name could not be looked up in which namespace, and why.
func (e *Error) Error() string {
	where := ""
	if e.Namespace != "" {
		where = " in " + e.Namespace
	}
	return fmt.Sprintf("resolver: look up %q%s: %v", e.Host, where, e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Timeout reports whether it was time that ran out, the servers' or the
// context's, as net.Error has it.
func (e *Error) Timeout() bool {
	return errors.Is(e.Err, ErrTimeout) || errors.Is(e.Err, context.DeadlineExceeded)
}

// serverErrors has the last failure of each server that was asked.
type serverErrors []serverError

type serverError struct {
	server netip.Addr
	err    error
}

func (s *serverErrors) set(server netip.Addr, err error) {
	for i := range *s {
		if (*s)[i].server == server {
			(*s)[i].err = err
			return
		}
	}
	*s = append(*s, serverError{server, err})
}

func (s serverErrors) Error() string {
	texts := make([]string, len(s))
	for i, e := range s {
		texts[i] = e.server.String() + ": " + e.err.Error()
	}
	return strings.Join(texts, "; ")
}

func (s serverErrors) Unwrap() []error {
	errs := make([]error, len(s))
	for i, e := range s {
		errs[i] = e.err
	}
	return errs
}
