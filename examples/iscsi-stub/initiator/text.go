package initiator

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/nsreactor/nsreactor/examples/iscsi-stub/pdu"
)

// text is keys as they are sent: key=value, each with a zero byte after it.
func text(keys []string) []byte {
	var b []byte
	for _, k := range keys {
		b = append(append(b, k...), 0)
	}
	return b
}

// cutText is the keys in a text, in order.
func cutText(b []byte) []string {
	var keys []string
	for k := range bytes.SplitSeq(b, []byte{0}) {
		if len(k) > 0 {
			keys = append(keys, string(k))
		}
	}
	return keys
}

// Params are what a login has agreed on (section 13). Lengths are in bytes.
type Params struct {
	HeaderDigest, DataDigest bool
	MaxSend                  int // the target's MaxRecvDataSegmentLength
	MaxRecv                  int // the initiator's
	InitialR2T               bool
	ImmediateData            bool
	FirstBurst, MaxBurst     int
	MaxConnections           int
	MaxOutstandingR2T        int
	ErrorRecoveryLevel       int
}

func defaultParams() Params {
	return Params{
		MaxSend: pdu.DefaultLimit, MaxRecv: pdu.DefaultLimit, InitialR2T: true, ImmediateData: true,
		FirstBurst: 64 << 10, MaxBurst: 256 << 10, MaxConnections: 1, MaxOutstandingR2T: 1,
	}
}

// declared takes what the initiator says of itself.
func (p *Params) declared(keys []string) {
	for _, k := range keys {
		if v, ok := strings.CutPrefix(k, "MaxRecvDataSegmentLength="); ok {
			setNumber(&p.MaxRecv, v)
		}
	}
}

// settled takes what the target says, which is what counts: its answers, and
// what it proposes and Login accepts.
func (p *Params) settled(key, value string) {
	switch key {
	case "HeaderDigest":
		p.HeaderDigest = value == "CRC32C"
	case "DataDigest":
		p.DataDigest = value == "CRC32C"
	case "MaxRecvDataSegmentLength":
		setNumber(&p.MaxSend, value)
	case "InitialR2T":
		p.InitialR2T = value != "No"
	case "ImmediateData":
		p.ImmediateData = value != "No"
	case "FirstBurstLength":
		setNumber(&p.FirstBurst, value)
	case "MaxBurstLength":
		setNumber(&p.MaxBurst, value)
	case "MaxConnections":
		setNumber(&p.MaxConnections, value)
	case "MaxOutstandingR2T":
		setNumber(&p.MaxOutstandingR2T, value)
	case "ErrorRecoveryLevel":
		setNumber(&p.ErrorRecoveryLevel, value)
	}
}

// setNumber leaves alone what is no number: Reject, Irrelevant, NotUnderstood.
func setNumber(to *int, value string) {
	if n, err := strconv.ParseInt(value, 0, 32); err == nil {
		*to = int(n)
	}
}
