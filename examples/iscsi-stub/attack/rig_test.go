package attack

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/initiator"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/login"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/pdu"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/scsi"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/session"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/volume"
	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

func TestMain(m *testing.M) { nstest.Main(m) }

const (
	port  = 3260
	disk  = "iqn.2026-01.example:disk"
	block = 512

	loggingIn = 8 // connections of a tenant that have not logged in
)

// rig is a target in two namespaces with the same address. red attacks; blue
// has a session that is to go on working.
type rig struct {
	t      *testing.T
	ctx    context.Context
	red    *nstest.Tenant
	server *session.Server
	blue   *initiator.Session
	rounds int
}

// tenants is a session.Directory: a namespace's tenant has the name it is
// mounted by.
type tenants map[string]*session.Tenant

func (d tenants) Tenant(ns *engine.Namespace) *session.Tenant { return d[ns.Name()] }

func newRig(t *testing.T) *rig {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	lab := nstest.New(t)
	r := &rig{t: t, ctx: ctx, red: lab.MustAdd(t, "red")}
	blue := lab.MustAdd(t, "blue")
	server, err := session.New(session.Config{
		Directory: tenants{"red": tenant(t, "red"), "blue": tenant(t, "blue")},
		Logger:    slog.New(slog.NewTextHandler(t.Output(), nil)),
		Login:     login.Config{Preferences: login.Preferences{MaxConnections: 4, ErrorRecoveryLevel: 1}},
		Window:    16,
		// Only the limits, not time, end a connection that does not log in.
		LoginTimeout: time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	r.server = server
	eng, err := engine.New(engine.Config{CheckThread: true, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.blue.Close()
		cancel()
		stop, done := context.WithTimeout(context.Background(), time.Millisecond)
		defer done()
		if err := eng.Shutdown(stop); err != nil && !errors.Is(err, engine.ErrDrained) {
			t.Error(err)
		}
	})
	if err := eng.Handle("tcp", port, server.Handler(), engine.AnyNamespace); err != nil {
		t.Fatal(err)
	}
	if err := eng.Watch(lab.Dir()); err != nil {
		t.Fatal(err)
	}
	r.blue = r.open(blue, initiator.Config{Target: disk})
	return r
}

func tenant(t *testing.T, name string) *session.Tenant {
	v, err := volume.Open(volume.Config{Name: name, Kind: volume.Memory, Blocks: 2048})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	})
	u, err := scsi.NewUnit(scsi.UnitConfig{Volume: v})
	if err != nil {
		t.Fatal(err)
	}
	d := scsi.NewDevice(scsi.DeviceConfig{Name: disk, Ports: []scsi.TargetPort{{ID: 1, Name: disk + ",t,0x0001"}}})
	if err := d.Add(0, u); err != nil {
		t.Fatal(err)
	}
	return &session.Tenant{
		Name:    name,
		Targets: []*session.Target{{Name: disk, Device: d, Portals: []session.Portal{{Group: 1}}}},
		Limits:  session.Limits{LoggingIn: loggingIn, Connections: 32},
	}
}

func (r *rig) dial(n *nstest.Tenant) net.Conn {
	nc, err := n.Dial(r.ctx, "tcp", port)
	for err != nil && r.ctx.Err() == nil { // until the listener is there
		nc, err = n.Dial(r.ctx, "tcp", port)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	if err := nc.SetDeadline(time.Now().Add(90 * time.Second)); err != nil {
		r.t.Fatal(err)
	}
	return nc
}

// open makes a session that is ready for use.
func (r *rig) open(n *nstest.Tenant, cfg initiator.Config) *initiator.Session {
	s, err := initiator.Open(r.ctx, r.dial(n), cfg)
	if err == nil {
		err = s.Ready(r.ctx, initiator.LUN(0))
	}
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

// unharmed has blue write, and read it again.
func (r *rig) unharmed() {
	r.t.Helper()
	r.rounds++
	want := bytes.Repeat([]byte{byte(r.rounds)}, 8*block)
	if _, err := r.blue.Do(r.ctx, initiator.Write(initiator.LUN(0), 8, want, block)); err != nil {
		r.t.Fatalf("the other tenant: %v", err)
	}
	got, err := r.blue.Do(r.ctx, initiator.Read(initiator.LUN(0), 8, len(want), block))
	if err != nil || !bytes.Equal(got.In, want) {
		r.t.Fatalf("the other tenant: %v, or other data", err)
	}
}

// raw is a connection of red's on which a test does what it likes.
type raw struct {
	*initiator.Conn
	t     *testing.T
	login initiator.LoginResult
	cmdSN pdu.Serial
}

// raw logs in with keys; without a target it does not log in.
func (r *rig) raw(cfg initiator.Config) *raw {
	c := &raw{Conn: initiator.NewConn(r.dial(r.red)), t: r.t}
	r.t.Cleanup(func() { c.Close() })
	if cfg.Target == "" {
		return c
	}
	var err error
	if c.login, err = c.Login(r.ctx, cfg); err != nil {
		r.t.Fatal(err)
	}
	c.cmdSN = c.login.CmdSN
	return c
}

func (c *raw) send(pdus ...initiator.Builder) {
	c.t.Helper()
	if err := c.Send(pdus...); err != nil {
		c.t.Fatal(err)
	}
}

// next is the next PDU, which is to be of a kind.
func (c *raw) next(want pdu.Opcode) initiator.PDU {
	c.t.Helper()
	p, err := c.Receive()
	if err != nil {
		c.t.Fatalf("%v, not a %v", err, want)
	}
	if p.Opcode() != want {
		c.t.Fatalf("%v %x, data %x, not a %v", p.Opcode(), []byte(p.Header), p.Data, want)
	}
	return p
}

// rejected expects a Reject of the PDU with a tag.
func (c *raw) rejected(want pdu.RejectReason, itt pdu.Tag) {
	c.t.Helper()
	p := c.next(pdu.OpReject)
	if len(p.Data) < pdu.HeaderSize || p.RejectReason() != want || pdu.Header(p.Data).ITT() != itt {
		c.t.Errorf("rejected for %v, of %x; not for %v", p.RejectReason(), p.Data, want)
	}
}

// closed expects the end of the connection, after any number of PDUs.
func (c *raw) closed() {
	c.t.Helper()
	for {
		_, err := c.Receive()
		var timeout net.Error
		switch {
		case errors.As(err, &timeout) && timeout.Timeout():
			c.t.Error("the connection stays open")
			return
		case err != nil:
			return
		}
	}
}

// alive pings, and expects the answer as the next PDU: nothing else has come.
func (c *raw) alive() {
	c.t.Helper()
	c.send(pdu.NOPOut{Immediate: true, ITT: 0xabcd, TTT: pdu.NoTag, CmdSN: c.cmdSN, Data: []byte("alive")})
	if p := c.next(pdu.OpNOPIn); p.ITT() != 0xabcd || string(p.Data) != "alive" {
		c.t.Errorf("ping came back as %x %q", []byte(p.Header), p.Data)
	}
}

// tur is a TEST UNIT READY with the next CmdSN.
func (c *raw) tur(itt pdu.Tag) pdu.SCSICommand {
	c.cmdSN++
	return pdu.SCSICommand{Final: true, Attribute: pdu.Simple, ITT: itt, CmdSN: c.cmdSN - 1, CDB: make([]byte, 6)}
}

// write is a WRITE(10) of n blocks, of which no data goes along.
func (c *raw) write(itt pdu.Tag, blocks int) pdu.SCSICommand {
	p := c.tur(itt)
	p.Write, p.Expected = true, uint32(blocks*block)
	p.CDB = []byte{0x2a, 0, 0, 0, 0, 0, 0, byte(blocks >> 8), byte(blocks), 0}
	return p
}

// ready takes the unit attentions away.
func (c *raw) ready() {
	c.t.Helper()
	for itt := pdu.Tag(1); ; itt++ {
		c.send(c.tur(itt))
		if p := c.next(pdu.OpSCSIResponse); p.Status() == initiator.Good || itt == 10 {
			return
		}
	}
}

// sense expects a CHECK CONDITION.
func (c *raw) sense(itt pdu.Tag, want initiator.Sense) {
	c.t.Helper()
	p := c.next(pdu.OpSCSIResponse)
	got := initiator.ParseSense(pdu.Sense(p.Data))
	if p.ITT() != itt || p.Status() != initiator.CheckCondition || got != want {
		c.t.Errorf("task %x: status %02x, %v, not %v", p.ITT(), p.Status(), got, want)
	}
}

func (c *raw) good(itt pdu.Tag) {
	c.t.Helper()
	if p := c.next(pdu.OpSCSIResponse); p.ITT() != itt || p.Status() != initiator.Good {
		c.t.Errorf("task %x: status %02x, %v", p.ITT(), p.Status(), initiator.ParseSense(pdu.Sense(p.Data)))
	}
}
