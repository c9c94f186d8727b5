package nsctx

import (
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Namespace is an open network namespace. Until Close it keeps the namespace
// alive with one descriptor. It does not change, and any goroutine may use it.
type Namespace struct {
	fd        int
	name      string
	id        ID
	permanent bool // the process's home, which Close leaves open

	// use counts the calls that need fd, with nsClosed on top once Close was
	// called. The last one out closes fd, so that no call gets a descriptor that
	// has meanwhile become another file's.
	use atomic.Uint32
}

const nsClosed = 1 << 31

// ID tells the namespace from all others. It stays valid after Close.
func (n *Namespace) ID() ID { return n.id }

// Name returns the label of the Ref that the Namespace was opened by. It is not
// an identity.
func (n *Namespace) Name() string { return n.name }

// String returns the label and the ID.
func (n *Namespace) String() string { return n.name + "(" + n.id.String() + ")" }

// FD returns the descriptor, or -1 after Close. It stays the Namespace's own: it
// must not be closed, and must not be used after Close.
func (n *Namespace) FD() int {
	if n.use.Load()&nsClosed != 0 {
		return -1
	}
	return n.fd
}

// Same reports whether both are one namespace, even if their IDs differ in
// grade.
func (n *Namespace) Same(other *Namespace) bool {
	if n == nil || other == nil {
		return false
	}
	if n == other || n.id == other.id {
		return true
	}
	if n.id.grade == other.id.grade || !n.acquire() {
		return false
	}
	defer n.release()
	if !other.acquire() {
		return false
	}
	defer other.release()
	return sameFile(n.fd, other.fd)
}

// Close gives up the descriptor with close(2). Calls that are using it finish
// first; later ones fail with ErrClosed. A second Close does nothing.
func (n *Namespace) Close() error {
	if n.permanent {
		return nil
	}
	if n.use.Or(nsClosed) == 0 {
		return n.closeFD()
	}
	return nil
}

// acquire keeps fd open until release, or reports that it is closed.
func (n *Namespace) acquire() bool {
	for {
		use := n.use.Load()
		if use&nsClosed != 0 {
			return false
		}
		if n.use.CompareAndSwap(use, use+1) {
			return true
		}
	}
}

func (n *Namespace) release() {
	if n.use.Add(^uint32(0)) == nsClosed {
		_ = n.closeFD()
	}
}

func (n *Namespace) closeFD() error {
	if err := unix.Close(n.fd); err != nil {
		return &Error{Op: "close", Namespace: n.name, Err: os.NewSyscallError("close", err)}
	}
	return nil
}

// Do runs f on a goroutine and thread of its own that is in the namespace, and
// returns f's error. Goroutines that f starts run at home, not in the
// namespace. If the namespace cannot be entered, f does not run and the error is
// an [*Error]. A panic in f is raised again in the caller as a [*PanicError], and
// runtime.Goexit in f ends the caller too. It costs some tens of
// microseconds more than f; any goroutine may call it.
func (n *Namespace) Do(f func() error) error {
	var err error
	// Where the thread is left does not concern the caller: if it cannot be
	// brought home it dies.
	startErr, _ := runLocked(func(t *Thread) {
		if err = t.Enter(n); err == nil {
			err = f()
		}
	})
	if startErr != nil {
		return startErr
	}
	return err
}
