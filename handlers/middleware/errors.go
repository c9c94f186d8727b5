package middleware

import (
	"errors"
	"fmt"

	"github.com/nsreactor/nsreactor/engine"
)

// What this package ends connections for. OnClose gets them in an [*engine.Error].
var (
	// ErrTooMany is a connection above Limits.PerNamespace.
	ErrTooMany = errors.New("too many connections in the namespace")
	// ErrTooManyOfPeer is one above Limits.PerPeer.
	ErrTooManyOfPeer = errors.New("too many connections of the peer")
	// ErrFirst ends a connection that Timeouts.First was not long enough for. It is an
	// [engine.ErrDeadline].
	ErrFirst = fmt.Errorf("no complete first message in time: %w", engine.ErrDeadline)
	// ErrTotal ends one after Timeouts.Total. It is an [engine.ErrDeadline].
	ErrTotal = fmt.Errorf("connected for too long: %w", engine.ErrDeadline)
	// ErrProxyHeader is a PROXY header that is none: the cause says how.
	ErrProxyHeader = errors.New("bad PROXY header")
	// ErrProxyMissing is a connection that does not begin with the PROXY header that is due.
	ErrProxyMissing = errors.New("no PROXY header")
	// ErrProxyForbidden is one that does begin with it, from a peer that may not send one.
	ErrProxyForbidden = errors.New("PROXY header from a peer that may not send one")
	// ErrProxyDenied is a connection of a peer that may not connect.
	ErrProxyDenied = errors.New("peer may not connect")
	// ErrProxyTimeout is a PROXY header that did not come in time. It is an
	// [engine.ErrDeadline].
	ErrProxyTimeout = fmt.Errorf("no complete PROXY header in time: %w", engine.ErrDeadline)
)

// kinds are the words for errors, the special ones before those that they wrap.
var kinds = []struct {
	err  error
	kind string
}{
	{ErrTooMany, "limit_namespace"},
	{ErrTooManyOfPeer, "limit_peer"},
	{ErrFirst, "first_timeout"},
	{ErrTotal, "total_timeout"},
	{ErrProxyTimeout, "proxy_timeout"},
	{ErrProxyHeader, "proxy_header"},
	{ErrProxyMissing, "proxy_missing"},
	{ErrProxyForbidden, "proxy_forbidden"},
	{ErrProxyDenied, "proxy_denied"},
	{engine.ErrIdle, "idle"},
	{engine.ErrDeadline, "deadline"},
	{engine.ErrLinger, "linger"},
	{engine.ErrDrained, "drain"},
	{engine.ErrPanic, "panic"},
	{engine.ErrSwitch, "switch"},
	{engine.ErrStrayed, "stray"},
	{engine.ErrWorkStuck, "work_stuck"},
	{engine.ErrOverflow, "overflow"},
	{engine.ErrClosedNow, "closed_now"},
	{engine.ErrDetached, "detached"},
}

// kinder is an error that knows its word.
type kinder interface {
	error
	Kind() string
}

// Kind is a word for what OnClose got, from a fixed set: "idle", "limit_peer", "read" … It
// is "" for nil. An error of a protocol's own may have a method Kind for it, as those of
// framing and tlshandler do; what is not known otherwise is named by the Op of its
// [engine.Error].
func Kind(err error) string {
	if err == nil {
		return ""
	}
	for _, k := range kinds {
		if errors.Is(err, k.err) {
			return k.kind
		}
	}
	if e, ok := errors.AsType[kinder](err); ok {
		return e.Kind()
	}
	if e, ok := errors.AsType[*engine.Error](err); ok {
		return e.Op
	}
	return "other"
}
