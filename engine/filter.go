package engine

import "io"

// Filter stands between a connection's handler and the wire. What arrives goes
// through Input before the handler sees it, what the handler writes goes through
// Output before it is sent: TLS is one, compression could be another. Its methods
// run on the connection's loop, where the handler's callbacks run, and must not
// block. An error of any of them ends the connection with that error.
type Filter interface {
	// Input is given what has arrived, valid until it returns, and passes on
	// what the handler is to see with [Wire.Deliver]. What is not complete it
	// keeps.
	Input(w *Wire, arrived []byte) error
	// InputEOF says that the peer has sent its last: nothing more arrives. The
	// filter passes that on with [Wire.EOF], now or later.
	InputEOF(w *Wire) error
	// Output is given what the handler writes, valid until it returns, and
	// sends what becomes of it with [Wire.Write].
	Output(w *Wire, p []byte) error
	// CloseOutput is the time to send what ends the output. The write half is
	// shut down after it.
	CloseOutput(w *Wire) error
	// Closed says that the connection is gone; OnClose follows. The filter
	// frees what it holds.
	Closed(w *Wire)
}

// Flusher is a Filter that may keep what the handler writes until its callback
// returns, as the engine itself does, in order to send it in fewer pieces.
type Flusher interface {
	Filter
	// Flush sends what Output has kept. It follows every call of
	// [Wire.FlushLater].
	Flush(w *Wire) error
}

// Puller is a Filter that has memory of its own for what arrives, and reads it there
// without a copy.
type Puller interface {
	Filter
	// Pull stands for Input and InputEOF when there is something to read: the
	// filter calls [Wire.Read] until that has no more. It reports false, and has
	// read nothing, if Input and InputEOF are to be called this time.
	Pull(w *Wire) (bool, error)
}

// Wire is a connection as its filter sees it. Its methods belong to the
// connection's loop.
type Wire Conn

// SetFilter puts a filter between the handler and the wire, from the next byte on
// in both directions; nil takes it away. What has arrived before and is unread
// stays with the handler, which may want to feed it to the filter.
func (c *Conn) SetFilter(f Filter) {
	c.needExtras().filter = f
	c.mark()
}

// Wire is the connection below its filter, for what a filter does outside of its
// methods: in a function that was given to [Conn.Call].
func (c *Conn) Wire() *Wire { return (*Wire)(c) }

// Conn is the connection.
func (w *Wire) Conn() *Conn { return (*Conn)(w) }

// Room is memory for at least n bytes that the handler is to see; Filled says
// how many of them were written to it. It is valid until the next call of a
// method of the connection.
func (w *Wire) Room(n int) []byte {
	c := (*Conn)(w)
	c.holdBuffers()
	return c.buf.in.room(n)
}

// Filled passes on the first n bytes of Room. OnData is called when Input
// returns or, outside of Input, within the same or the next turn of the loop.
func (w *Wire) Filled(n int) {
	c := (*Conn)(w)
	c.buf.in.fill(n)
	if n > 0 {
		arrived := c.buf.in.bytes()
		c.tapped(Inbound, arrived[len(arrived)-n:])
		c.tellSoon()
	}
}

// tellSoon has the handler told of what a filter has passed on: when its method
// returns, or by itself if none runs.
func (c *Conn) tellSoon() {
	if c.wantData || c.stage != stageOpen {
		return
	}
	c.wantData = true
	if c != c.loop.filtering {
		c.loop.runAgain(c)
		c.loop.markDirty(c)
	}
}

// Read reads what has arrived into p, within Pull: recv(2). The error is
// [ErrNotReady] when there is no more, or enough for this turn, and [io.EOF] at the
// end; any other ends the connection.
func (w *Wire) Read(p []byte) (int, error) {
	c := (*Conn)(w)
	l := c.loop
	if c != l.filtering || c.eof || l.pullable == 0 {
		return 0, ErrNotReady
	}
	p = p[:min(len(p), l.pullable)]
	n, e := readSocket(c.fd, p)
	switch {
	case n > 0:
		c.moved = l.now
		l.received(c, n)
		l.pullable -= n
		if n < len(p) {
			l.pullable = 0 // that was all: another recv(2) would only say EAGAIN
		}
		return n, nil
	case e == 0:
		c.eof = true
		return 0, io.EOF
	case notReady(e):
		l.pullable = 0
		return 0, ErrNotReady
	}
	c.ep.cell.errors[ErrorRead].inc()
	c.fail(c.error("read", e))
	return 0, c.failed
}

// Deliver passes a copy of p on to the handler.
func (w *Wire) Deliver(p []byte) { w.Filled(copy(w.Room(len(p)), p)) }

// Write queues p for the wire, past the filter. p is the caller's again when it
// returns. Config.WriteBufferMax holds for what the handler writes, not for
// what becomes of it. The error is [ErrClosed], or what has ended the connection.
func (w *Wire) Write(p []byte) (int, error) {
	c := (*Conn)(w)
	if err := c.unwritable(); err != nil {
		return 0, err
	}
	n, err := c.send(p)
	c.loop.markDirty(c)
	return n, err
}

// FlushLater has the filter's Flush called, once, before the connection's output
// is sent: when the running callback returns. The filter is a [Flusher].
func (w *Wire) FlushLater() {
	c := (*Conn)(w)
	c.extra.flushDue = true
	c.loop.markDirty(c)
}

// EOF says that the peer's last byte was among what was passed on, though the
// wire may go on: OnReadEOF follows, and nothing more is read.
func (w *Wire) EOF() {
	c := (*Conn)(w)
	c.eof = true
	if x := c.extra; !x.eofPassed {
		x.eofPassed, x.eofDue = true, true
		c.tellSoon()
	}
}

// Open reports whether the handler is still told what happens: the connection is
// neither closed nor about to be.
func (w *Wire) Open() bool {
	c := (*Conn)(w)
	return c.open() && !c.broken
}

// Fail is [Conn.Fail] for the filter's reasons: it counts as an [ErrorFilter].
func (w *Wire) Fail(reason error) {
	c := (*Conn)(w)
	if c.stage == stageClosed || c.broken {
		return
	}
	c.ep.cell.errors[ErrorFilter].inc()
	c.fail(c.error("filter", reason))
	c.loop.markDirty(c)
}

// CloseWith is [Conn.CloseWith] for the filter's reasons, an alert being the last
// that it has written: it counts as an [ErrorFilter].
func (w *Wire) CloseWith(reason error) {
	c := (*Conn)(w)
	c.closeWith(ErrorFilter, "filter", reason)
}

// tellEOF calls OnReadEOF, which a filter may have found together with data that
// the handler did not want to be told of at once.
func (l *loop) tellEOF(c *Conn) {
	if x := c.extra; x.eofDue && c.mayBeTold() {
		x.eofDue = false
		l.tell(c, onReadEOF)
	}
}

// serveFiltered reads once, through the filter.
func (l *loop) serveFiltered(c *Conn, f Filter) {
	if c.unread() >= l.limits.readMax {
		c.pause |= pausedByInput
		return
	}
	c.prepareInput()
	if !l.pull(c, f) {
		l.push(c, f)
	}
	if !c.broken && c.wantData {
		l.tellLeftovers(c)
	}
	if c.unread() >= l.limits.readMax {
		c.pause |= pausedByInput
	}
}

// pull has a filter that can read by itself, and wants to, do so.
func (l *loop) pull(c *Conn, f Filter) (pulled bool) {
	p, ok := f.(Puller)
	if !ok {
		return false
	}
	l.pullable = l.limits.readChunk
	l.filterInput(c, func() (err error) {
		pulled, err = p.Pull(c.Wire())
		return err
	})
	l.pullable = 0
	return pulled || c.broken
}

// push reads for the filter.
func (l *loop) push(c *Conn, f Filter) {
	if l.wire == nil {
		l.wire = make([]byte, l.limits.readChunk)
	}
	n, e := readSocket(c.fd, l.wire)
	switch {
	case n > 0:
		c.moved = l.now
		l.received(c, n)
		l.filterInput(c, func() error { return f.Input(c.Wire(), l.wire[:n]) })
	case e == 0:
		c.eof = true
		l.filterInput(c, func() error { return f.InputEOF(c.Wire()) })
	case !notReady(e):
		c.ep.cell.errors[ErrorRead].inc()
		c.fail(c.error("read", e))
	}
}

// filterInput is filter for the methods after which the handler is told of what they
// have passed on.
func (l *loop) filterInput(c *Conn, method func() error) {
	filtering := l.filtering
	l.filtering = c
	l.filter(c, method)
	l.filtering = filtering
}

// filter runs a method of a connection's filter. A panic in it is the
// handler's.
func (l *loop) filter(c *Conn, method func() error) {
	running := l.running
	l.running = c
	if running != c {
		defer l.contain(c, running)
	}
	err := method()
	l.running = running
	if err != nil {
		c.Wire().Fail(err)
	}
}

// contain has a connection pay for a panic in its filter or tap by itself: what runs
// may be the callback of another, which goes on.
func (l *loop) contain(c, running *Conn) {
	value := recover()
	if value == nil && l.running == running {
		return
	}
	l.running = running
	c.fail(l.panicked(c, value))
	l.markDirty(c)
}

// output is a Write through the filter. What it comes to is not known before, so
// that the limit is on what goes in.
func (c *Conn) output(f Filter, p []byte) (int, error) {
	if err := c.unwritable(); err != nil {
		return 0, err
	}
	if err := c.checkOverflow(len(p)); err != nil {
		return 0, err
	}
	c.loop.filter(c, func() error { return f.Output(c.Wire(), p) })
	c.loop.markDirty(c) // the filter's own mark found the connection running
	if c.broken {
		return 0, c.failed
	}
	return len(p), nil
}

// flushFilter sends what the filter has kept.
func (l *loop) flushFilter(c *Conn) {
	x := c.extra
	if !x.flushDue || c.broken {
		return
	}
	x.flushDue = false
	if f, ok := x.filter.(Flusher); ok {
		l.filter(c, func() error { return f.Flush(c.Wire()) })
	}
}

// endOutput notes that the write half is to be shut down when everything is out,
// and lets the filter send its last.
func (c *Conn) endOutput() {
	if c.finWanted {
		return
	}
	if x := c.extra; x != nil && x.filter != nil && c.stage <= stageConnecting && !c.broken {
		c.loop.flushFilter(c)
		c.loop.filter(c, func() error { return x.filter.CloseOutput(c.Wire()) })
		c.loop.flushFilter(c)
	}
	c.finWanted = true
}
