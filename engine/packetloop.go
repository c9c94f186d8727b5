package engine

import (
	"errors"
	"net/netip"
	"runtime/debug"

	"github.com/nsreactor/nsreactor/poller"
)

// packets is what a loop serves packet sockets with: one batch that is being read, and one that
// is being written, each with one system call. A loop has it from its first packet socket on.
type packets struct {
	in       packetInput
	out      packetOutput
	receive  func(fd int, in *packetInput) (int, errno)               // recvmmsg(2)
	transmit func(fd int, out *packetOutput, at int) (n int, e errno) // sendmmsg(2); tests put failures here

	from    *PacketConn // whose packets are in the input
	n, next int         // how many, and which is told next
	running *PacketConn // whose callback runs
	packet  Packet      // what OnPacket is given
}

func (l *loop) needPackets() *packets {
	if l.packets == nil {
		cfg := l.eng.cfg
		l.packets = &packets{
			in: newPacketInput(cfg.PacketBatch, cfg.PacketMax), out: newPacketOutput(cfg.PacketBatch),
			receive: receivePackets, transmit: transmitJoined,
		}
	}
	return l.packets
}

// adoptPackets takes over a packet socket. It takes none that comes too late: the
// result is then nil.
func (l *loop) adoptPackets(ep *endpoint, h PacketHandler, s packetSocket) *PacketConn {
	cell := ep.cell
	if cell.draining || l.stopping {
		closeSocket(s.fd)
		return nil
	}
	l.needPackets()
	l.cells[cell.ns] = cell
	c := &PacketConn{loop: l, handler: h, fd: s.fd, port: s.port, v4: s.v4}
	c.ep = ep
	c.serve = func(l *loop, ready poller.Readiness) { l.servePackets(c, ready) }
	c.timer.fire = func(l *loop) { l.tellPacketConn(c, func() { h.OnTimer(c) }) }
	c.retry.fire = func(l *loop) { l.pollPackets(c, poller.Readable) }
	c.token = l.table.put(nil, &c.source)
	cell.addPackets(c)
	l.stats.packetConns.inc()
	l.pollPackets(c, poller.Readable) // first: OnOpen may end the goroutine
	l.tellPacketConn(c, func() { h.OnOpen(c) })
	return c
}

// pollPackets tells the poller what the socket waits for.
func (l *loop) pollPackets(c *PacketConn, want poller.Interest) {
	if c.closed || c.interest == want {
		return
	}
	var err error
	if c.interest == 0 {
		err = l.poller.Add(c.fd, c.token, want)
	} else {
		err = l.poller.Modify(c.fd, c.token, want)
	}
	if err == nil {
		c.interest = want
		return
	}
	c.ep.cell.errors[ErrorRegister].inc()
	l.eng.log.Error("cannot poll packet socket; trying again", "netns", c.ep.cell.ns.Name(), "port", c.port, "err", err)
	l.timers.set(&c.retry, l.eng.clock()+int64(maxAcceptPause))
}

// closePackets is the one way out of the table. The descriptor is closed when the
// turn is over.
func (l *loop) closePackets(c *PacketConn, err error) {
	if c.closed {
		return
	}
	if l.packets.out.conn == c {
		l.flushPackets()
	}
	c.closing.Store(true)
	c.closed = true
	cell := c.ep.cell
	cell.packets.dropped.add(uint64(len(c.backlog)))
	c.backlog, c.backlogBytes = nil, 0
	l.timers.remove(&c.timer)
	l.timers.remove(&c.retry)
	if c.interest != 0 {
		_ = l.poller.Remove(c.fd) // it is closed next, whatever this says
	}
	l.table.drop(c.token)
	cell.removePackets(c)
	l.stats.packetConns.dec()
	c.ep.publish()
	l.dead = append(l.dead, c.fd)
	c.fd = -1
	l.callPacketConn(c, func() { c.handler.OnClose(c, err) })
	c.context = nil
}

// servePackets handles a packet socket's readiness: one batch in, one batch out.
// Level-triggered readiness brings the rest in the next turn, after everyone else's.
func (l *loop) servePackets(c *PacketConn, ready poller.Readiness) {
	l.show(c.ep)
	if ready.Failed() && pendingError(c.fd) != nil {
		c.ep.cell.errors[ErrorRead].inc()
	}
	if ready.Writable() {
		l.sendBacklog(c)
	}
	if ready.Readable() {
		l.readPackets(c)
	}
	l.flushPackets()
	l.leave()
}

func (l *loop) readPackets(c *PacketConn) {
	p := l.packets
	n, e := p.receive(c.fd, &p.in)
	if n == 0 {
		if e != 0 && !notReady(e) {
			c.ep.cell.errors[ErrorRead].inc()
		}
		return
	}
	l.countPackets(c, n)
	p.from, p.n, p.next = c, n, 0
	l.tellPackets()
}

// countPackets counts what has arrived.
func (l *loop) countPackets(c *PacketConn, n int) {
	got, counters := l.packets.in.sum(n), &c.ep.cell.packets
	l.countIn(c.ep, got.bytes)
	counters.in.add(uint64(n))
	counters.truncated.add(uint64(got.truncated))
	if got.missed != 0 { // the kernel says so only from the first on
		counters.missed.add(uint64(got.missed - c.missed)) // modulo 2^32, as the kernel counts
		c.missed = got.missed
	}
}

// tellPackets tells what is left of the batch.
func (l *loop) tellPackets() {
	for p := l.packets; p.next < p.n; {
		l.tellSomePackets()
	}
}

// tellSomePackets is tellPackets as far as it comes: a handler's panic ends it
// early. To guard each callback by itself would cost each packet.
func (l *loop) tellSomePackets() {
	defer l.recoverPackets()
	p := l.packets
	for c := p.from; p.next < p.n; {
		p.packet.conn = c
		p.in.packet(p.next, &p.packet)
		p.next++
		if c.closing.Load() || !l.enterPackets(c) {
			continue
		}
		p.running = c
		c.handler.OnPacket(&p.packet)
		p.running = nil
		l.checkPackets(c)
	}
}

// tellPacketConn makes a callback that is not about a packet, in the socket's
// namespace; none if that can't be entered.
func (l *loop) tellPacketConn(c *PacketConn, callback func()) {
	l.show(c.ep)
	if l.enterPackets(c) {
		l.guardPackets(c, callback)
		l.checkPackets(c)
	}
	l.leave()
}

// callPacketConn makes a callback that was promised to be made: where the namespace
// can't be entered, or is perhaps waiting for this thread to be out of it, at home.
func (l *loop) callPacketConn(c *PacketConn, callback func()) {
	if c.ep.cell.drained || !l.enterPackets(c) {
		l.goHome()
	}
	l.guardPackets(c, callback)
	l.checkPackets(c)
	l.leave()
}

// enterPackets brings the thread where the socket's handler needs it.
func (l *loop) enterPackets(c *PacketConn) bool {
	if c.ep.anywhere {
		return true
	}
	if err := l.enterNamespace(c.ep.cell.ns); err != nil {
		c.ep.cell.errors[ErrorSwitch].inc()
		return false
	}
	return true
}

func (l *loop) checkPackets(c *PacketConn) {
	if l.limits.checkThread {
		_ = l.strayed(c.ep) // counted and logged; the socket is not the one to pay
	}
}

// guardPackets runs a callback, from within another socket's perhaps.
func (l *loop) guardPackets(c *PacketConn, callback func()) {
	p := l.packets
	outer := p.running
	defer func() { p.running = outer }()
	defer l.recoverPackets()
	p.running = c
	callback()
	p.running = nil
}

func (l *loop) recoverPackets() {
	c := l.packets.running
	value := recover()
	if c == nil {
		if value != nil {
			panic(value) // our own bug, not a handler's
		}
		return
	}
	if value == nil {
		value = "runtime.Goexit was called"
	}
	l.packets.running = nil
	l.stats.panics.inc()
	c.ep.cell.errors[ErrorPanic].inc()
	l.eng.log.Error("handler panicked; its packet is dropped", "netns", c.ep.cell.ns.Name(), "port", c.port,
		"peer", l.packets.packet.Path.Remote, "panic", value, "stack", string(debug.Stack()))
}

// pickUpPackets does what a turn that was cut short has left undone.
func (l *loop) pickUpPackets() {
	if l.packets != nil {
		l.tellPackets()
		l.flushPackets()
	}
}

// maxDatagram is the longest that UDP's length field can say, header included.
const maxDatagram = 65535

// sendPacket puts a datagram into the batch, which is one socket's at a time.
func (l *loop) sendPacket(c *PacketConn, path *PacketPath, b []byte) error {
	out := &l.packets.out
	if len(b) > maxDatagram {
		return l.dropPacket(c, path, ErrorWrite, errMessageSize)
	}
	if err := resolvePath(c.fd, c.v4, path); err != nil {
		return l.dropPacket(c, path, ErrorWrite, err)
	}
	if out.conn != c || !out.fits(len(b)) {
		l.flushPackets()
	}
	if len(c.backlog) > 0 {
		return l.queuePacket(c, path, b) // behind what waits
	}
	out.conn = c
	out.add(c.v4, path, b)
	return nil
}

func (l *loop) dropPacket(c *PacketConn, path *PacketPath, kind ErrorKind, cause error) error {
	c.ep.cell.packets.dropped.inc()
	c.ep.cell.errors[kind].inc()
	return c.error("send", path.Remote, cause)
}

// queuePacket keeps a datagram until the kernel has room for it.
func (l *loop) queuePacket(c *PacketConn, path *PacketPath, b []byte) error {
	q := queuedPacket{path: *path, data: b}
	if c.backlogBytes+q.size() > l.eng.cfg.PacketBacklog {
		return l.dropPacket(c, path, ErrorOverflow, ErrOverflow)
	}
	q.data = append([]byte(nil), b...)
	c.backlog = append(c.backlog, q)
	c.backlogBytes += q.size()
	l.pollPackets(c, poller.Readable|poller.Writable)
	return nil
}

// flushPackets sends the batch. What the kernel has no room for waits.
func (l *loop) flushPackets() {
	if l.packets == nil || l.packets.out.n == 0 {
		return
	}
	out := &l.packets.out
	for i := l.transmit(); i < out.n; i++ {
		_ = l.queuePacket(out.conn, &out.paths[i], out.payload(i)) // counted if there is no room here either
	}
	out.reset()
}

// sendBacklog sends what waits for room.
func (l *loop) sendBacklog(c *PacketConn) {
	l.flushPackets()
	out := &l.packets.out
	for len(c.backlog) > 0 {
		out.conn = c
		for _, q := range c.backlog {
			if !out.fits(len(q.data)) {
				break
			}
			out.add(c.v4, &q.path, q.data)
		}
		tried, done := out.n, l.transmit()
		out.reset()
		for i := range done {
			c.backlogBytes -= c.backlog[i].size()
		}
		clear(c.backlog[:done])
		c.backlog = c.backlog[done:]
		if done < tried {
			return
		}
	}
	c.backlog = nil
	l.pollPackets(c, poller.Readable)
}

// transmit sends the batch as far as the kernel has room, and says how far that
// was. What the kernel refuses is dropped and counted; the rest goes on.
func (l *loop) transmit() (done int) {
	p := l.packets
	c := p.out.conn
	for done < p.out.n {
		n, e := p.transmit(c.fd, &p.out, done)
		switch {
		case n > 0:
			c.ep.cell.packets.out.add(uint64(n))
			l.countOut(c.ep, p.out.bytes(done, n))
			done += n
		case wouldBlock(e):
			return done
		case !notReady(e):
			c.ep.cell.packets.dropped.inc()
			c.ep.cell.errors[ErrorWrite].inc()
			done++
		}
	}
	return done
}

// openPackets makes a packet socket in a namespace, on this loop, and leaves the
// thread where it was.
func (l *loop) openPackets(ns *Namespace, svc *service) (c *PacketConn, err error) {
	cell := ns.cells[l.index]
	fail := func(err error) error {
		return &Error{Op: "open", Namespace: ns.Name(), Addr: netip.AddrPortFrom(netip.IPv6Unspecified(), uint16(svc.port)), Err: err}
	}
	switch {
	case l.thread == nil:
		return nil, fail(errors.ErrUnsupported) // a simulated loop has no kernel to ask
	case l.stopping:
		return nil, fail(ErrStopped)
	case cell.draining:
		return nil, fail(ErrDraining)
	}
	at, shown := l.at, l.shown
	if err := l.enterNamespace(ns); err != nil {
		cell.errors[ErrorSwitch].inc()
		return nil, fail(err)
	}
	s, err := listenUDP(listenSpec{port: svc.port})
	if err == nil {
		c = l.adoptPackets(&endpoint{svc: svc, cell: cell, anywhere: svc.anywhere}, svc.packets, s)
	}
	if shown != nil {
		l.show(shown)
	}
	if err != nil {
		cell.errors[ErrorListen].inc()
		err = fail(describeDescriptors(err))
	}
	l.goBack(at)
	return c, err
}

// goBack brings the thread to where a callback had it, or else home.
func (l *loop) goBack(at *Namespace) {
	if at != nil {
		err := l.enterNamespace(at)
		if err == nil {
			return
		}
		l.eng.log.Error("cannot go back to the namespace of a callback", "netns", at.Name(), "err", err)
	}
	l.goHome()
}

func (c *cell) addPackets(p *PacketConn) {
	p.index = len(c.packetConns)
	c.packetConns = append(c.packetConns, p)
	c.packets.conns.inc()
}

func (c *cell) removePackets(p *PacketConn) {
	last := len(c.packetConns) - 1
	c.packetConns[p.index] = c.packetConns[last]
	c.packetConns[p.index].index = p.index
	c.packetConns[last] = nil
	c.packetConns = c.packetConns[:last]
	c.packets.conns.dec()
}

// packetCounters are a cell's; see PacketStats.
type packetCounters struct {
	conns                               counter // open now
	in, out, dropped, missed, truncated counter
}

func (p *packetCounters) load() PacketStats {
	return PacketStats{
		In: p.in.load(), Out: p.out.load(), Dropped: p.dropped.load(), Missed: p.missed.load(), Truncated: p.truncated.load(),
	}
}
