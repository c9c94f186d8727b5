package session

import (
	"slices"
	"time"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/pdu"
)

// onLogout ends the session, or a connection of it (RFC 7143, section 11.14). What is still
// under way there is aborted before the answer is given.
func (cn *connection) onLogout(h pdu.Header) {
	itt := h.ITT()
	switch reason := h.LogoutReason(); reason {
	case pdu.CloseSession:
		cn.session.logOut("logout", func(c *connection) bool { return true }, cn, itt)
	case pdu.CloseConnection:
		cid := h.CID()
		if !cn.session.has(cid) {
			cn.answerLogout(itt, pdu.CIDNotFound)
			return
		}
		cn.session.logOut("", func(c *connection) bool { return c.cid == cid }, cn, itt)
	case pdu.RecoverConnection:
		cn.answerLogout(itt, pdu.RecoveryNotSupported) // it takes error recovery level 2
	default:
		cn.reject(h, pdu.RejectInvalidField, InvalidField, "reason for logout")
	}
}

// has says whether the session has a connection of that CID.
func (s *session) has(cid uint16) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.conns, func(c *connection) bool { return c.cid == cid })
}

// logOut ends the connections that match, and with a reason also the session, answers on
// the connection that the request came by, and closes.
func (s *session) logOut(why string, match func(*connection) bool, by *connection, itt pdu.Tag) {
	s.leave(why, match, func(conns []*connection) {
		by.c.Call(func(*engine.Conn) {
			by.answerLogout(itt, pdu.LoggedOut)
			for _, c := range conns {
				c.c.Close()
			}
		})
	})
}

// revoke ends the session, and tells the initiator so (section 11.9.1, event 3).
func (s *session) revoke() {
	all := func(*connection) bool { return true }
	s.leave("revoked", all, func(conns []*connection) {
		for _, c := range conns {
			c.c.Call(func(*engine.Conn) {
				c.announce(pdu.Async{Event: pdu.SessionDropped})
				c.c.Close()
			})
		}
	})
}

// leave aborts the tasks of the connections that match, with a reason for the session's end
// if it is to, and then calls last to close them.
func (s *session) leave(why string, match func(*connection) bool, last func([]*connection)) {
	s.mu.Lock()
	var conns []*connection
	for _, c := range s.conns {
		if match(c) {
			c.loggedOut = true
			conns = append(conns, c)
		}
	}
	if why != "" && !s.ended {
		s.ended, s.why = true, why
	}
	s.mu.Unlock()
	s.abort(func(t *task) bool { return slices.Contains(conns, t.cn) }, func() { last(conns) })
}

func (cn *connection) answerLogout(itt pdu.Tag, r pdu.LogoutResult) {
	if p := cn.room(cn.format.Size(0)); p != nil {
		cn.sentStatus(pdu.LogoutResponse{
			Numbers: cn.numbers(), Result: r, ITT: itt,
			Time2Wait: cn.params.DefaultTime2Wait,
		}.Append(p, cn.format))
	}
}

// requestLogout asks the initiator to log out, as its namespace is drained (RFC 7143, section
// 11.9.1), and closes when it has not in time.
func (cn *connection) requestLogout() {
	within := cn.server.cfg.LogoutTime
	cn.announce(pdu.Async{Event: pdu.LogoutRequested, Parameter3: uint16(within / time.Second)})
	cn.c.AfterFunc(within, func(c *engine.Conn) { c.Close() })
}

// announce sends an asynchronous message.
func (cn *connection) announce(p pdu.Async) {
	if room := cn.room(cn.format.Size(0)); room != nil {
		p.Numbers = cn.numbers()
		cn.sentStatus(p.Append(room, cn.format))
	}
}
