package nsctx

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// How a Release tells that its namespace is gone.
const (
	// MethodHandle asks for the namespace's file handle (Linux 6.18).
	MethodHandle = "handle"
	// MethodNSID listens for the RTM_DELNSID that the kernel sends home when the
	// namespace goes. It needs CAP_NET_ADMIN at home if the namespace has no
	// number there yet, and then gives it one, as `ip netns list-id` shows.
	MethodNSID = "nsid"
	// MethodNone cannot tell.
	MethodNone = "none"
)

// Release names a namespace without keeping it alive, to find out when the kernel
// has let go of it: when no process, descriptor, socket or mount refers to it any
// more. Any goroutine may use it.
type Release struct {
	name   string
	method string
	handle unix.FileHandle
	nsid   int // at home; negative if it has none
	events *nsidEvents

	mu     sync.Mutex
	closed bool
	gone   bool
	done   chan struct{} // closed by Close
}

// Back-off between two looks at a file handle.
const (
	waitMin = time.Millisecond
	waitMax = time.Second
)

// Track returns the means to see the namespace go after Close. What this kernel and
// this process's capabilities permit is in [Release.Method]; that nothing does
// is no error here.
func (n *Namespace) Track() (*Release, error) { return n.track(MethodHandle, MethodNSID) }

func (n *Namespace) track(methods ...string) (*Release, error) {
	if !n.acquire() {
		return nil, &Error{Op: "track", Namespace: n.name, Err: ErrClosed}
	}
	defer n.release()
	r := &Release{name: n.name, method: MethodNone, nsid: -1, done: make(chan struct{})}
	for _, method := range methods {
		if err := r.try(method, n.fd); err == nil {
			r.method = method
			break
		} else if lacking(err) {
			return nil, &Error{Op: "track", Namespace: n.name, Err: err}
		}
	}
	return r, nil
}

// lacking tells a passing shortage from a method that will never work.
func lacking(err error) bool {
	for _, lack := range []error{unix.EMFILE, unix.ENFILE, unix.ENOMEM, unix.ENOBUFS} {
		if errors.Is(err, lack) {
			return true
		}
	}
	return false
}

func (r *Release) try(method string, fd int) (err error) {
	if method == MethodNSID {
		r.events, r.nsid, err = trackNSID(fd)
		return err
	}
	handle, _, err := unix.NameToHandleAt(fd, "", unix.AT_EMPTY_PATH)
	if err != nil {
		return os.NewSyscallError("name_to_handle_at", err)
	}
	// Older kernels may give a handle and not take it back.
	if gone, err := handleGone(handle); gone || err != nil {
		return fmt.Errorf("handle of a live namespace is stale: %t, %w", gone, err)
	}
	r.handle = handle
	if r.nsid, err = homeNSID(fd); err != nil {
		r.nsid = -1 // Wait does without
	}
	return nil
}

// handleGone opens the namespace for an instant, if it is there.
func handleGone(handle unix.FileHandle) (bool, error) {
	fd, err := unix.OpenByHandleAt(unix.FD_NSFS_ROOT, handle, unix.O_RDONLY|unix.O_CLOEXEC)
	switch err {
	case nil:
		_ = unix.Close(fd)
		return false, nil
	case unix.ESTALE:
		return true, nil
	default:
		return false, os.NewSyscallError("open_by_handle_at", err)
	}
}

// Method returns MethodHandle, MethodNSID or MethodNone.
func (r *Release) Method() string { return r.method }

// Gone reports whether the kernel has let go of the namespace. The error is
// ErrUntracked if it cannot be told. It waits for nothing.
func (r *Release) Gone() (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	gone, err := r.look()
	if err != nil {
		return false, &Error{Op: "track", Namespace: r.name, Err: err}
	}
	r.gone = gone
	return gone, nil
}

func (r *Release) look() (bool, error) {
	switch {
	case r.gone:
		return true, nil
	case r.closed:
		return false, ErrClosed
	case r.method == MethodHandle:
		return handleGone(r.handle)
	case r.method == MethodNSID:
		return r.events.gone()
	default:
		return false, ErrUntracked
	}
}

// Wait returns nil once the kernel has let go of the namespace, the context's error
// if that ends first, or what Gone says if it cannot be told. It wakes on
// RTM_DELNSID if the namespace has a number at home, and otherwise looks after 1 ms,
// 2 ms and so on up to once a second.
func (r *Release) Wait(ctx context.Context) error {
	events := r.events
	if events == nil && r.nsid >= 0 {
		if hint, err := listenNSID(r.nsid); err == nil {
			defer hint.close()
			events = hint
		}
	}
	deleted := events.deleted()
	for pause := waitMin; ; pause = min(2*pause, waitMax) {
		gone, err := r.Gone()
		if gone || err != nil {
			return err
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			err = &Error{Op: "wait for release", Namespace: r.name, Err: context.Cause(ctx)}
		case <-r.done:
		case <-deleted:
			// If the handle does not follow at once, it will soon.
			deleted, pause = nil, waitMin
		case <-timer.C:
		}
		timer.Stop()
		if err != nil {
			return err
		}
	}
}

// Close gives up what the Release holds, which is no part of the namespace. A second
// Close does nothing.
func (r *Release) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil
	}
	r.closed = true
	close(r.done)
	if r.events != nil {
		r.events.close()
	}
	return nil
}
