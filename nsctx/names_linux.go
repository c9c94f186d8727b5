package nsctx

import (
	"errors"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// names is what a Watcher knows about the files of its directory. It is used by
// Run's goroutine only.
type names struct {
	dir  string
	opts WatchOptions
	nsfs uint64 // the device number of nsfs, of which there is one
	tell func(Change)

	known    map[string]knownName
	plain    map[string]plainName // files that are no namespace, or none yet
	rejected map[string]string    // with the reason that was reported
	starved  bool                 // something failed for lack of descriptors or memory
	changes  uint64
	told     time.Duration // spent in tell since the last scan began
}

type knownName struct {
	id    ID
	stamp stamp
}

type plainName struct {
	since   time.Time // when it was first seen
	changed time.Time // its modification time
	logged  bool
}

// stamp tells the mount at a path from an earlier one, without opening it. It is
// exact if the kernel has unique mount ids (Linux 6.8) and the path is the root of
// a mount, which pins the namespace; otherwise the stamp proves nothing.
type stamp struct {
	exact bool
	mount uint64
}

// sight is what statx(2) says of a path.
type sight struct {
	isNS    bool // or another type of namespace
	stamp   stamp
	changed time.Time
}

// freshTime is for how long each mount wake looks at a plain file again, because
// it may be a name that `ip netns add` is about to mount. Older ones wait for the
// next full look. Files older than staleAge are worth a line in the log.
const (
	freshTime = 10 * time.Second
	staleAge  = time.Second
)

func newNames(dir string, opts WatchOptions) (*names, error) {
	home, err := homeNamespace()
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(home.fd, &st); err != nil {
		return nil, os.NewSyscallError("fstat", err)
	}
	dev := uint64(st.Dev) //nolint:unconvert // 32 bits on some architectures
	return &names{
		dir: dir, opts: opts, nsfs: dev, known: map[string]knownName{},
		plain: map[string]plainName{}, rejected: map[string]string{},
	}, nil
}

// scan looks at every name there is and every name there was.
func (n *names) scan() {
	n.starved = false
	found, err := n.list()
	if err != nil && !missing(err) {
		n.reject("", err)
		return
	}
	delete(n.rejected, "")
	n.forgetOthers(found)
	for name := range found {
		n.check(name)
		n.logPlain(name)
	}
}

func (n *names) list() (map[string]struct{}, error) {
	dir, err := os.Open(n.dir)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	list, err := dir.Readdirnames(-1)
	found := make(map[string]struct{}, len(list))
	for _, name := range list {
		if n.opts.Match(name) {
			found[name] = struct{}{}
		}
	}
	return found, err
}

func (n *names) forgetOthers(found map[string]struct{}) {
	for name := range n.known {
		if _, ok := found[name]; !ok {
			n.gone(name)
		}
	}
	for name := range n.plain {
		if _, ok := found[name]; !ok {
			delete(n.plain, name)
		}
	}
	for name := range n.rejected {
		if _, ok := found[name]; !ok {
			delete(n.rejected, name)
		}
	}
}

// recheckFresh looks at the files that may have been mounted on just now.
func (n *names) recheckFresh() {
	for name, p := range n.plain {
		if time.Since(p.since) < freshTime {
			n.check(name)
		}
	}
}

// check looks at one name, as inotify or a scan has found it.
func (n *names) check(name string) {
	if !n.opts.Match(name) {
		return
	}
	path := filepath.Join(n.dir, name)
	seen, err := n.probe(path)
	switch {
	case missing(err):
		n.gone(name)
	case err != nil:
		n.reject(name, err)
	case !seen.isNS:
		n.isPlain(name, seen.changed)
	case seen.stamp.exact && n.known[name].stamp == seen.stamp:
	default:
		n.open(name, path, seen)
	}
}

// probe does not open the file, which a placeholder's mode may forbid and which
// would pin a namespace.
func (n *names) probe(path string) (seen sight, err error) {
	const mask = unix.STATX_BASIC_STATS | unix.STATX_MNT_ID_UNIQUE
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, path, unix.AT_STATX_SYNC_AS_STAT, mask, &st); err != nil {
		return seen, &os.PathError{Op: "statx", Path: path, Err: err}
	}
	seen.changed = time.Unix(st.Mtime.Sec, int64(st.Mtime.Nsec))
	seen.isNS = unix.Mkdev(st.Dev_major, st.Dev_minor) == n.nsfs
	seen.stamp = stamp{
		exact: st.Mask&unix.STATX_MNT_ID_UNIQUE != 0 && st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0,
		mount: st.Mnt_id,
	}
	return seen, nil
}

func (n *names) open(name, path string, seen sight) {
	ns, err := ByPath(path).OpenGrade(n.opts.Grade)
	switch {
	case err == nil:
		n.found(name, ns, seen.stamp)
	case missing(err):
		n.gone(name)
	case errors.Is(err, ErrNotNamespace):
		n.isPlain(name, seen.changed)
	default:
		n.reject(name, err)
	}
}

// found reports a namespace, unless it is the one the name had.
func (n *names) found(name string, ns *Namespace, mark stamp) {
	before, known := n.known[name]
	delete(n.plain, name)
	delete(n.rejected, name)
	n.known[name] = knownName{id: ns.ID(), stamp: mark}
	if known && before.id == ns.ID() {
		_ = ns.Close()
		return
	}
	if known {
		n.report(Change{Kind: Vanished, Name: name, ID: before.id})
	}
	n.report(Change{Kind: Appeared, Name: name, ID: ns.ID(), NS: ns})
}

func (n *names) gone(name string) {
	delete(n.plain, name)
	delete(n.rejected, name)
	n.vanish(name)
}

func (n *names) vanish(name string) {
	if before, known := n.known[name]; known {
		delete(n.known, name)
		n.report(Change{Kind: Vanished, Name: name, ID: before.id})
	}
}

func (n *names) isPlain(name string, changed time.Time) {
	if p := n.plain[name]; !p.changed.Equal(changed) || p.since.IsZero() {
		n.plain[name] = plainName{since: time.Now(), changed: changed}
	}
	delete(n.rejected, name)
	n.vanish(name)
}

func (n *names) logPlain(name string) {
	if p, plain := n.plain[name]; plain && !p.logged && time.Since(p.changed) > staleAge {
		n.opts.Logger.Info("not a network namespace", "dir", n.dir, "name", name)
		p.logged = true
		n.plain[name] = p
	}
}

// reject leaves a known name known: that it cannot be looked at does not mean that
// it has gone.
func (n *names) reject(name string, err error) {
	for _, lack := range []error{unix.EMFILE, unix.ENFILE, unix.ENOMEM} {
		n.starved = n.starved || errors.Is(err, lack)
	}
	if n.rejected[name] == err.Error() {
		return
	}
	n.rejected[name] = err.Error()
	n.report(Change{Kind: Rejected, Name: name, Err: err})
}

func (n *names) report(c Change) {
	start := time.Now()
	n.tell(c)
	n.told += time.Since(start)
	n.changes++
}
