package nsctx

import "log/slog"

// ChangeKind says what a Watcher has seen.
type ChangeKind uint8

const (
	// Appeared means that a name has become a namespace.
	Appeared ChangeKind = iota + 1
	// Vanished means that a name that had Appeared is no longer that namespace.
	// The namespace itself may live on, under another name or held by someone.
	Vanished
	// Synced comes once, after the namespaces that were there at the start, also
	// if the directory did not exist.
	Synced
	// Rejected means that a name cannot be looked at or opened, for the reason
	// in Err. It comes once for each reason; the name is tried again when
	// anything about it changes, and later if the reason was a lack of
	// descriptors or memory.
	Rejected
)

// String returns the kind in lower case.
func (k ChangeKind) String() string {
	switch k {
	case Appeared:
		return "appeared"
	case Vanished:
		return "vanished"
	case Synced:
		return "synced"
	case Rejected:
		return "rejected"
	default:
		return "unknown"
	}
}

// Change is one thing that a Watcher has seen.
type Change struct {
	Kind ChangeKind
	Name string // the file's name in the directory; "" for Synced
	ID   ID     // for Appeared and Vanished

	// NS is open for Appeared and nil otherwise. The receiver owns it and must
	// Close it; the Watcher keeps nothing that pins the namespace.
	NS  *Namespace
	Err error // for Rejected
}

// WatchOptions are a Watcher's settings; the zero value is fit for use.
type WatchOptions struct {
	// Match selects the names to look at; nil stands for all. It is called on
	// Run's goroutine.
	Match func(name string) bool
	// Logger hears of old files that are no namespaces, once each, and of lost
	// events; nil stands for slog.Default().
	Logger *slog.Logger
	// Grade limits the grade of the IDs; zero stands for the best there is.
	Grade Grade
}

func (o WatchOptions) withDefaults() WatchOptions {
	if o.Match == nil {
		o.Match = func(string) bool { return true }
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Grade == GradeNone {
		o.Grade = gradeBest
	}
	return o
}
