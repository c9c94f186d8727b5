package initiator

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nsreactor/nsreactor/examples/iscsi-stub/pdu"
)

// Config is whom to log in to, as whom, and with what.
type Config struct {
	Initiator string // its name; default: an IQN of this package
	Target    string // its name; empty for a discovery session
	// ISID is the initiator's part of the session's name. Default: one that is
	// different each time.
	ISID [6]byte
	TSIH uint16 // of the session to join; 0 for a new one
	CID  uint16
	// CmdSN is the number of the first command. Default: 1. ZeroCmdSN has it be 0.
	CmdSN     pdu.Serial
	ZeroCmdSN bool
	// CHAP is nil if nothing but AuthMethod=None is to be offered.
	CHAP *CHAP
	// Keys are offered in the operational stage, in order: "MaxBurstLength=16384".
	Keys []string
	// SecurityKeys are sent with the first request, after the names.
	SecurityKeys []string
	// SkipSecurity begins with the operational stage.
	SkipSecurity bool
	// Segment is how much text goes into a request, in bytes; the rest comes in
	// further ones. Default: pdu.DefaultLimit.
	Segment int
	// Lose is called with each PDU that a Session receives, in order, and says
	// whether to take it for one with a bad data digest. For tests of recovery.
	Lose func(PDU) bool
}

// LoginResult is what a login has come to.
type LoginResult struct {
	Params
	ISID      [6]byte
	TSIH      uint16
	ExpStatSN pdu.Serial // to be acknowledged next
	CmdSN     pdu.Serial // of the first command
	Window    pdu.Numbers
	Keys      map[string]string // all that the target has said, the last value of each
}

// login is one in progress.
type login struct {
	*Conn
	cfg     Config
	result  LoginResult
	itt     pdu.Tag
	stage   pdu.Stage
	started bool // a response has come
	own     byte // the identifier of the CHAP challenge to the target
}

// Login does the login phase. The refusal of a target is a *[LoginError].
func (c *Conn) Login(ctx context.Context, cfg Config) (LoginResult, error) {
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) }) //nolint:errcheck // a closed connection fails by itself
	defer stop()
	l := &login{Conn: c, cfg: cfg, result: LoginResult{Params: defaultParams(), Keys: map[string]string{}}}
	l.prepare()
	if err := l.run(); err != nil {
		return l.result, cmp.Or(ctx.Err(), err)
	}
	c.Format = pdu.Format{HeaderDigest: l.result.HeaderDigest, DataDigest: l.result.DataDigest}
	c.MaxRecv = l.result.MaxRecv
	return l.result, nil
}

func (l *login) prepare() {
	l.cfg.Initiator = cmp.Or(l.cfg.Initiator, "iqn.2026-01.com.github.nsreactor:initiator")
	l.cfg.Segment = cmp.Or(l.cfg.Segment, pdu.DefaultLimit)
	if l.cfg.ISID == [6]byte{} {
		rand.Read(l.cfg.ISID[:])
		l.cfg.ISID[0] = 0x80 // T=10b: random (section 11.12.5)
	}
	if l.cfg.CmdSN == 0 && !l.cfg.ZeroCmdSN {
		l.cfg.CmdSN = 1
	}
	l.result.ISID, l.result.CmdSN, l.result.TSIH = l.cfg.ISID, l.cfg.CmdSN, l.cfg.TSIH
	l.result.declared(l.cfg.Keys)
}

func (l *login) run() error {
	names := []string{"InitiatorName=" + l.cfg.Initiator}
	if l.cfg.Target == "" {
		names = append(names, "SessionType=Discovery")
	} else {
		names = append(names, "SessionType=Normal", "TargetName="+l.cfg.Target)
	}
	names = append(names, l.cfg.SecurityKeys...)
	if l.cfg.SkipSecurity {
		l.stage = pdu.OperationalNegotiation
		return l.operational(append(names, l.cfg.Keys...))
	}
	if err := l.security(names); err != nil {
		return err
	}
	return l.operational(l.cfg.Keys)
}

func (l *login) security(names []string) error {
	if l.cfg.CHAP == nil {
		_, err := l.step(append(names, "AuthMethod=None"), pdu.OperationalNegotiation)
		return err
	}
	said, err := l.ask(append(names, "AuthMethod=CHAP,None"))
	if err != nil || said["AuthMethod"] == "None" {
		if err == nil {
			_, err = l.step(nil, pdu.OperationalNegotiation)
		}
		return err
	}
	return l.chap()
}

func (l *login) chap() error {
	c := *l.cfg.CHAP
	if c.Challenge == nil {
		c.Challenge = make([]byte, 16)
		rand.Read(c.Challenge)
	}
	challenge, err := l.ask([]string{c.offer()})
	if err != nil {
		return err
	}
	l.own = 0x5a
	answer, err := c.answer(challenge, l.own)
	if err != nil {
		return err
	}
	reply, err := l.step(answer, pdu.OperationalNegotiation)
	if err != nil || c.PeerSecret == "" {
		return err
	}
	return c.check(challenge["CHAP_A"], reply, l.own)
}

func (l *login) operational(keys []string) error {
	said, err := l.step(keys, pdu.FullFeaturePhase)
	for err == nil && l.stage != pdu.FullFeaturePhase {
		said, err = l.step(l.accept(keys, said), pdu.FullFeaturePhase)
	}
	return err
}

// accept answers what the target proposes by saying the same.
func (l *login) accept(offered []string, said map[string]string) []string {
	var keys []string
	for k, v := range said {
		asked := slices.ContainsFunc(offered, func(o string) bool { return strings.HasPrefix(o, k+"=") })
		declares := strings.HasPrefix(k, "Target") || k == "MaxRecvDataSegmentLength"
		if !asked && !declares {
			keys = append(keys, k+"="+v)
		}
	}
	slices.Sort(keys)
	return keys
}

// ask sends keys and returns the target's, without wanting to go on.
func (l *login) ask(keys []string) (map[string]string, error) {
	return l.exchange(text(keys), false, l.stage)
}

// step sends keys and wants to go on to next. It is there when the target
// agrees; if it does not, the stage is what it was.
func (l *login) step(keys []string, next pdu.Stage) (map[string]string, error) {
	return l.exchange(text(keys), true, next)
}

// exchange sends a text in as many requests as it takes, and receives one in as
// many responses.
func (l *login) exchange(b []byte, transit bool, next pdu.Stage) (map[string]string, error) {
	for len(b) > l.cfg.Segment {
		p, err := l.request(b[:l.cfg.Segment], pdu.LoginRequest{Continue: true, CSG: l.stage})
		if err != nil {
			return nil, err
		}
		if len(p.Data) > 0 || p.Transit() {
			return nil, violation(p, "an answer to half a text")
		}
		b = b[l.cfg.Segment:]
	}
	request := pdu.LoginRequest{Transit: transit, CSG: l.stage}
	if transit {
		request.NSG = next
	}
	p, err := l.request(b, request)
	said := p.Data
	for err == nil && p.Continue() {
		p, err = l.request(nil, pdu.LoginRequest{CSG: l.stage})
		said = append(said, p.Data...)
	}
	if err != nil {
		return nil, err
	}
	if p.Transit() {
		if !transit || p.NSG() != next {
			return nil, violation(p, "goes to stage %d", p.NSG())
		}
		l.stage = next
	}
	return l.take(said), nil
}

func (l *login) take(b []byte) map[string]string {
	said := map[string]string{}
	for _, kv := range cutText(b) {
		k, v, _ := strings.Cut(kv, "=")
		said[k], l.result.Keys[k] = v, v
		l.result.settled(k, v)
	}
	return said
}

// request sends one request and receives its response.
func (l *login) request(data []byte, r pdu.LoginRequest) (PDU, error) {
	r.ISID, r.TSIH, r.CID, r.ITT = l.cfg.ISID, l.cfg.TSIH, l.cfg.CID, l.itt
	r.CmdSN, r.ExpStatSN, r.Data = l.cfg.CmdSN, l.result.ExpStatSN, data
	if err := l.Send(r); err != nil {
		return PDU{}, err
	}
	p, err := l.Receive()
	if err != nil {
		return p, fmt.Errorf("login: %w", err)
	}
	return p, l.check(p)
}

func (l *login) check(p PDU) error {
	switch {
	case p.Opcode() != pdu.OpLoginResponse:
		return violation(p, "in the login phase")
	case p.ITT() != l.itt:
		return violation(p, "task tag %x, not %x", p.ITT(), l.itt)
	case p.LoginStatus() != pdu.LoginSuccess:
		l.take(p.Data)
		return &LoginError{Status: p.LoginStatus(), Address: l.result.Keys["TargetAddress"]}
	case l.started && p.StatSN() != l.result.ExpStatSN:
		return violation(p, "StatSN %d, not %d", p.StatSN(), l.result.ExpStatSN)
	case p.CSG() != l.stage:
		return violation(p, "stage %d, not %d", p.CSG(), l.stage)
	case p.ISID() != l.cfg.ISID:
		return violation(p, "ISID %x", p.ISID())
	case p.VersionActive() != 0 || p.VersionMax() != 0:
		return violation(p, "version %d", p.VersionActive())
	case p.Continue() && p.Transit():
		return violation(p, "both C and T")
	}
	final := p.Transit() && p.NSG() == pdu.FullFeaturePhase
	if final && p.TSIH() == 0 || l.cfg.TSIH != 0 && p.TSIH() != l.cfg.TSIH {
		return violation(p, "TSIH %d", p.TSIH())
	}
	l.started = true
	l.result.TSIH, l.result.ExpStatSN = p.TSIH(), p.StatSN()+1
	l.result.Window = pdu.Numbers{StatSN: p.StatSN(), ExpCmdSN: p.ExpCmdSN(), MaxCmdSN: p.MaxCmdSN()}
	return nil
}
