package login

import "fmt"

// NoTag is the reserved Target Transfer Tag, ffffffff.
const NoTag uint32 = 0xffffffff

// TextRequest is what the header of a Text Request says (RFC 7143, section 11.10).
type TextRequest struct {
	Final       bool   // F
	Continue    bool   // C
	TaskTag     uint32 // Initiator Task Tag
	TransferTag uint32 // Target Transfer Tag; NoTag starts a negotiation
}

// TextResponse is a Text Response but for its sequence numbers (RFC 7143, section 11.11).
type TextResponse struct {
	Final       bool
	Continue    bool
	TaskTag     uint32
	TransferTag uint32
	Text        []byte // at most Params.MaxSendDataSegmentLength; valid until the next step
}

// RejectReason is the reason of a Reject PDU (RFC 7143, section 11.17.1).
type RejectReason uint8

// The reasons that a Text Request is rejected for.
const (
	ProtocolError   RejectReason = 0x04
	InvalidPDUField RejectReason = 0x09
	OutOfRoom       RejectReason = 0x0a // long operation reject: cannot generate a Target Transfer Tag, out of resources
)

// RejectError is why a Text Request is to be answered by a Reject PDU. The negotiation it was
// part of is undone (RFC 7143, section 7.12); the connection goes on.
type RejectError struct {
	Reason RejectReason
	Text   string // for the log
}

// Error implements error.
func (e *RejectError) Error() string {
	return fmt.Sprintf("text request rejected (%#02x): %s", uint8(e.Reason), e.Text)
}

// Text is the text negotiation of one connection in the full feature phase. One goroutine
// at a time uses it.
type Text struct {
	cfg    *Config
	dir    Directory
	result *Result
	params Params
}

// NewText makes the Text of a connection that has logged in with result.
func NewText(cfg *Config, dir Directory, result Result) *Text {
	return &Text{cfg: cfg, dir: dir, result: &result, params: result.Params}
}

// Step takes a Text Request with its data segment, which is not kept, and gives the answer,
// or a [*RejectError].
func (t *Text) Step(req TextRequest, data []byte) (TextResponse, error) {
	return TextResponse{}, &RejectError{ProtocolError, "not there yet"}
}

// Params are the parameters in force; a step that ends a negotiation may change
// MaxSendDataSegmentLength for what is sent after its response.
func (t *Text) Params() Params { return t.params }
