package session

import (
	"net/netip"
	"time"

	"github.com/nsreactor/nsreactor/examples/iscsi-stub/login"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/scsi"
)

// Observer is told of what happens. Its methods are called by loops and workers, for
// several connections at the same time, and do not block.
type Observer interface {
	// SessionOpened and SessionClosed come once a session each. why is a word: "logout",
	// "reinstated", "connection lost", "revoked".
	SessionOpened(s *Info)
	SessionClosed(s *Info, why string)
	// CommandEnded comes with the end of every SCSI command.
	CommandEnded(s *Info, e Ended)
	// LoginFailed comes with a login that was refused; tenant is whose namespace it was tried in.
	LoginFailed(tenant, initiator string, err *login.Error)
	// Violated comes with what a peer should not have done.
	Violated(tenant string, v Violation)
}

// Info says what a session is. It does not change.
type Info struct {
	Tenant    string
	Namespace string
	Initiator string // its iSCSI name
	Alias     string // its own name for itself
	User      string // CHAP_N, if it has authenticated itself
	Target    string // "" in a discovery session
	Group     uint16 // portal group tag
	ISID      login.ISID
	TSIH      uint16
	Opened    time.Time
	Params    login.Params // of its first connection
}

// State is a session and what it is at.
type State struct {
	*Info
	Connections []ConnectionState
	Tasks       int // under way
	Window      int // requests that may come
	Counts
}

// ConnectionState is a connection of a session.
type ConnectionState struct {
	CID          uint16
	Remote       netip.AddrPort
	Local        netip.AddrPort
	Loop         int
	HeaderDigest bool
	DataDigest   bool
}

// Counts are what a session has done since it was opened.
type Counts struct {
	Commands uint64
	BytesIn  uint64 // to the initiator, as SCSI sees it: what was read
	BytesOut uint64 // from the initiator
	Errors   uint64 // commands that ended with another status than GOOD
	Aborted  uint64
}

// Ended is a command that has come to its end.
type Ended struct {
	Unit     *scsi.Unit // nil if the LUN names none
	LUN      [8]byte
	Opcode   byte
	Name     string // as in its standard; "" if it is unknown
	BytesIn  int
	BytesOut int
	Latency  time.Duration // from its arrival to its status
	Status   scsi.Status
	SenseKey scsi.SenseKey
	Aborted  bool // there was no status: it was aborted, or its connection lost
}

// Violation is something that a peer should not have done.
type Violation string

// The violations, as metrics' labels.
const (
	BadHeaderDigest Violation = "header_digest"
	BadDataDigest   Violation = "data_digest"
	TooLong         Violation = "data_too_long"
	BadFrame        Violation = "frame"
	OutsideWindow   Violation = "outside_window"
	ProtocolError   Violation = "protocol_error"
	InvalidField    Violation = "invalid_field"
	NotSupported    Violation = "not_supported"
	DuplicateTag    Violation = "duplicate_tag"
	UnknownTag      Violation = "unknown_tag"
	BadData         Violation = "data_out" // out of order, too much, too little
	TooMany         Violation = "too_many_connections"
	NobodysPlace    Violation = "no_tenant"
	NotLoggedIn     Violation = "not_logged_in"
	LoginTimedOut   Violation = "login_timeout"
	PingTimedOut    Violation = "ping_timeout"
	DataTimedOut    Violation = "data_timeout"
)

// nobody is the Observer that does not listen.
type nobody struct{}

func (nobody) SessionOpened(*Info)                      {}
func (nobody) SessionClosed(*Info, string)              {}
func (nobody) CommandEnded(*Info, Ended)                {}
func (nobody) LoginFailed(string, string, *login.Error) {}
func (nobody) Violated(string, Violation)               {}
