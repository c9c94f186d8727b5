package login

import "slices"

// Result is what a login phase has agreed on.
type Result struct {
	Initiator string // InitiatorName, normalised
	Alias     string // InitiatorAlias
	User      string // CHAP_N of who has proved itself; "" without authentication
	Mutual    bool   // the target has proved itself too
	Discovery bool   // a discovery session: Target is empty
	Target    Target
	ISID      ISID
	TSIH      uint16 // as asked for: 0 is a new session (or one reinstated), else the session to join
	CID       uint16
	CmdSN     uint32 // of the first Login Request: the first command's number, if the session is new
	ExpStatSN uint32 // of the first Login Request
	// Params are the parameters in force. With a TSIH other than 0 only HeaderDigest, DataDigest and
	// the two segment lengths are this connection's: the others are the session's, whose leading
	// login has negotiated them.
	Params Params
}

// Key identifies a session to its target for reinstatement: the initiator port and the
// target port (RFC 7143, section 6.3.5). It is comparable.
type Key struct {
	Initiator   string
	ISID        ISID
	Target      string // "" in discovery sessions
	PortalGroup uint16
}

// Key is the key of the result's session.
func (r *Result) Key() Key {
	return Key{Initiator: r.Initiator, ISID: r.ISID, Target: r.Target.Name, PortalGroup: r.Target.PortalGroup}
}

// Live is what the session layer knows of a session that exists under a Key.
type Live struct {
	TSIH           uint16
	MaxConnections int // as negotiated
	CIDs           []uint16
}

// Plan is what a login is to the sessions that exist.
type Plan uint8

const (
	// NewSession means: nothing is in the way.
	NewSession Plan = iota
	// ReinstateSession means: the session of that key ends first, its tasks aborted and its nexus lost.
	ReinstateSession
	// JoinSession means: one more connection.
	JoinSession
	// ReinstateConnection means: the session's connection of that CID ends first, as by a logout
	// for recovery.
	ReinstateConnection
)

// Plan decides what the login is, as RFC 7143's section 6.3.1 has it: live is the session of the
// result's Key, nil if there is none. A status other than Success is to be given to
// Machine.Refuse.
func (r *Result) Plan(live *Live) (Plan, Status) {
	switch {
	case r.TSIH == 0 && live == nil:
		return NewSession, Success
	case r.TSIH == 0:
		return ReinstateSession, Success
	case live == nil || live.TSIH != r.TSIH:
		return 0, NoSession
	case slices.Contains(live.CIDs, r.CID):
		return ReinstateConnection, Success
	case len(live.CIDs) >= live.MaxConnections:
		return 0, TooManyConnections
	}
	return JoinSession, Success
}
