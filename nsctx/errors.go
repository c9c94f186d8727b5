package nsctx

import "errors"

// What can be wrong with a reference or a handle.
var (
	// ErrInvalidRef means that a Ref cannot name a namespace, whatever exists:
	// an empty name, a name with a slash, a pid below 1, a nil Namespace.
	ErrInvalidRef = errors.New("not a valid reference")
	// ErrNotNamespace means that there is something, but it is not a network
	// namespace: a plain file, such as `ip netns add` makes shortly before it
	// mounts, or another type of namespace.
	ErrNotNamespace = errors.New("not a network namespace")
	// ErrClosed means that the Namespace, Thread, Release or Watcher was closed
	// or released before.
	ErrClosed = errors.New("already closed")
	// ErrInvalidID means that a string is not what ID.String writes.
	ErrInvalidID = errors.New("not an ID")
)

// What can be wrong with a thread.
var (
	// ErrMainThread means that the caller runs on the process's main thread,
	// whose namespace must not be changed.
	ErrMainThread = errors.New("on the main thread")
	// ErrStrayed means that the thread is not where its Thread says, because
	// something else called setns(2) or unshare(2) there, or that the caller is
	// not on that thread at all.
	ErrStrayed = errors.New("thread has strayed")
)

// ErrUntracked means that this kernel, or what this process may do on it, gives
// no way to tell that a namespace is gone.
var ErrUntracked = errors.New("no way to see the namespace go")

// Error is what the functions of this package return when they fail. The cause
// can be tested with errors.Is: the sentinels of this package, an errno of
// x/sys/unix, or fs.ErrPermission and fs.ErrNotExist.
type Error struct {
	Op        string // what was tried: "open", "enter", "verify", "track", …
	Namespace string // which namespace, by its label
	Err       error
}

// Error says what was tried on which namespace, and why it failed.
func (e *Error) Error() string {
	if e.Namespace == "" {
		return "nsctx: " + e.Op + ": " + e.Err.Error()
	}
	return "nsctx: " + e.Op + " " + e.Namespace + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }
