package session

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/initiator"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/pdu"
)

// client is a raw connection with the numbers of a session of its own.
type client struct {
	t *testing.T
	*initiator.Conn
	sn  pdu.Serial
	exp pdu.Serial
}

func (f *fixture) client(t *testing.T, keys ...string) *client {
	t.Helper()
	conn, r := f.raw(keys...)
	c := &client{t: t, Conn: conn, sn: r.CmdSN, exp: r.ExpStatSN}
	c.ready()
	return c
}

// ready gets over the unit attentions.
func (c *client) ready() {
	c.t.Helper()
	for range 10 {
		if c.command(pdu.SCSICommand{ITT: 1, CDB: make([]byte, 6)}).Status() == initiator.Good {
			return
		}
	}
	c.t.Fatal("the unit does not get ready")
}

// send sends PDUs.
func (c *client) send(p ...initiator.Builder) {
	c.t.Helper()
	if err := c.Send(p...); err != nil {
		c.t.Fatal(err)
	}
}

// receive is the next PDU, which must have an opcode.
func (c *client) receive(op pdu.Opcode) initiator.PDU {
	c.t.Helper()
	p, err := c.Receive()
	if err != nil {
		c.t.Fatalf("%v, not %v", err, op)
	}
	if p.Opcode() != op {
		c.t.Fatalf("%v, not %v: % x", p.Opcode(), op, []byte(p.Header))
	}
	return p
}

// next numbers a command.
func (c *client) next(cmd pdu.SCSICommand) pdu.SCSICommand {
	cmd.CmdSN, cmd.ExpStatSN, cmd.Final = c.sn, c.exp, true
	if cmd.Attribute == 0 {
		cmd.Attribute = pdu.Simple
	}
	c.sn++
	return cmd
}

// command sends a command and receives its SCSI Response.
func (c *client) command(cmd pdu.SCSICommand) initiator.PDU {
	c.t.Helper()
	c.send(c.next(cmd))
	return c.receive(pdu.OpSCSIResponse)
}

// alive checks that the session works.
func (c *client) alive() {
	c.t.Helper()
	if p := c.command(pdu.SCSICommand{ITT: 0xa11e, CDB: make([]byte, 6)}); p.Status() != initiator.Good || p.ITT() != 0xa11e {
		c.t.Fatalf("after that: status %d of %x", p.Status(), p.ITT())
	}
}

// closed checks that the target has closed the connection.
func (c *client) closed() {
	c.t.Helper()
	for {
		if _, err := c.Receive(); err != nil {
			if ne := interface{ Timeout() bool }(nil); errors.As(err, &ne) && ne.Timeout() {
				c.t.Fatal("the connection stays open")
			}
			_ = c.Close() // or the server waits for that
			return
		}
	}
}

func write10(itt pdu.Tag, blocks int) pdu.SCSICommand {
	return pdu.SCSICommand{Write: true, ITT: itt, Expected: uint32(blocks * 512), CDB: []byte{0x2a, 0, 0, 0, 0, 0, 0, 0, byte(blocks), 0}}
}

func read10(itt pdu.Tag, blocks int) pdu.SCSICommand {
	return pdu.SCSICommand{Read: true, ITT: itt, Expected: uint32(blocks * 512), CDB: []byte{0x28, 0, 0, 0, 0, 0, 0, 0, byte(blocks), 0}}
}

var noImmediate = []string{"ImmediateData=No", "InitialR2T=Yes"}

// Data-Out whose numbers are wrong ends its task with CHECK CONDITION, as a digest error
// does, when the last PDU has come; nothing is written, and the session goes on.
func TestDataSN(t *testing.T) {
	for name, numbers := range map[string][]uint32{"0 0": {0, 0}, "27": {27}, "-1": {0xffffffff}, "1 0": {1, 0}} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, options{})
			c := f.client(t, noImmediate...)
			c.send(c.next(write10(2, len(numbers))))
			r := c.receive(pdu.OpR2T)
			for i, sn := range numbers {
				c.send(pdu.DataOut{Final: i == len(numbers)-1, ITT: 2, TTT: r.TTT(), ExpStatSN: c.exp, DataSN: sn, Offset: uint32(i * 512), Data: make([]byte, 512)})
			}
			p := c.receive(pdu.OpSCSIResponse)
			if s := initiator.ParseSense(pdu.Sense(p.Data)); p.Status() != initiator.CheckCondition || s != (initiator.Sense{Key: 0xb, ASC: 0x47, ASCQ: 5}) {
				t.Errorf("status %d, sense %v", p.Status(), s)
			}
			c.alive()
		})
	}
}

// What else can be wrong with Data-Out.
func TestDataOutViolations(t *testing.T) {
	at := func(f func(*pdu.DataOut)) func(pdu.Tag) initiator.Builder {
		return func(ttt pdu.Tag) initiator.Builder {
			p := pdu.DataOut{Final: true, ITT: 2, TTT: ttt, Data: make([]byte, 512)}
			f(&p)
			return p
		}
	}
	for name, c := range map[string]struct {
		send  func(ttt pdu.Tag) initiator.Builder
		sense initiator.Sense // of the response; zero: a Reject
	}{
		"offset":      {at(func(p *pdu.DataOut) { p.Offset = 512 }), initiator.Sense{Key: 0xb, ASC: 0xc, ASCQ: 0xd}},
		"too much":    {at(func(p *pdu.DataOut) { p.Data = make([]byte, 1024) }), initiator.Sense{Key: 0xb, ASC: 0xc, ASCQ: 0xd}},
		"too little":  {at(func(p *pdu.DataOut) { p.Data = make([]byte, 100) }), initiator.Sense{Key: 0xb, ASC: 0xc, ASCQ: 0xd}},
		"not final":   {at(func(p *pdu.DataOut) { p.Final = false }), initiator.Sense{Key: 0xb, ASC: 0xc, ASCQ: 0xd}},
		"unsolicited": {at(func(p *pdu.DataOut) { p.TTT = pdu.NoTag }), initiator.Sense{}},
		"unknown TTT": {at(func(p *pdu.DataOut) { p.TTT += 5 }), initiator.Sense{}},
		"unknown ITT": {at(func(p *pdu.DataOut) { p.ITT = 77 }), initiator.Sense{}},
		"far away":    {at(func(p *pdu.DataOut) { p.Offset = 0xfffffe00 }), initiator.Sense{Key: 0xb, ASC: 0xc, ASCQ: 0xd}},
		"a great SN":  {at(func(p *pdu.DataOut) { p.DataSN = 1 << 31 }), initiator.Sense{Key: 0xb, ASC: 0x47, ASCQ: 5}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, options{})
			cl := f.client(t, noImmediate...)
			cl.send(cl.next(write10(2, 1)))
			r := cl.receive(pdu.OpR2T)
			cl.send(c.send(r.TTT()))
			if c.sense == (initiator.Sense{}) {
				if p := cl.receive(pdu.OpReject); p.RejectReason() != pdu.RejectInvalidField {
					t.Errorf("rejected: %v", p.RejectReason())
				}
				cl.send(pdu.DataOut{Final: true, ITT: 2, TTT: r.TTT(), Data: make([]byte, 512)}) // the right one
				if p := cl.receive(pdu.OpSCSIResponse); p.Status() != initiator.Good {
					t.Errorf("the task ended with %d", p.Status())
				}
			} else {
				p := cl.receive(pdu.OpSCSIResponse)
				if s := initiator.ParseSense(pdu.Sense(p.Data)); s != c.sense {
					t.Errorf("status %d, sense %v, not %v", p.Status(), s, c.sense)
				}
			}
			cl.alive()
		})
	}
}

// Requests that are wrong by themselves are rejected, with their header, and take up their
// CmdSN if they have one. They once did not, and whatever came after them waited for ever,
// since initiators number on.
func TestRejects(t *testing.T) {
	for name, c := range map[string]struct {
		change   func(h pdu.Header)
		reason   pdu.RejectReason
		numbered bool
	}{
		"opcode":         {func(h pdu.Header) { h[0] = 0x1f }, pdu.RejectNotSupported, false},
		"target's":       {func(h pdu.Header) { h[0] = 0x21 }, pdu.RejectNotSupported, false},
		"login":          {func(h pdu.Header) { h[0] = 0x43 }, pdu.RejectProtocolError, false},
		"reserved tag":   {func(h pdu.Header) { h.SetITT(pdu.NoTag) }, pdu.RejectInvalidField, true},
		"not final":      {func(h pdu.Header) { h[1] &^= 0x80 }, pdu.RejectProtocolError, true},
		"SNACK at ERL 0": {func(h pdu.Header) { h[0] = 0x10 }, pdu.RejectSNACK, false},
		"logout reason":  {func(h pdu.Header) { h[0], h[1] = 0x46, 0x80|9 }, pdu.RejectInvalidField, false},
		"NOP answer":     {func(h pdu.Header) { h[0] = 0; h.SetITT(pdu.NoTag) }, pdu.RejectProtocolError, true},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, options{})
			cl := f.client(t)
			p := initiator.NewRaw(cl.next(pdu.SCSICommand{ITT: 5, CDB: make([]byte, 6)}))
			if !c.numbered {
				cl.sn--
			}
			c.change(p.Header)
			cl.send(p)
			got := cl.receive(pdu.OpReject)
			if got.RejectReason() != c.reason || len(got.Data) != 48 || got.ITT() != pdu.NoTag {
				t.Errorf("%v, %d bytes; not %v", got.RejectReason(), len(got.Data), c.reason)
			}
			cl.alive()
		})
	}
}

// A task tag in use is rejected; what is in flight is not touched.
func TestDuplicateTag(t *testing.T) {
	f := newFixture(t, options{})
	c := f.client(t, noImmediate...)
	c.send(c.next(write10(2, 1)))
	r := c.receive(pdu.OpR2T)
	c.send(c.next(pdu.SCSICommand{ITT: 2, CDB: make([]byte, 6)}))
	if p := c.receive(pdu.OpReject); p.RejectReason() != pdu.RejectTaskInProgress {
		t.Errorf("rejected: %v", p.RejectReason())
	}
	c.send(pdu.DataOut{Final: true, ITT: 2, TTT: r.TTT(), Data: make([]byte, 512)})
	if p := c.receive(pdu.OpSCSIResponse); p.Status() != initiator.Good {
		t.Errorf("status %d", p.Status())
	}
	c.alive()
}

// A CmdSN outside the window is ignored without a word: tgtd closes the connection.
func TestOutsideWindow(t *testing.T) {
	f := newFixture(t, options{})
	c := f.client(t)
	for _, sn := range []pdu.Serial{c.sn - 1, c.sn + 128, c.sn + 1<<31} {
		c.send(pdu.SCSICommand{Final: true, ITT: 9, CmdSN: sn, CDB: make([]byte, 6)})
	}
	c.alive()
	f.watch.await(t, "violations", func() bool { return f.watch.violations[OutsideWindow] == 3 })
}

// A gap holds requests up until it closes, by the request or by the abort of its task.
func TestGap(t *testing.T) {
	f := newFixture(t, options{})
	c := f.client(t)
	early := c.sn + 1
	c.send(pdu.SCSICommand{Final: true, ITT: 21, CmdSN: early, CDB: make([]byte, 6)})
	c.send(pdu.SCSICommand{Final: true, ITT: 21, CmdSN: early, CDB: make([]byte, 6)}) // twice is once
	c.send(pdu.SCSICommand{Final: true, ITT: 20, CmdSN: c.sn, CDB: make([]byte, 6)})
	for _, want := range []pdu.Tag{20, 21} {
		if p := c.receive(pdu.OpSCSIResponse); p.ITT() != want {
			t.Errorf("%v came, not %v", p.ITT(), want)
		}
	}
	c.sn += 2
	c.send(pdu.SCSICommand{Final: true, ITT: 23, CmdSN: c.sn + 1, CDB: make([]byte, 6)})
	c.send(pdu.TaskRequest{Immediate: true, Function: pdu.AbortTask, ITT: 24, ReferencedTag: 22, RefCmdSN: c.sn, CmdSN: c.sn + 2})
	if p := c.receive(pdu.OpTaskResponse); p.ITT() != 24 || p.TaskResult() != pdu.FunctionComplete {
		t.Errorf("%v of %v", p.TaskResult(), p.ITT())
	}
	if p := c.receive(pdu.OpSCSIResponse); p.ITT() != 23 {
		t.Errorf("%v came, not 23", p.ITT())
	}
	c.send(pdu.SCSICommand{Final: true, ITT: 22, CmdSN: c.sn, CDB: make([]byte, 6)}) // too late
	c.sn += 2
	c.send(pdu.TaskRequest{Immediate: true, Function: pdu.AbortTask, ITT: 25, ReferencedTag: 22, RefCmdSN: c.sn - 2, CmdSN: c.sn})
	if p := c.receive(pdu.OpTaskResponse); p.ITT() != 25 || p.TaskResult() != pdu.TaskDoesNotExist {
		t.Errorf("%v of %v", p.TaskResult(), p.ITT())
	}
	c.alive()
}

// An abort of a task whose command is still to come takes its number up (RFC 7143, 11.5.1).
func TestPlug(t *testing.T) {
	f := newFixture(t, options{})
	c := f.client(t)
	c.send(pdu.SCSICommand{Final: true, ITT: 23, CmdSN: c.sn + 1, CDB: make([]byte, 6)})
	c.send(pdu.TaskRequest{Immediate: true, Function: pdu.AbortTask, ITT: 24, ReferencedTag: 22, RefCmdSN: c.sn, CmdSN: c.sn})
	if p := c.receive(pdu.OpTaskResponse); p.TaskResult() != pdu.TaskDoesNotExist {
		t.Errorf("the number is not before that of the request: %v", p.TaskResult())
	}
	c.sn += 2
}

// A write whose immediate data does not match its digest is rejected as a whole.
func TestDataDigest(t *testing.T) {
	f := newFixture(t, options{})
	c := f.client(t, "DataDigest=CRC32C", "InitialR2T=Yes")
	cmd := write10(2, 1)
	cmd.Data = make([]byte, 512)
	b := c.next(cmd).Append(nil, c.Format)
	b[len(b)-1] ^= 1
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
	c.sn--
	if p := c.receive(pdu.OpReject); p.RejectReason() != pdu.RejectDataDigest {
		t.Errorf("rejected: %v", p.RejectReason())
	}
	// Without recovery, data with a bad digest ends its task.
	c.send(c.next(write10(3, 2)))
	r := c.receive(pdu.OpR2T)
	b = pdu.DataOut{ITT: 3, TTT: r.TTT(), Data: make([]byte, 512)}.Append(nil, c.Format)
	b[len(b)-1] ^= 1
	b = pdu.DataOut{Final: true, ITT: 3, TTT: r.TTT(), DataSN: 1, Offset: 512, Data: make([]byte, 512)}.Append(b, c.Format)
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
	if p := c.receive(pdu.OpReject); p.RejectReason() != pdu.RejectDataDigest {
		t.Errorf("rejected: %v", p.RejectReason())
	}
	p := c.receive(pdu.OpSCSIResponse)
	if s := initiator.ParseSense(pdu.Sense(p.Data)); s != (initiator.Sense{Key: 0xb, ASC: 0x47, ASCQ: 5}) {
		t.Errorf("status %d, sense %v", p.Status(), s)
	}
	c.alive()
}

// A header that does not match its digest is the end.
func TestHeaderDigest(t *testing.T) {
	f := newFixture(t, options{})
	c := f.client(t, "HeaderDigest=CRC32C")
	b := c.next(pdu.SCSICommand{ITT: 2, CDB: make([]byte, 6)}).Append(nil, c.Format)
	b[20] ^= 1
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
	c.closed()
	f.watch.await(t, "violation", func() bool { return f.watch.violations[BadHeaderDigest] == 1 })
}

// A data segment over what was agreed, and something that is no login, end the connection.
func TestGarbage(t *testing.T) {
	f := newFixture(t, options{})
	c := f.client(t)
	huge := initiator.NewRaw(pdu.NOPOut{Immediate: true, ITT: 1})
	huge.SetDataLength(1<<24 - 1)
	c.send(huge)
	c.closed()
	f.watch.await(t, "violation", func() bool { return f.watch.violations[TooLong] == 1 })
	g := &client{t: t, Conn: f.connect()}
	if _, err := io.WriteString(g, "GET / HTTP/1.1\r\nHost: example.org\r\nUser-Agent: one\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	g.closed()
	n := &client{t: t, Conn: f.connect()}
	n.send(pdu.SCSICommand{Final: true, ITT: 1, CDB: make([]byte, 6)})
	n.closed()
	f.watch.await(t, "violation", func() bool { return f.watch.violations[NotLoggedIn] >= 1 })
}

// Who does not log in, stops in the middle of a PDU, or does not send the data that it was
// asked for, is not waited for.
func TestTimeouts(t *testing.T) {
	soon := func(c *Config) {
		c.LoginTimeout, c.PingAfter, c.PingTimeout, c.DataTimeout = 20*time.Millisecond, 20*time.Millisecond, 20*time.Millisecond, 40*time.Millisecond
	}
	t.Run("login", func(t *testing.T) {
		f := newFixture(t, options{config: soon})
		(&client{t: t, Conn: f.connect()}).closed()
		f.watch.await(t, "violation", func() bool { return f.watch.violations[LoginTimedOut] == 1 })
	})
	t.Run("half a PDU", func(t *testing.T) {
		f := newFixture(t, options{config: func(c *Config) { soon(c); c.LoginTimeout = time.Minute }})
		c := f.client(t)
		if _, err := c.Write(make([]byte, 20)); err != nil {
			t.Fatal(err)
		}
		c.receive(pdu.OpNOPIn)
		c.closed()
		f.watch.await(t, "violation", func() bool { return f.watch.violations[PingTimedOut] == 1 })
	})
	t.Run("data", func(t *testing.T) {
		f := newFixture(t, options{config: func(c *Config) { c.DataTimeout = 40 * time.Millisecond }})
		c := f.client(t, noImmediate...)
		c.send(c.next(write10(2, 4)))
		c.receive(pdu.OpR2T)
		c.closed()
		f.watch.await(t, "violation", func() bool { return f.watch.violations[DataTimedOut] == 1 })
	})
	t.Run("alive", func(t *testing.T) {
		f := newFixture(t, options{config: func(c *Config) { soon(c); c.LoginTimeout, c.PingTimeout = time.Minute, time.Minute }})
		c := f.client(t)
		for range 3 {
			p := c.receive(pdu.OpNOPIn)
			c.send(pdu.NOPOut{Immediate: true, ITT: pdu.NoTag, TTT: p.TTT(), CmdSN: c.sn})
		}
		c.alive()
	})
}

// A tenant has its share of connections and sessions, and no more.
func TestLimits(t *testing.T) {
	// One loop accepts connections in their order.
	f := newFixture(t, options{engine: engine.Config{Loops: 1}, limits: Limits{Connections: 4, LoggingIn: 2, Sessions: 1}})
	f.client(t)
	f.connect()
	b := f.connect()
	if nc, err := net.Dial("tcp", f.address); err == nil { // it may be reset before it knows that it is there
		defer func() { _ = nc.Close() }()
	}
	f.watch.await(t, "violation", func() bool { return f.watch.violations[TooMany] == 1 })
	_, err := b.Login(f.context(), initiator.Config{Target: targetName})
	var refused *initiator.LoginError
	if !errors.As(err, &refused) || refused.Status != pdu.OutOfResources {
		t.Errorf("a second session: %v", err)
	}
}

// A namespace that is nobody's gets no answer.
func TestNobody(t *testing.T) {
	f := newFixture(t, options{config: func(c *Config) { c.Directory = nobodys{} }})
	if nc, err := net.Dial("tcp", f.address); err == nil {
		defer func() { _ = nc.Close() }()
	}
	f.watch.await(t, "violation", func() bool { return f.watch.violations[NobodysPlace] == 1 })
}

type nobodys struct{}

func (nobodys) Tenant(*engine.Namespace) *Tenant { return nil }

// What a peer has announced is not set aside: R2Ts are sent as the tenant's budget has
// room, in turn, and what ends otherwise makes room too.
func TestDataOutBudget(t *testing.T) {
	f := newFixture(t, options{limits: Limits{DataOut: 8192}})
	c := f.client(t, noImmediate...)
	for itt := pdu.Tag(10); itt < 14; itt++ {
		c.send(c.next(write10(itt, 16)))
	}
	first := c.receive(pdu.OpR2T)
	c.send(pdu.NOPOut{Immediate: true, ITT: 1, TTT: pdu.NoTag, CmdSN: c.sn})
	c.receive(pdu.OpNOPIn) // and no R2T before it
	c.send(pdu.DataOut{Final: true, ITT: 10, TTT: first.TTT(), Data: make([]byte, 8192)})
	if p := c.receive(pdu.OpSCSIResponse); p.Status() != initiator.Good {
		t.Errorf("status %d", p.Status())
	}
	second := c.receive(pdu.OpR2T)
	if second.ITT() != 11 {
		t.Errorf("the next is %v", second.ITT())
	}
	for _, itt := range []pdu.Tag{12, 11} { // one that waits, one that has
		c.send(pdu.TaskRequest{Immediate: true, Function: pdu.AbortTask, ITT: 2, ReferencedTag: itt, CmdSN: c.sn})
		if p := c.receive(pdu.OpTaskResponse); p.TaskResult() != pdu.FunctionComplete {
			t.Errorf("abort: %v", p.TaskResult())
		}
	}
	if last := c.receive(pdu.OpR2T); last.ITT() != 13 {
		t.Errorf("the last is %v", last.ITT())
	}
	// What was under way for an aborted task is dropped without a word.
	c.send(pdu.DataOut{Final: true, ITT: 11, TTT: second.TTT(), Data: make([]byte, 8192)})
	c.alive()
}
