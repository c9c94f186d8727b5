package engine

import (
	"fmt"
	"net"
	"slices"
	"sync"
	"time"
)

// acceptQueue is how many connections may wait for Accept; the next ones wait in
// the kernel's backlogs.
const acceptQueue = 256

// Listener is a [net.Listener] for a port of the network "tcp" in every namespace
// that is attached, now or later: what runs on package net, such as net/http,
// crypto/tls or google.golang.org/grpc, serves them all so. The loops accept, with
// the limits, counts and drains that handlers have; from there on a connection is
// Go's own, and costs what connections of package net cost.
//
// The connections are [*NetConn]. When Accept is not called for a while,
// the loops stop accepting on this port until it is. Accept ends with
// [net.ErrClosed] after Close, and after Shutdown has drained the backlogs.
// An engine that has only Listeners, no handlers, does best with Config.Loops 1 and
// KeepMaxProcs: accepting is all that is left for its loops.
//
// Close closes the port in all namespaces and resets what waits for Accept;
// connections that were accepted go on. A wrong or taken port is an
// [ErrBadHandle]; one that can't be had in a namespace is what it is for Handle.
func (e *Engine) Listener(port int) (net.Listener, error) {
	if port < 0 || port > 65535 {
		return nil, &Error{Op: "listen", Err: fmt.Errorf("%w: port %d is not within 0 to 65535", ErrBadHandle, port)}
	}
	b := &bridge{
		eng: e, addr: net.TCPAddr{IP: net.IPv6unspecified, Port: port}, closed: make(chan struct{}),
		// Each loop looks before it accepts, and may then be one of several.
		queue: make(chan *NetConn, acceptQueue+len(e.loops)),
	}
	b.svc = &service{network: "tcp", port: port, anywhere: true, bridge: b}
	if err := e.handle(b.svc); err != nil {
		return nil, err
	}
	return b, nil
}

// bridge is what Listener returns: loops hand connections over, Accept takes them.
type bridge struct {
	eng    *Engine
	svc    *service
	addr   net.TCPAddr
	queue  chan *NetConn
	once   sync.Once
	closed chan struct{}

	mu     sync.Mutex
	paused []pausedListener
}

// pausedListener is one that found the queue full.
type pausedListener struct {
	loop     *loop
	listener *listener
}

// Addr is the port on the unspecified address; 0 is one that the kernel chooses in
// each namespace, as [Namespace.Port] tells.
func (b *bridge) Addr() net.Addr { return &b.addr }

// Accept waits for a connection. Any number of goroutines may.
func (b *bridge) Accept() (net.Conn, error) {
	for {
		c := b.next()
		if c == nil {
			return nil, b.error("accept", net.ErrClosed)
		}
		b.resume()
		if b.open(c) {
			return c, nil
		}
	}
}

// next is a connection, or nil at the end.
func (b *bridge) next() *NetConn {
	select {
	case c := <-b.queue: // also if the end has come by now
		return c
	default:
	}
	select {
	case c := <-b.queue:
		return c
	case <-b.closed:
	case <-b.eng.lastAccepted:
	case <-b.eng.background.Done():
	}
	select {
	case c := <-b.queue:
		return c
	default:
		return nil
	}
}

// open turns a connection over to Go. It is tried again while descriptors are
// lacking, as accepting is.
func (b *bridge) open(c *NetConn) bool {
	for wait := minAcceptPause; ; wait = min(2*wait, maxAcceptPause) {
		err := c.open()
		switch {
		case err == nil:
			return true
		case !outOfDescriptors(err):
			if c.expel(err) {
				c.count(ErrorAccept)
			}
			return false
		}
		c.count(ErrorAcceptLimit)
		if wait == minAcceptPause {
			b.eng.log.Warn("cannot accept; pausing", "netns", c.Namespace().Name(), "port", b.svc.port,
				"err", describeDescriptors(err))
		}
		select {
		case <-time.After(wait):
		case <-b.closed:
			c.expel(ErrClosed)
			return false
		case <-b.eng.background.Done():
			return false
		}
	}
}

// Close takes the port back.
func (b *bridge) Close() error {
	err := b.error("close", net.ErrClosed)
	b.once.Do(func() {
		err = nil
		b.takeBack()
		close(b.closed)
		b.flush()
	})
	return err
}

// takeBack returns when no loop listens any more. One that a handler blocks is
// waited for no longer than it takes to count as stalled.
func (b *bridge) takeBack() {
	var unlistened <-chan struct{}
	if b.eng.control.do(func(ct *control) { unlistened = ct.unhandle(b.svc) }) != nil {
		return // the engine has stopped, and with it all listeners
	}
	late := time.NewTimer(b.eng.cfg.StallAfter)
	defer late.Stop()
	select {
	case <-unlistened:
	case <-late.C:
	}
}

// flush resets what nobody will accept.
func (b *bridge) flush() {
	for {
		select {
		case c := <-b.queue:
			c.expel(ErrClosed)
		default:
			return
		}
	}
}

func (b *bridge) error(op string, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Addr: &b.addr, Err: err}
}

// push is a loop's. There is room: the loop has looked.
func (b *bridge) push(c *NetConn) {
	b.queue <- c
	select {
	case <-b.closed:
		b.flush()
	default:
	}
}

// isFull reports whether a listener has to wait for Accept, and has it wait.
func (b *bridge) isFull(l *loop, ls *listener) bool {
	if len(b.queue) < acceptQueue {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.queue) <= acceptQueue/2 {
		return false // whoever took from the queue may have looked before
	}
	if p := (pausedListener{l, ls}); !slices.Contains(b.paused, p) {
		b.paused = append(b.paused, p)
	}
	l.disarmListener(ls)
	return true
}

// resume has the paused listeners go on when the queue is half empty.
func (b *bridge) resume() {
	if len(b.queue) > acceptQueue/2 {
		return
	}
	b.mu.Lock()
	paused := b.paused
	b.paused = nil
	b.mu.Unlock()
	for _, p := range paused {
		p.loop.post(task{kind: taskLoop, run: func(l *loop) {
			if p.listener.fd >= 0 && !p.listener.armed {
				l.armListener(p.listener)
			}
		}})
	}
}
