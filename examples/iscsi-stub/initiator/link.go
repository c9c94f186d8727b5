package initiator

import (
	"errors"
	"maps"
	"net"
	"slices"
	"sync"

	"github.com/nsreactor/nsreactor/examples/iscsi-stub/pdu"
)

// link is a connection of a session. Its fields are the session's lock's, but
// for those that its two goroutines have for themselves: one reads and acts on
// what comes, the other writes what is pending.
type link struct {
	*Conn
	s      *Session
	cid    uint16
	params Params
	tasks  map[pdu.Tag]*Task

	stats   statuses
	pending []byte
	more    *sync.Cond // pending has grown, or the link has ended
	ended   bool
	left    bool // logged out: the target may close it
}

// add adds a connection, unless the session is over meanwhile.
func (s *Session) add(c *Conn, cid uint16, r LoginResult) error {
	l := &link{
		Conn: c, s: s, cid: cid, params: r.Params, tasks: map[pdu.Tag]*Task{},
		stats: statuses{next: r.ExpStatSN}, more: sync.NewCond(&s.mu),
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	if old := s.find(int(cid)); old != nil {
		s.conns = append(s.conns, l) // first, so that the session is not without one
		s.remove(old, ErrClosed)
		old.Close() // the target has closed it too
	} else {
		s.conns = append(s.conns, l)
	}
	s.reader.Go(l.read)
	s.reader.Go(l.write)
	return nil
}

// send queues a PDU.
func (l *link) send(p Builder) {
	l.pending = p.Append(l.pending, l.Format)
	l.more.Signal()
}

func (l *link) write() {
	var b []byte
	for {
		l.s.mu.Lock()
		for len(l.pending) == 0 && !l.ended {
			l.more.Wait()
		}
		b, l.pending = l.pending, b[:0]
		l.s.mu.Unlock()
		if len(b) == 0 {
			return
		}
		if _, err := l.Write(b); err != nil {
			l.fail(err)
			return
		}
	}
}

func (l *link) read() {
	for {
		p, err := l.Receive()
		if err = l.take(p, err); err != nil {
			l.fail(err)
			return
		}
	}
}

// fail ends the connection for an error of its own.
func (l *link) fail(err error) {
	l.s.mu.Lock()
	if l.left {
		err = ErrClosed
	}
	l.s.remove(l, err)
	l.s.mu.Unlock()
	l.Close() // the error that counts is err
}

// Close closes the connection; the link's own reader may have been faster.
func (l *link) Close() error {
	if err := l.Conn.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// end ends the tasks and stops the writer, when it has written what is pending.
func (l *link) end(why error) {
	l.ended = true
	l.more.Signal()
	for _, t := range l.tasks {
		t.finish(why)
	}
	clear(l.tasks)
}

// take acts on a PDU.
func (l *link) take(p PDU, err error) error {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	if l.ended {
		return ErrClosed
	}
	lost := errors.Is(err, pdu.ErrDataDigest)
	if err == nil && l.s.cfg.Lose != nil && l.s.cfg.Lose(p) {
		lost, err = true, &pdu.DigestError{Err: pdu.ErrDataDigest, Opcode: p.Opcode()}
	}
	if lost && l.params.ErrorRecoveryLevel > 0 {
		return l.lost(p)
	}
	if err != nil {
		return err
	}
	if err := l.number(p); err != nil {
		return err
	}
	l.s.move(p)
	switch p.Opcode() {
	case pdu.OpNOPIn:
		if p.ITT() == pdu.NoTag {
			return l.pinged(p)
		}
	case pdu.OpAsync:
		select {
		case l.s.async <- p:
		default:
		}
		return nil
	case pdu.OpReject:
		return l.rejected(p)
	}
	t := l.tasks[p.ITT()]
	if t == nil {
		return violation(p, "for a task that is not there, %x", p.ITT())
	}
	return t.take(p)
}

func (l *link) pinged(p PDU) error {
	if p.TTT() == pdu.NoTag {
		return nil
	}
	l.send(pdu.NOPOut{
		Immediate: true, LUN: p.LUN(), ITT: pdu.NoTag, TTT: p.TTT(), CmdSN: l.s.cmdSN, ExpStatSN: l.stats.ack(), Data: p.Data,
	})
	return nil
}

// rejected ends the request that was wrong, if it is known.
func (l *link) rejected(p PDU) error {
	if len(p.Data) < pdu.HeaderSize {
		return violation(p, "%d bytes of header", len(p.Data))
	}
	h := pdu.Header(p.Data[:pdu.HeaderSize])
	if t := l.tasks[h.ITT()]; t != nil && h.Opcode() != pdu.OpDataOut {
		delete(l.tasks, h.ITT())
		t.finish(&RejectError{Reason: p.RejectReason(), Header: h})
	}
	return nil
}

// statuses is the numbers of a connection's statuses.
type statuses struct {
	next    pdu.Serial          // after the highest that has come
	missing map[pdu.Serial]bool // true: has not come; false: has, but not all data before it
}

// hold leaves a status that has come unacknowledged: that would say that the
// data of its task have come too.
func (s *statuses) hold(n pdu.Serial, missing bool) {
	if s.missing == nil {
		s.missing = map[pdu.Serial]bool{}
	}
	s.missing[n] = missing
}

// ack is the first that is not to be acknowledged.
func (s *statuses) ack() pdu.Serial {
	first := s.next
	for n := range maps.Keys(s.missing) {
		if n.Before(first) {
			first = n
		}
	}
	return first
}

// number checks a PDU's StatSN, which is its own or the next one's.
func (l *link) number(p PDU) error {
	n := p.StatSN()
	if p.Opcode() == pdu.OpDataIn && !p.HasStatus() {
		return nil
	}
	if l.stats.missing[n] && carriesStatus(p) {
		delete(l.stats.missing, n)
		return nil
	}
	if n != l.stats.next {
		return violation(p, "StatSN %d, not %d", n, l.stats.next)
	}
	if carriesStatus(p) {
		l.stats.next++
	}
	return nil
}

// carriesStatus says that the StatSN is the PDU's own.
func carriesStatus(p PDU) bool {
	switch p.Opcode() {
	case pdu.OpR2T:
		return false
	case pdu.OpNOPIn:
		return p.ITT() != pdu.NoTag
	case pdu.OpDataIn:
		return p.HasStatus()
	}
	return true
}

// lost asks again for a PDU whose header came, but not its data (section 7.8;
// error recovery level 1).
func (l *link) lost(p PDU) error {
	data := p.Opcode() == pdu.OpDataIn || p.Opcode() == pdu.OpR2T
	if carriesStatus(p) {
		if p.StatSN() == l.stats.next {
			l.stats.next++
		}
		l.stats.hold(p.StatSN(), true)
	}
	snack := pdu.SNACK{Type: pdu.SNACKStatus, ITT: pdu.NoTag, TTT: pdu.NoTag, ExpStatSN: l.stats.ack(), BegRun: uint32(p.StatSN()), RunLength: 1}
	if data {
		snack.Type, snack.ITT, snack.BegRun = pdu.SNACKData, p.ITT(), p.DataSN()
		if t := l.tasks[p.ITT()]; t != nil && !slices.Contains(t.lost, p.DataSN()) {
			t.lost = append(t.lost, p.DataSN())
		}
	}
	l.send(snack)
	return nil
}
