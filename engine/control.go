package engine

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nsreactor/nsreactor/nsctx"
)

// control is the one goroutine that attaches and drains. It has a thread of
// its own, with which it makes listening sockets inside namespaces, so that
// the loops need not stop for that. All fields below the queue are its alone.
type control struct {
	eng *Engine

	mu     sync.Mutex
	queue  []func(*control)
	signal chan struct{} // capacity 1: the queue has something, or is closed
	closed bool
	live   bool
	ended  chan struct{}

	thread   *nsctx.Thread
	services []*service
	byID     map[nsctx.ID]*Namespace // serving
	byPath   map[string]*Namespace   // by the full path of a name
	dirs     map[string]*directory
	turn     int // which loop gets the next lone listener
	pending  int // namespaces that are being drained
	allClear chan struct{}
}

func newControl(e *Engine) *control {
	return &control{
		eng: e, signal: make(chan struct{}, 1), ended: make(chan struct{}),
		byID: make(map[nsctx.ID]*Namespace), byPath: make(map[string]*Namespace), dirs: make(map[string]*directory),
	}
}

func (ct *control) start() error {
	started := make(chan struct{})
	failed := make(chan error, 1)
	ct.eng.workers.Go(func() {
		failed <- nsctx.RunLocked(func(t *nsctx.Thread) {
			ct.thread = t
			close(started)
			ct.run()
		})
	})
	select {
	case <-started:
		ct.mu.Lock()
		ct.live = true
		ct.mu.Unlock()
		return nil
	case err := <-failed:
		return err
	}
}

func (ct *control) run() {
	defer close(ct.ended)
	for {
		ct.mu.Lock()
		queue, closed := ct.queue, ct.closed
		ct.queue = nil
		ct.mu.Unlock()
		for _, f := range queue {
			f(ct)
		}
		if len(queue) > 0 {
			continue
		}
		// Nothing to do: a thread that stays would keep its namespace alive.
		if err := ct.thread.Home(); err != nil {
			ct.eng.fail(fmt.Errorf("control thread cannot go home: %w", err))
		}
		if closed {
			return
		}
		<-ct.signal
	}
}

// post has f run by the control goroutine, after what was posted before. It
// never blocks, and reports whether f will run.
func (ct *control) post(f func(*control)) bool {
	ct.mu.Lock()
	defer ct.mu.Unlock()
	if ct.closed {
		return false
	}
	ct.queue = append(ct.queue, f)
	select {
	case ct.signal <- struct{}{}:
	default:
	}
	return true
}

// do is post, and waits.
func (ct *control) do(f func(*control)) error {
	if ct.eng.sim != nil {
		return &Error{Op: "control", Err: errors.ErrUnsupported} // there is no control goroutine
	}
	done := make(chan struct{})
	if !ct.post(func(ct *control) { defer close(done); f(ct) }) {
		return &Error{Op: "control", Err: ErrStopped}
	}
	<-done
	return nil
}

func (ct *control) running() bool {
	ct.mu.Lock()
	defer ct.mu.Unlock()
	return ct.live && !ct.closed
}

// stop ends the control goroutine when it has done what was posted.
func (ct *control) stop() {
	ct.mu.Lock()
	live := ct.live
	ct.closed = true
	ct.mu.Unlock()
	if live {
		select {
		case ct.signal <- struct{}{}:
		default:
		}
		<-ct.ended
	}
}

// handle adds a service, in all namespaces that there are.
func (ct *control) handle(svc *service) error {
	for _, s := range ct.services {
		if svc.port != 0 && s.network == svc.network && s.port == svc.port {
			return &Error{Op: "handle", Err: fmt.Errorf("%w: %s port %d has a handler", ErrBadHandle, svc.network, svc.port)}
		}
	}
	ct.services = append(ct.services, svc)
	for _, ns := range ct.byID {
		if !ns.bare {
			ct.serve(ns, ct.addPort(ns, svc))
		}
	}
	return nil
}

// unhandle takes a service back, in all namespaces that there are. What it
// returns is closed when no loop listens for it any more.
func (ct *control) unhandle(svc *service) (done <-chan struct{}) {
	ct.services = slices.DeleteFunc(ct.services, func(s *service) bool { return s == svc })
	for _, ns := range ct.eng.Namespaces() {
		ns.dropPort(svc)
	}
	unlistened := make(chan struct{})
	ct.eng.onEveryLoop(func(l *loop) {
		for _, c := range l.cells {
			l.unlisten(c, svc)
		}
	}, func() { close(unlistened) })
	return unlistened
}

// attach is Engine.Attach.
func (ct *control) attach(ref nsctx.Ref) (*Namespace, error) {
	if ct.stopping() {
		return nil, &Error{Op: "attach", Namespace: ref.Name(), Err: ErrStopped}
	}
	nsc, err := ref.Open()
	if err != nil {
		return nil, &Error{Op: "attach", Namespace: ref.Name(), Err: describeDescriptors(err)}
	}
	path := watchable(ref.Path())
	ns, err := ct.attachOpened(nsc, ref.Name(), path, true)
	if err != nil {
		return nil, err
	}
	if path != "" {
		if _, err := ct.watch(filepath.Dir(path), nil); err != nil {
			ct.eng.log.Warn("cannot watch for the end of a namespace", "netns", ref.Name(), "err", err)
		}
		ct.awaitSight(path, ns, minSightWait)
	}
	return ns, nil
}

// watchable is a path whose end can be noticed, or "": what is in procfs goes
// with its process, without an event.
func watchable(path string) string {
	if path == "" {
		return ""
	}
	path = filepath.Clean(path)
	if strings.HasPrefix(path, "/proc/") {
		return ""
	}
	return path
}

// attachOpened attaches a namespace, or adds a name to it if it is attached
// already. It takes the handle over. Strict is all ports or none; otherwise
// those that can't be had are tried again later.
func (ct *control) attachOpened(nsc *nsctx.Namespace, name, path string, strict bool) (*Namespace, error) {
	if ns := ct.byID[nsc.ID()]; ns != nil {
		_ = nsc.Close() // a second descriptor of what is open already
		if ns.bare {
			sockets, err := ct.openAll(ns, strict)
			if err != nil {
				return nil, err
			}
			ns.bare = false
			ct.handOutAll(sockets)
		}
		ct.label(ns, name, path)
		return ns, nil
	}
	ns := newNamespace(ct.eng, nsc)
	ct.label(ns, name, path)
	sockets, err := ct.openAll(ns, strict)
	if err != nil {
		ct.forget(ns)
		_ = ct.thread.Home() // or the thread would keep it alive; said in run if it fails for good
		_ = nsc.Close()
		return nil, err
	}
	ct.enlist(ns)
	ct.handOutAll(sockets)
	return ns, nil
}

// openAll makes the listening sockets of every port in a namespace: with strict
// all or none of them.
func (ct *control) openAll(ns *Namespace, strict bool) ([]*sockets, error) {
	var sockets []*sockets
	for _, svc := range ct.services {
		p := ct.addPort(ns, svc)
		s, err := ct.open(ns, p)
		if err != nil && (strict || errors.Is(err, ErrSwitch)) {
			closeAll(sockets)
			ns.dropPorts()
			return nil, err
		}
		if err != nil {
			ct.listenFailed(ns, p, err)
			continue
		}
		sockets = append(sockets, s)
	}
	return sockets, nil
}

// enlist makes a namespace one that the engine serves.
func (ct *control) enlist(ns *Namespace) {
	ct.byID[ns.id] = ns
	ct.eng.mu.Lock()
	ct.eng.namespaces = append(slices.Clip(ct.eng.namespaces), ns)
	ct.eng.grade = ns.id.Grade()
	ct.eng.mu.Unlock()
	ns.setState(StateServing)
	ct.eng.log.Info("namespace attached", "netns", ns.Name(), "id", ns.id.String())
}

// home is the process's own namespace, attached without its ports if it is not
// attached yet.
func (ct *control) home() (*Namespace, error) {
	if ct.stopping() {
		return nil, &Error{Op: "attach", Namespace: nsctx.Home().Name(), Err: ErrStopped}
	}
	if ns := ct.byID[ct.eng.home.ID()]; ns != nil {
		ns.kept = true // whatever becomes of the name that it was attached by
		return ns, nil
	}
	nsc, err := nsctx.Home().Open()
	if err != nil {
		return nil, &Error{Op: "attach", Namespace: nsctx.Home().Name(), Err: describeDescriptors(err)}
	}
	ns := newNamespace(ct.eng, nsc)
	ns.bare = true
	ct.label(ns, nsctx.Home().Name(), "")
	ct.enlist(ns)
	return ns, nil
}

func (ct *control) label(ns *Namespace, name, path string) {
	if name == "" && path != "" {
		name = filepath.Base(path)
	}
	ns.addName(name)
	old := ct.byPath[path]
	switch {
	case path == "":
		ns.kept = true
		return
	case old == ns:
		return
	case old != nil:
		ct.vanish(path, old.id) // the name is another namespace's now, and the watch has not said so yet
	}
	ct.byPath[path] = ns
	ns.paths++
}

// forget drops what label has noted.
func (ct *control) forget(ns *Namespace) {
	for path, other := range ct.byPath {
		if other == ns {
			delete(ct.byPath, path)
		}
	}
}

// vanish is the end of a name: the namespace is drained if it was the last.
func (ct *control) vanish(path string, id nsctx.ID) {
	ns := ct.byPath[path]
	if ns == nil || ns.id != id {
		return
	}
	delete(ct.byPath, path)
	ns.paths--
	ns.removeName(filepath.Base(path))
	if ns.paths == 0 && !ns.kept {
		ct.drain(ns, later(ct.eng.clock(), int64(ct.eng.cfg.DrainTimeout)), true)
	}
}

// drain starts the end of a namespace. If confirm is set it ends when the
// kernel says that the namespace is gone, otherwise when nothing of it is
// left in this process.
func (ct *control) drain(ns *Namespace, deadline int64, confirm bool) {
	if ct.byID[ns.id] == ns {
		delete(ct.byID, ns.id)
		ct.forget(ns)
		ns.confirm = confirm
		ns.setState(StateDraining)
		close(ns.draining)
		ct.pending++
		ct.eng.log.Info("namespace draining", "netns", ns.Name(), "id", ns.id.String(), "conns", ns.connections())
	} else if !confirm && ns.confirm {
		ns.confirm = false // somebody waits for the end of our part only
		if !ns.holdsHandle() {
			ct.letGo(ns, false)
		}
	}
	for i, l := range ct.eng.loops {
		l.post(task{kind: taskLoop, run: func(l *loop) { l.drain(ns.cells[i], deadline) }})
	}
}

// cleared is a loop's word that it has nothing of a namespace any more.
func (e *Engine) cleared(ns *Namespace) {
	if e.sim != nil {
		e.control.letGo(ns, true) // there is no kernel to ask
		return
	}
	e.control.post(func(ct *control) { ct.cleared(ns) })
}

// cleared counts a loop that has nothing of a namespace any more. With
// the last, the namespace's own descriptor goes.
func (ct *control) cleared(ns *Namespace) {
	ns.cleared++
	if ns.cleared < len(ct.eng.loops) {
		return
	}
	if err := ct.thread.Home(); err != nil {
		ct.eng.fail(fmt.Errorf("control thread cannot go home: %w", err))
	}
	release, err := ns.nsc.Track()
	if err != nil {
		ct.eng.log.Warn("cannot tell when a namespace will be gone", "netns", ns.Name(), "err", err)
	}
	ns.closeHandle()
	ct.pending--
	if ct.pending == 0 && ct.allClear != nil {
		close(ct.allClear)
	}
	if !ns.confirm || err != nil {
		ct.letGo(ns, false)
		if release != nil {
			_ = release.Close() // nothing was waited for
		}
		return
	}
	ct.eng.workers.Go(func() { ct.awaitRelease(ns, release) })
}

// awaitRelease waits for the kernel's word.
func (ct *control) awaitRelease(ns *Namespace, release *nsctx.Release) {
	err := release.Wait(ct.eng.background)
	if e := release.Close(); e != nil {
		ct.eng.log.Warn("closing release tracker", "netns", ns.Name(), "err", e)
	}
	ct.letGo(ns, err == nil)
}

// letGo is the end of a namespace. It may be called by any goroutine, and does
// something once.
func (ct *control) letGo(ns *Namespace, confirmed bool) {
	if !ns.markReleased() {
		return
	}
	e := ct.eng
	if r, ok := e.cfg.Resolver.(interface{ Forget(nsctx.ID) }); ok {
		r.Forget(ns.id)
	}
	last := ns.stats()
	e.mu.Lock()
	e.gone.Add(&last)
	if confirmed {
		e.released++
	} else {
		e.abandoned++
	}
	left := make([]*Namespace, 0, len(e.namespaces))
	for _, other := range e.namespaces {
		if other != ns {
			left = append(left, other)
		}
	}
	e.namespaces = left
	e.mu.Unlock()
	e.log.Info("namespace released", "netns", ns.Name(), "id", ns.id.String(), "confirmed", confirmed,
		"after", time.Since(ns.enteredAt()).Round(time.Millisecond))
	close(ns.released)
}

// drainAll is the control's part of Shutdown.
func (ct *control) drainAll(deadline int64) <-chan struct{} {
	ct.eng.mu.Lock()
	ct.eng.draining = true
	ct.eng.mu.Unlock()
	ct.allClear = make(chan struct{})
	for _, d := range ct.dirs {
		d.stop()
	}
	for _, ns := range ct.eng.Namespaces() {
		ct.drain(ns, deadline, false)
	}
	if ct.pending == 0 {
		close(ct.allClear)
	}
	return ct.allClear
}

func (ct *control) stopping() bool { return ct.allClear != nil }
