package session

import (
	"errors"
	"net/netip"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/login"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/pdu"
	"github.com/nsreactor/nsreactor/handlers/framing"
)

// connection is a TCP connection of an initiator, from its login phase on. It belongs to
// its loop.
type connection struct {
	server  *Server
	c       *engine.Conn
	tenancy *tenancy
	tenant  *Tenant
	local   netip.AddrPort
	format  pdu.Format
	statSN  pdu.Serial // of the next status
	tag     pdu.Tag    // of the next R2T or ping

	// The login phase.
	view     *view
	machine  *login.Machine // nil once it is over
	pending  pdu.Header     // the request that awaits Admit's answer
	admitted bool           // an answer is being worked on

	// The full feature phase. session is nil before it.
	session   *session
	cid       uint16
	params    login.Params
	text      *login.Text
	limits    outLimits
	sending   []*task // those that have data-in to send, once there is room
	filling   *task   // the decoder receives into its block
	orphan    *block  // the decoder receives into it, and its task has gone
	spent     tags    // tasks that were aborted while data was under way
	recovery  *recovery
	dataTimer *engine.Timer // runs while data-out is awaited
	watching  bool
	managing  int // task management functions that are not answered yet

	received uint64 // PDUs
	seen     uint64 // received, when the timer fired last
	pinged   bool   // a NOP-In awaits its answer
	loggedIn bool

	loggedOut bool // the session's
	replaced  bool // the session's: another connection has taken its CID
	after     []func()
}

// message is a PDU as the decoder delivers it.
type message = framing.Frame[pdu.Header]

// handler makes connections of the engine's.
type handler struct{ server *Server }

func connectionOf(c *engine.Conn) *connection {
	cn, _ := c.Context().(*connection)
	return cn
}

// OnOpen admits the connection, or resets it: it is nobody's, or one too many.
func (h handler) OnOpen(c *engine.Conn) {
	s := h.server
	tenant := s.cfg.Directory.Tenant(c.Namespace())
	if tenant == nil {
		s.cfg.Observer.Violated("", NobodysPlace)
		c.CloseNow()
		return
	}
	cn := &connection{server: s, c: c, tenant: tenant, tenancy: s.tenancy(tenant), local: c.LocalAddr(), statSN: 1}
	if !cn.tenancy.admit() {
		cn.violated(TooMany, "connection reset: the tenant has its share")
		c.CloseNow()
		return
	}
	c.SetContext(cn)
	c.SetTimer(s.cfg.LoginTimeout)
}

// OnMessage is given every PDU.
func (h handler) OnMessage(c *engine.Conn, m message) error {
	cn := connectionOf(c)
	if cn == nil {
		return nil
	}
	cn.received++
	if cn.session == nil {
		return cn.onLogin(m)
	}
	cn.onPDU(m)
	return nil
}

// OnData is the framer's.
func (handler) OnData(*engine.Conn) {}

// OnReadEOF says that the initiator has sent its last.
func (handler) OnReadEOF(c *engine.Conn) { c.Close() }

// OnWritable sends on what had to wait for room.
func (handler) OnWritable(c *engine.Conn) {
	if cn := connectionOf(c); cn != nil {
		cn.sendOn()
	}
}

// OnWake is not used.
func (handler) OnWake(*engine.Conn) {}

// OnTimer looks whether the peer is alive.
func (handler) OnTimer(c *engine.Conn) {
	if cn := connectionOf(c); cn != nil {
		cn.checkLife()
	}
}

// OnDrain asks for a logout.
func (handler) OnDrain(c *engine.Conn) {
	cn := connectionOf(c)
	if cn == nil || cn.session == nil {
		c.Close()
		return
	}
	cn.requestLogout()
}

// OnClose is the end of the connection.
func (handler) OnClose(c *engine.Conn, err error) {
	cn := connectionOf(c)
	if cn == nil {
		return
	}
	c.SetContext(nil)
	cn.tenancy.leave(cn.loggedIn)
	cn.blame(err)
	if cn.session == nil {
		return
	}
	cn.filling = nil
	cn.orphan.free()
	cn.orphan = nil
	cn.sending = nil
	cn.session.detach(cn)
	cn.recovery.end()
}

// blame counts what the stream was ended for, if the peer has done it wrong.
func (cn *connection) blame(err error) {
	var digest *pdu.DigestError
	var length *pdu.LengthError
	var frame *framing.Error
	switch {
	case err == nil:
	case errors.As(err, &digest):
		cn.violated(BadHeaderDigest, err.Error())
	case errors.As(err, &length):
		cn.violated(TooLong, err.Error())
	case errors.As(err, &frame):
		cn.violated(BadFrame, err.Error())
	}
}

// violated counts something that the peer should not have done, and logs it, though not
// each time.
func (cn *connection) violated(v Violation, detail string) {
	cn.server.cfg.Observer.Violated(cn.tenancy.name, v)
	if !cn.tenancy.mayLog(v, cn.c.Now()) {
		return
	}
	log := cn.server.cfg.Logger
	if cn.session != nil {
		log = cn.server.log(cn.session)
	} else {
		log = log.With("tenant", cn.tenancy.name, "netns", cn.c.Namespace().Name())
	}
	log.Warn("protocol violation", "kind", string(v), "detail", detail, "peer", cn.c.RemoteAddr())
}

// fail ends the connection with a reset.
func (cn *connection) fail(v Violation, err error) {
	cn.violated(v, err.Error())
	cn.c.Fail(err)
}
