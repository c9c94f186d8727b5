package initiator

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"

	"github.com/nsreactor/nsreactor/examples/iscsi-stub/pdu"
)

// Session is a login with requests in flight. Its methods may be called by any
// goroutine.
type Session struct {
	Login LoginResult // of the first connection; read only

	cfg    Config
	async  chan PDU
	reader sync.WaitGroup

	mu      sync.Mutex
	cmdSN   pdu.Serial
	maxSN   pdu.Serial // MaxCmdSN
	expSN   pdu.Serial // ExpCmdSN
	nextITT pdu.Tag
	conns   []*link
	err     error         // why the session is over
	changed chan struct{} // closed and replaced when the window moves or the session ends
}

// Dial connects to an address, as net.Dial does, and logs in.
func Dial(ctx context.Context, address string, cfg Config) (*Session, error) {
	var d net.Dialer
	nc, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return Open(ctx, nc, cfg)
}

// Open logs in over a connection, which is the session's from then on, and
// closed if that fails.
func Open(ctx context.Context, nc net.Conn, cfg Config) (*Session, error) {
	c := NewConn(nc)
	result, err := c.Login(ctx, cfg)
	if err != nil {
		return nil, errors.Join(err, nc.Close())
	}
	s := &Session{
		Login: result, cfg: cfg, async: make(chan PDU, 64), changed: make(chan struct{}),
		cmdSN: result.CmdSN, maxSN: result.Window.MaxCmdSN, expSN: result.Window.ExpCmdSN,
	}
	s.cfg.ISID, s.cfg.TSIH = result.ISID, result.TSIH
	return s, s.add(c, cfg.CID, result)
}

// Join adds a connection to the session, or, if there is one of that CID,
// reinstates it: its tasks are over.
func (s *Session) Join(ctx context.Context, nc net.Conn, cid uint16) error {
	s.mu.Lock()
	cfg := s.cfg
	cfg.CID, cfg.CmdSN, cfg.ZeroCmdSN = cid, s.cmdSN, true
	s.mu.Unlock()
	cfg.Keys = slices.DeleteFunc(slices.Clone(cfg.Keys), leadingOnly)
	c := NewConn(nc)
	result, err := c.Login(ctx, cfg)
	if err != nil {
		return errors.Join(err, nc.Close())
	}
	// What the first connection has negotiated for the session holds here too.
	of := s.Login.Params
	of.HeaderDigest, of.DataDigest = result.HeaderDigest, result.DataDigest
	of.MaxSend, of.MaxRecv = result.MaxSend, result.MaxRecv
	result.Params = of
	if err := s.add(c, cid, result); err != nil {
		return errors.Join(err, nc.Close())
	}
	return nil
}

// leadingOnly says that a key is for a session's first login alone.
func leadingOnly(key string) bool {
	for _, k := range []string{"HeaderDigest=", "DataDigest=", "MaxRecvDataSegmentLength="} {
		if len(key) >= len(k) && key[:len(k)] == k {
			return false
		}
	}
	return true
}

// Async is the asynchronous messages that come. Those that nobody takes are
// dropped when 64 wait. It is closed when the session is over.
func (s *Session) Async() <-chan PDU { return s.async }

// Window is the session's command window: the next CmdSN, and the target's
// ExpCmdSN and MaxCmdSN as last seen.
func (s *Session) Window() (next, exp, last pdu.Serial) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cmdSN, s.expSN, s.maxSN
}

// Err is why the session is over, or nil.
func (s *Session) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Logout ends the session as the protocol has it, and closes it.
func (s *Session) Logout(ctx context.Context) error {
	p, err := s.request(ctx, -1, func(itt pdu.Tag, cmdSN, exp pdu.Serial) Builder {
		return pdu.LogoutRequest{Immediate: true, Reason: pdu.CloseSession, ITT: itt, CmdSN: cmdSN, ExpStatSN: exp}
	})
	if err == nil && p.LogoutResult() != pdu.LoggedOut {
		err = violation(p, "logout: %d", p.LogoutResult())
	}
	return errors.Join(err, s.Close())
}

// LogoutConnection takes one connection out of the session.
func (s *Session) LogoutConnection(ctx context.Context, cid uint16) (pdu.LogoutResult, error) {
	p, err := s.request(ctx, int(cid), func(itt pdu.Tag, cmdSN, exp pdu.Serial) Builder {
		return pdu.LogoutRequest{Immediate: true, Reason: pdu.CloseConnection, ITT: itt, CID: cid, CmdSN: cmdSN, ExpStatSN: exp}
	})
	if err != nil {
		return 0, err
	}
	if err = s.Drop(cid); errors.Is(err, ErrConnection) { // the target was faster
		err = nil
	}
	return p.LogoutResult(), err
}

// Drop closes a connection without a word. Its tasks end with ErrClosed.
func (s *Session) Drop(cid uint16) error {
	s.mu.Lock()
	l := s.find(int(cid))
	if l == nil {
		s.mu.Unlock()
		return ErrConnection
	}
	s.remove(l, ErrClosed)
	s.mu.Unlock()
	return l.Close()
}

// Close closes all connections without a word, and waits until nothing runs any
// more.
func (s *Session) Close() error {
	s.mu.Lock()
	links := slices.Clone(s.conns)
	for _, l := range links {
		s.remove(l, ErrClosed)
	}
	s.mu.Unlock()
	var err error
	for _, l := range links {
		if e := l.Close(); !errors.Is(e, net.ErrClosed) { // its reader may have been faster
			err = errors.Join(err, e)
		}
	}
	s.reader.Wait()
	return err
}

// find returns the connection of a CID, or the first for -1, or nil.
func (s *Session) find(cid int) *link {
	for _, l := range s.conns {
		if cid < 0 || int(l.cid) == cid {
			return l
		}
	}
	return nil
}

// remove ends a connection's tasks, and the session with the last connection.
func (s *Session) remove(l *link, why error) {
	i := slices.Index(s.conns, l)
	if i < 0 {
		return
	}
	s.conns = slices.Delete(s.conns, i, i+1)
	l.end(why)
	if len(s.conns) == 0 {
		s.err = why
		close(s.async)
	}
	s.wake()
}

func (s *Session) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// room waits until the window lets a request out, and returns with s.mu held,
// or an error.
func (s *Session) room(ctx context.Context, cid int, immediate bool) (*link, error) {
	s.mu.Lock()
	for {
		l := s.find(cid)
		switch {
		case s.err != nil:
			defer s.mu.Unlock()
			return nil, s.err
		case l == nil:
			defer s.mu.Unlock()
			return nil, ErrConnection
		case immediate || !s.maxSN.Before(s.cmdSN):
			return l, nil
		}
		changed := s.changed
		s.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		s.mu.Lock()
	}
}

// move takes the window of a PDU (section 4.2.2.1): an older one is ignored.
func (s *Session) move(p PDU) {
	exp, last := p.ExpCmdSN(), p.MaxCmdSN()
	if last.Before(exp - 1) {
		return
	}
	if s.expSN.Before(exp) {
		s.expSN = exp
	}
	if s.maxSN.Before(last) {
		s.maxSN = last
		s.wake()
	}
}
