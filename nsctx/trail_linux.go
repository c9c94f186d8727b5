package nsctx

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// trail is the inotify(7) watches that lead to a directory: one on the directory,
// and one on each directory above it, since renaming any of those moves the
// directory away. While it does not exist, the nearest one above that does is
// watched for the next step to appear.
type trail struct {
	fd   int
	dir  string // absolute
	wd   int    // the directory's own watch, or -1
	next string // if there is none: the name to wait for in the nearest one
	used map[int]struct{}
}

const (
	maskSelf  = unix.IN_ONLYDIR | unix.IN_DELETE_SELF | unix.IN_MOVE_SELF
	maskAwait = maskSelf | unix.IN_CREATE | unix.IN_MOVED_TO
	maskNames = maskAwait | unix.IN_DELETE | unix.IN_MOVED_FROM | unix.IN_ATTRIB

	// maskLost are the events after which a watch no longer says what happens
	// at its path.
	maskLost = unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_IGNORED | unix.IN_UNMOUNT
)

func newTrail(dir string) (*trail, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("inotify_init1", err)
	}
	return &trail{fd: fd, dir: dir, wd: -1, used: make(map[int]struct{})}, nil
}

// follow sets the watches anew, wherever the path leads now.
func (t *trail) follow() error {
	before := t.used
	t.used = make(map[int]struct{})
	for again := true; again; {
		maps.Copy(before, t.used)
		t.used = make(map[int]struct{})
		var err error
		if again, err = t.walk(); err != nil {
			maps.Copy(t.used, before)
			return err
		}
	}
	for wd := range before {
		if _, used := t.used[wd]; !used {
			_, _ = unix.InotifyRmWatch(t.fd, uint32(wd)) // EINVAL: gone with its directory
		}
	}
	return nil
}

// walk goes down from the root, and asks to be called again if a step has appeared
// just before its parent was watched for it.
func (t *trail) walk() (again bool, err error) {
	t.wd, t.next = -1, ""
	steps := []string{t.dir}
	for step := t.dir; step != "/"; {
		step = filepath.Dir(step)
		steps = append(steps, step)
	}
	for i, step := range slices.Backward(steps) {
		mask := uint32(maskSelf)
		if i == 0 {
			mask = maskNames
		}
		wd, err := t.watch(step, mask)
		switch {
		case err == nil && i == 0:
			t.wd = wd
		case err == nil:
		case missing(err):
			return t.await(filepath.Dir(step), step)
		case i == 0 || !errors.Is(err, fs.ErrPermission):
			return false, err
		}
	}
	return false, nil
}

// await watches parent for step to appear.
func (t *trail) await(parent, step string) (again bool, err error) {
	if _, err := t.watch(parent, maskAwait); err != nil {
		return missing(err), ignoreMissing(err)
	}
	t.next = filepath.Base(step)
	st, err := os.Stat(step)
	return err == nil && st.IsDir(), nil
}

func (t *trail) watch(path string, mask uint32) (int, error) {
	wd, err := unix.InotifyAddWatch(t.fd, path, mask)
	if err != nil {
		return -1, &os.PathError{Op: "inotify_add_watch", Path: path, Err: err}
	}
	t.used[wd] = struct{}{}
	return wd, nil
}

func missing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP)
}

func ignoreMissing(err error) error {
	if missing(err) {
		return nil
	}
	return err
}

// trailNews is what has happened since the last read.
type trailNews struct {
	names    []string // of files in the directory, each once
	seen     map[string]struct{}
	overflow bool // events were lost
	moved    bool // the watches must be set anew
}

func (t *trail) read(buf []byte) (trailNews, error) {
	news := trailNews{seen: make(map[string]struct{})}
	for {
		n, err := unix.Read(t.fd, buf)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			return news, nil
		case err != nil:
			return news, os.NewSyscallError("read inotify", err)
		}
		if err := t.digest(buf[:n], &news); err != nil {
			return news, err
		}
	}
}

func (t *trail) digest(buf []byte, news *trailNews) error {
	for len(buf) > 0 {
		ev, rest, err := nextEvent(buf)
		if err != nil {
			return err
		}
		buf = rest
		t.note(ev, news)
	}
	return nil
}

func (t *trail) note(ev inotifyEvent, news *trailNews) {
	_, used := t.used[ev.wd]
	switch {
	case ev.mask&unix.IN_Q_OVERFLOW != 0:
		news.overflow = true
	case !used: // of a watch that follow has removed
	case ev.mask&maskLost != 0:
		news.moved = true
	case ev.wd != t.wd:
		news.moved = news.moved || ev.name == t.next
	case ev.name != "":
		if _, seen := news.seen[ev.name]; !seen {
			news.seen[ev.name] = struct{}{}
			news.names = append(news.names, ev.name)
		}
	}
}

func (t *trail) close() { _ = unix.Close(t.fd) }
