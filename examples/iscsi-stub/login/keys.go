package login

// phase is where a key may be used, a set: the stages of the login phase, and the full
// feature phase. RFC 7143's IO and LO are the login phase, FFPO is inFull, ALL is both.
type phase uint8

const (
	inSecurity phase = 1 << iota
	inOperational
	inFull

	inLogin = inSecurity | inOperational
)

// row is what the house knows of a key.
type row struct {
	in       phase
	leading  bool // only in the leading login of a session (LO)
	normal   bool // irrelevant in a discovery session
	byTarget bool // an initiator does not send it
	binary   bool // its value may be longer than 255 bytes
	rule     rule
}

const (
	minLength = 512
	maxLength = 1<<24 - 1
)

// table has all keys of RFC 7143's sections 12.1 and 13. What is not in it is answered with
// NotUnderstood, X- keys among it. It is filled by init because the rules of the
// security keys are the login's own.
var table map[string]*row

func init() {
	table = map[string]*row{
		// section 12: who is there
		"AuthMethod": {in: inSecurity, rule: declared(noted)},
		"CHAP_A":     {in: inSecurity, rule: declared(noted)},
		"CHAP_I":     {in: inSecurity, rule: declared(noted)},
		"CHAP_C":     {in: inSecurity, binary: true, rule: declared(noted)},
		"CHAP_N":     {in: inSecurity, rule: declared(noted)},
		"CHAP_R":     {in: inSecurity, binary: true, rule: declared(noted)},

		// what is declared
		"InitiatorName":            {in: inLogin, rule: declared(noted)},
		"InitiatorAlias":           {in: inLogin | inFull, rule: declared(takeAlias)},
		"SessionType":              {in: inLogin, rule: declared(noted)},
		"TargetName":               {in: inLogin, rule: declared(noted)},
		"TargetAlias":              {in: inLogin | inFull, byTarget: true},
		"TargetAddress":            {in: inLogin | inFull, byTarget: true},
		"TargetPortalGroupTag":     {in: inLogin, byTarget: true},
		"SendTargets":              {in: inFull, rule: declared(noted)},
		"MaxRecvDataSegmentLength": {in: inOperational | inFull, rule: declared(segmentLength)},

		// what is negotiated for the connection
		"HeaderDigest": {in: inOperational, rule: digest(
			func(p *Params) *bool { return &p.HeaderDigest },
			func(w *Preferences) DigestChoice { return w.HeaderDigest })},
		"DataDigest": {in: inOperational, rule: digest(
			func(p *Params) *bool { return &p.DataDigest },
			func(w *Preferences) DigestChoice { return w.DataDigest })},

		// what is negotiated for the session
		"MaxConnections": {in: inOperational, leading: true, normal: true, rule: number(1, 65535,
			func(p *Params) *uint16 { return &p.MaxConnections },
			func(t *talk) uint16 { return t.wish.MaxConnections }, least)},
		"InitialR2T": {in: inOperational, leading: true, normal: true, rule: boolean(
			func(p *Params) *bool { return &p.InitialR2T },
			func(t *talk) bool { return t.wish.RequireR2T }, or)},
		"ImmediateData": {in: inOperational, leading: true, normal: true, rule: boolean(
			func(p *Params) *bool { return &p.ImmediateData },
			func(t *talk) bool { return !t.wish.NoImmediateData }, and)},
		"MaxBurstLength": {in: inOperational, leading: true, normal: true, rule: number(minLength, maxLength,
			func(p *Params) *uint32 { return &p.MaxBurstLength },
			func(t *talk) uint32 { return t.wish.MaxBurstLength }, least)},
		// FirstBurstLength is never more than MaxBurstLength (RFC 7143, section 13.14).
		"FirstBurstLength": {in: inOperational, leading: true, normal: true, rule: number(minLength, maxLength,
			func(p *Params) *uint32 { return &p.FirstBurstLength },
			func(t *talk) uint32 { return min(t.wish.FirstBurstLength, t.params.MaxBurstLength) }, least)},
		"DefaultTime2Wait": {in: inOperational, leading: true, rule: number(0, 3600,
			func(p *Params) *uint16 { return &p.DefaultTime2Wait },
			func(t *talk) uint16 { return t.wish.DefaultTime2Wait }, most)},
		"DefaultTime2Retain": {in: inOperational, leading: true, rule: number(0, 3600,
			func(p *Params) *uint16 { return &p.DefaultTime2Retain },
			func(t *talk) uint16 { return t.wish.DefaultTime2Retain }, least)},
		"MaxOutstandingR2T": {in: inOperational, leading: true, normal: true, rule: number(1, 65535,
			func(p *Params) *uint16 { return &p.MaxOutstandingR2T },
			func(t *talk) uint16 { return t.wish.MaxOutstandingR2T }, least)},
		"DataPDUInOrder": {in: inOperational, leading: true, normal: true, rule: boolean(
			func(p *Params) *bool { return &p.DataPDUInOrder },
			func(*talk) bool { return true }, or)},
		"DataSequenceInOrder": {in: inOperational, leading: true, normal: true, rule: boolean(
			func(p *Params) *bool { return &p.DataSequenceInOrder },
			func(*talk) bool { return true }, or)},
		"ErrorRecoveryLevel": {in: inOperational, leading: true, rule: number(0, 2,
			func(p *Params) *uint8 { return &p.ErrorRecoveryLevel },
			func(t *talk) uint8 { return t.wish.ErrorRecoveryLevel }, least)},
		"TaskReporting": {in: inOperational, leading: true, normal: true, rule: taskReporting},
		"iSCSIProtocolLevel": {in: inOperational, leading: true, normal: true, rule: number(0, 31,
			func(p *Params) *uint8 { return &p.ProtocolLevel },
			func(*talk) uint8 { return 1 }, least)},

		// section 13.25: obsolete, to be answered with Reject, not with NotUnderstood
		"IFMarker":  {in: inOperational, rule: refused},
		"OFMarker":  {in: inOperational, rule: refused},
		"IFMarkInt": {in: inOperational, rule: refused},
		"OFMarkInt": {in: inOperational, rule: refused},
	}
}
