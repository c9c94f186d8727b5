package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"time"

	"github.com/nsreactor/nsreactor/nsctx"
)

// directory is a watched directory of named namespaces. It belongs to the
// control goroutine.
type directory struct {
	path   string
	globs  []string // names to attach; the others are only known
	known  map[string]nsctx.ID
	synced chan struct{} // closed after the first scan
	stop   context.CancelFunc
}

// watch starts watching a directory, or widens a watch. No globs watch only
// for the end of what is attached otherwise.
func (ct *control) watch(dir string, globs []string) (<-chan struct{}, error) {
	if ct.stopping() {
		return nil, &Error{Op: "watch", Err: ErrStopped}
	}
	dir = filepath.Clean(dir)
	if d := ct.dirs[dir]; d != nil {
		ct.widen(d, globs)
		return d.synced, nil
	}
	w, err := nsctx.NewWatcher(dir, nsctx.WatchOptions{Logger: ct.eng.log})
	if err != nil {
		return nil, &Error{Op: "watch", Err: describeDescriptors(err)}
	}
	ctx, cancel := context.WithCancel(ct.eng.background)
	d := &directory{path: dir, globs: globs, known: make(map[string]nsctx.ID), synced: make(chan struct{}), stop: cancel}
	ct.dirs[dir] = d
	ct.eng.workers.Go(func() {
		err := w.Run(ctx, func(c nsctx.Change) {
			if e := ct.do(func(ct *control) { ct.changed(d, c) }); e != nil && c.NS != nil {
				_ = c.NS.Close() // stopped: nobody else has it
			}
		})
		if err != nil && !errors.Is(err, context.Canceled) {
			ct.eng.log.Error("watching namespaces ended", "dir", dir, "err", err)
			ct.post(func(ct *control) {
				if ct.dirs[dir] == d {
					delete(ct.dirs, dir) // so that a later Watch begins anew
				}
			})
		}
	})
	return d.synced, nil
}

// widen adds patterns to a watch and attaches what they match of what is
// there.
func (ct *control) widen(d *directory, globs []string) {
	d.globs = append(d.globs, globs...)
	if len(globs) == 0 {
		return
	}
	for name := range d.known {
		if full := filepath.Join(d.path, name); matches(globs, name) && ct.byPath[full] == nil {
			ct.retryAttach(d, name, 0)
		}
	}
}

func (d *directory) wants(name string) bool { return matches(d.globs, name) }

func matches(globs []string, name string) bool {
	return slices.ContainsFunc(globs, func(glob string) bool {
		ok, err := path.Match(glob, name)
		return ok && err == nil
	})
}

// changed is what the watcher has seen.
func (ct *control) changed(d *directory, c nsctx.Change) {
	full := filepath.Join(d.path, c.Name)
	switch c.Kind {
	case nsctx.Appeared:
		d.known[c.Name] = c.ID
		if ns := ct.byPath[full]; ns != nil && ns.id != c.ID {
			ct.vanish(full, ns.id) // its end was missed: it was attached before the watch began
		}
		if ct.stopping() || !d.wants(c.Name) || ct.byPath[full] != nil {
			_ = c.NS.Close() // not for us, or a second descriptor of ours
			return
		}
		if _, err := ct.attachOpened(c.NS, c.Name, full, false); err != nil {
			ct.attachFailed(d, c.Name, err, 0)
		}
	case nsctx.Vanished:
		delete(d.known, c.Name)
		ct.vanish(full, c.ID)
	case nsctx.Rejected:
		switch {
		case c.Name == "":
			ct.countAttachError()
			ct.eng.log.Warn("directory of namespaces can't be read", "dir", d.path, "err", c.Err)
		case d.wants(c.Name):
			ct.countAttachError()
			ct.eng.log.Warn("namespace can't be opened", "netns", c.Name, "err", c.Err)
		}
	case nsctx.Synced:
		ct.missed(d)
		close(d.synced)
	}
}

// How long to wait before looking whether the watch has seen a name that was
// attached by Attach: doubled each time.
const (
	minSightWait = 20 * time.Millisecond
	maxSightWait = time.Second
)

// awaitSight makes sure that the end of a name will be noticed: either the
// watch has seen the name by now, and will see it go, or it went before the
// watch could see it.
func (ct *control) awaitSight(path string, ns *Namespace, wait time.Duration) {
	d := ct.dirs[filepath.Dir(path)]
	if ct.byPath[path] != ns || d == nil || d.known[filepath.Base(path)] == ns.id {
		return
	}
	if wait > minSightWait { // not at once: it has just been opened
		nsc, err := nsctx.ByPath(path).Open()
		if err != nil || nsc.ID() != ns.id {
			ct.vanish(path, ns.id)
		}
		if err == nil {
			_ = nsc.Close() // it was opened to be looked at
		}
	}
	time.AfterFunc(wait, func() {
		ct.post(func(ct *control) { ct.awaitSight(path, ns, min(2*wait, maxSightWait)) })
	})
}

// missed drains what was attached by a path that was gone before the watch
// began.
func (ct *control) missed(d *directory) {
	for full, ns := range ct.byPath {
		if filepath.Dir(full) == d.path && d.known[filepath.Base(full)] != ns.id {
			ct.vanish(full, ns.id)
		}
	}
}

func (ct *control) countAttachError() {
	ct.eng.mu.Lock()
	ct.eng.attachErrs++
	ct.eng.mu.Unlock()
}

// attachFailed counts, logs the first of a row of failures, and tries again.
func (ct *control) attachFailed(d *directory, name string, err error, wait time.Duration) {
	ct.countAttachError()
	if wait == 0 {
		ct.eng.log.Warn("namespace can't be attached; trying again", "netns", name, "err", err)
	}
	wait = min(max(2*wait, minListenRetry), maxListenRetry)
	time.AfterFunc(wait, func() {
		ct.post(func(ct *control) { ct.retryAttach(d, name, wait) })
	})
}

// retryAttach opens a name anew, if it is still there.
func (ct *control) retryAttach(d *directory, name string, wait time.Duration) {
	full := filepath.Join(d.path, name)
	if _, known := d.known[name]; !known || ct.stopping() || ct.byPath[full] != nil {
		return
	}
	nsc, err := nsctx.ByPath(full).Open()
	if err == nil {
		_, err = ct.attachOpened(nsc, name, full, false)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return // the watcher will say so too
	}
	if err != nil {
		ct.attachFailed(d, name, fmt.Errorf("again: %w", err), wait)
	}
}
