package login

// TaskReporting is how task management tells of the tasks it ends (RFC 7143, section 13.23).
type TaskReporting uint8

// The values of TaskReporting.
const (
	RFC3720       TaskReporting = iota // the default
	ResponseFence                      // responses are fenced by the end of the tasks
	FastAbort                          // the target answers before initiators have acknowledged
)

// Params are the parameters in force on a connection (RFC 7143, section 13). Lengths are bytes,
// times are seconds.
type Params struct {
	HeaderDigest bool // CRC32C over headers, from the full feature phase on; default no
	DataDigest   bool // CRC32C over data segments; default no

	// MaxRecvDataSegmentLength is the target's: no data segment to us is longer. 512 to
	// 2^24-1, default 8192; Login and Text Requests included.
	MaxRecvDataSegmentLength uint32
	// MaxSendDataSegmentLength is the initiator's MaxRecvDataSegmentLength: no data segment to it
	// is longer. 512 to 2^24-1, default 8192.
	MaxSendDataSegmentLength uint32

	MaxConnections      uint16 // in the session; 1 to 65535, default 1
	InitialR2T          bool   // unsolicited Data-Out PDUs are not allowed; default yes
	ImmediateData       bool   // a command may carry data; default yes
	MaxBurstLength      uint32 // of a Data-In or a solicited Data-Out sequence; 512 to 2^24-1, default 262144
	FirstBurstLength    uint32 // of unsolicited data, immediate included; 512 to MaxBurstLength, default 65536
	DefaultTime2Wait    uint16 // before reconnecting; 0 to 3600, default 2
	DefaultTime2Retain  uint16 // for which tasks outlive their connection; 0 to 3600, default 20
	MaxOutstandingR2T   uint16 // a task; 1 to 65535, default 1
	DataPDUInOrder      bool   // within a sequence; always yes here
	DataSequenceInOrder bool   // sequences of a task; always yes here
	ErrorRecoveryLevel  uint8  // 0 to 2, default 0
	TaskReporting       TaskReporting
	ProtocolLevel       uint8 // iSCSIProtocolLevel (RFC 7144): 0 to 31, default 1
}

// DefaultParams are the parameters of a connection on which nothing was negotiated.
func DefaultParams() Params {
	return Params{
		MaxRecvDataSegmentLength: 8192,
		MaxSendDataSegmentLength: 8192,
		MaxConnections:           1,
		InitialR2T:               true,
		ImmediateData:            true,
		MaxBurstLength:           262144,
		FirstBurstLength:         65536,
		DefaultTime2Wait:         2,
		DefaultTime2Retain:       20,
		MaxOutstandingR2T:        1,
		DataPDUInOrder:           true,
		DataSequenceInOrder:      true,
		ProtocolLevel:            1,
	}
}

// DigestChoice is which digests a target takes.
type DigestChoice uint8

// The choices of a digest.
const (
	EitherDigest DigestChoice = iota // the initiator's order decides
	NoDigest                         // None only
	NeedDigest                       // CRC32C only: who does not offer it is refused
)

// Preferences are a target's side of the negotiation. The zero value is a good target; a
// number that is 0 stands for the default said, and one out of its range for the nearest in it.
type Preferences struct {
	HeaderDigest, DataDigest DigestChoice

	MaxRecvDataSegmentLength uint32 // 512 to 2^24-1; default 262144
	MaxBurstLength           uint32 // 512 to 2^24-1; default 1048576
	FirstBurstLength         uint32 // 512 to 2^24-1; default 65536
	MaxConnections           uint16 // default 1
	MaxOutstandingR2T        uint16 // default 1
	ErrorRecoveryLevel       uint8  // the highest; 0 to 2
	DefaultTime2Wait         uint16 // at least so many seconds, at most 3600
	DefaultTime2Retain       uint16 // at most so many seconds, at most 3600; default 20

	TaskReporting TaskReporting // the most that the target can do

	RequireR2T      bool // InitialR2T=Yes
	NoImmediateData bool // ImmediateData=No
}

// complete replaces what is 0 by its default, and brings what is out of range into it.
func (w *Preferences) complete() {
	w.MaxRecvDataSegmentLength = within(w.MaxRecvDataSegmentLength, 256<<10, minLength, maxLength)
	w.MaxBurstLength = within(w.MaxBurstLength, 1<<20, minLength, maxLength)
	w.FirstBurstLength = within(w.FirstBurstLength, 64<<10, minLength, maxLength)
	w.MaxConnections = within(w.MaxConnections, 1, 1, 65535)
	w.MaxOutstandingR2T = within(w.MaxOutstandingR2T, 1, 1, 65535)
	w.ErrorRecoveryLevel = min(w.ErrorRecoveryLevel, 2)
	w.DefaultTime2Wait = min(w.DefaultTime2Wait, 3600)
	w.DefaultTime2Retain = within(w.DefaultTime2Retain, 20, 0, 3600)
}

func within[T uint16 | uint32](n, standard, lo, hi T) T {
	if n == 0 {
		return standard
	}
	return min(max(n, lo), hi)
}
