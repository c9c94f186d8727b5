package engine

import (
	"fmt"
	"math/rand/v2"
)

// HandlePackets registers a handler for the datagrams of a port of the network "udp" (IPv4 and
// IPv6), 1 to 65535, or 0 for one that the kernel chooses in each namespace
// ([Namespace.Port] tells). As with [Engine.Handle] it is served in every
// namespace that is attached, now or later, and a wrong call is an [ErrBadHandle].
func (e *Engine) HandlePackets(network string, port int, h PacketHandler, options ...HandleOption) error {
	if err := checkPackets("handle", network, port, h); err != nil {
		return err
	}
	return e.register(&service{network: network, port: port, packets: h}, options)
}

func checkPackets(op, network string, port int, h PacketHandler) error {
	switch {
	case network != "udp":
		return &Error{Op: op, Err: fmt.Errorf("%w: network %q is not \"udp\"", ErrBadHandle, network)}
	case port < 0 || port > 65535:
		return &Error{Op: op, Err: fmt.Errorf("%w: port %d is not within 0 to 65535", ErrBadHandle, port)}
	case h == nil:
		return &Error{Op: op, Err: fmt.Errorf("%w: no handler for packets of port %d", ErrBadHandle, port)}
	}
	return nil
}

// OpenPacket makes one UDP socket in a namespace that is attached, on one of the loops: to ask
// others from there, with port 0 for one that the kernel chooses. Its handler's OnOpen
// has been called when it returns. Whoever opens it closes it, unless the namespace
// goes away first. Any goroutine may call it, but no callback: see
// [PacketConn.OpenPacket].
//
// The error is [ErrDraining] for a namespace that is going or gone, or the system call's.
func (e *Engine) OpenPacket(ns *Namespace, port int, h PacketHandler, options ...HandleOption) (*PacketConn, error) {
	svc, err := e.packetService(ns, port, h, options)
	if err != nil {
		return nil, err
	}
	var c *PacketConn
	done := make(chan struct{})
	l := e.loops[rand.IntN(len(e.loops))]
	err = &Error{Op: "open", Namespace: ns.Name(), Err: ErrPanic} // unless OnOpen lets openPackets return
	run := func(l *loop) {
		defer close(done)
		c, err = l.openPackets(ns, svc)
	}
	if !l.post(task{kind: taskLoop, run: run}) {
		return nil, &Error{Op: "open", Namespace: ns.Name(), Err: ErrStopped}
	}
	<-done
	return c, err
}

// OpenPacket is [Engine.OpenPacket] for callbacks: the new socket is on the loop of this one, so that
// the handlers of both may use each other's. The thread is afterwards where it was.
func (c *PacketConn) OpenPacket(ns *Namespace, port int, h PacketHandler, options ...HandleOption) (*PacketConn, error) {
	return c.loop.openFor(ns, port, h, options)
}

// OpenPacket is [PacketConn.OpenPacket] for a connection's callbacks.
func (c *Conn) OpenPacket(ns *Namespace, port int, h PacketHandler, options ...HandleOption) (*PacketConn, error) {
	return c.loop.openFor(ns, port, h, options)
}

func (l *loop) openFor(ns *Namespace, port int, h PacketHandler, options []HandleOption) (*PacketConn, error) {
	svc, err := l.eng.packetService(ns, port, h, options)
	if err != nil {
		return nil, err
	}
	return l.openPackets(ns, svc)
}

func (e *Engine) packetService(ns *Namespace, port int, h PacketHandler, options []HandleOption) (*service, error) {
	if err := checkPackets("open", "udp", port, h); err != nil {
		return nil, err
	}
	if ns == nil || ns.eng != e {
		return nil, &Error{Op: "open", Err: ErrNotAttached}
	}
	svc := &service{network: "udp", port: port, packets: h}
	for _, o := range options {
		o(svc)
	}
	return svc, nil
}
