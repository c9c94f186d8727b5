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
	OutOfRoom       RejectReason = 0x0a // "long operation reject": out of resources
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

func rejected(reason RejectReason, format string, args ...any) *RejectError {
	return &RejectError{reason, fmt.Sprintf(format, args...)}
}

// Text is the text negotiation of one connection in the full feature phase. One goroutine
// at a time uses it.
type Text struct {
	cfg    *Config
	dir    Directory
	result Result
	params Params

	now     *exchange // nil between negotiations
	lastTag uint32
}

// exchange is a negotiation under way.
type exchange struct {
	taskTag     uint32
	transferTag uint32
	text        gather
	talk        talk
}

// NewText makes the Text of a connection that has logged in with result.
func NewText(cfg *Config, dir Directory, result Result) *Text {
	return &Text{cfg: cfg, dir: dir, result: result, params: result.Params}
}

// Params are the parameters in force; a step that ends a negotiation may change
// MaxSendDataSegmentLength for what is sent after its response.
func (t *Text) Params() Params { return t.params }

// Step takes a Text Request with its data segment, which is not kept, and gives the answer,
// or a [*RejectError].
func (t *Text) Step(req TextRequest, data []byte) (TextResponse, error) {
	res, err := t.step(req, data)
	if err != nil {
		t.now = nil
		return TextResponse{}, err
	}
	return res, nil
}

func (t *Text) step(req TextRequest, data []byte) (TextResponse, *RejectError) {
	if err := t.find(req); err != nil {
		return TextResponse{}, err
	}
	x := t.now
	pairs, err := x.text.add(data, !req.Continue)
	switch {
	case err != nil:
		return TextResponse{}, rejected(ProtocolError, "%v", err)
	case req.Continue:
		return TextResponse{TaskTag: x.taskTag, TransferTag: x.transferTag}, nil // the initiator has the word
	case x.talk.out != nil && len(pairs) > 0:
		return TextResponse{}, rejected(ProtocolError, "text while there is more to come from the target")
	}
	if err := t.hear(pairs); err != nil {
		return TextResponse{}, err
	}
	return t.answer(req), nil
}

// find takes up a negotiation or begins one. One that begins ends one under way (RFC 7143, section
// 11.10.4).
func (t *Text) find(req TextRequest) *RejectError {
	switch {
	case req.Final && req.Continue:
		return rejected(ProtocolError, "both F and C are set")
	case req.TransferTag != NoTag && (t.now == nil || req.TransferTag != t.now.transferTag || req.TaskTag != t.now.taskTag):
		return rejected(InvalidPDUField, "no negotiation has the tags %#x, %#x", req.TaskTag, req.TransferTag)
	case req.TransferTag != NoTag:
		return nil
	}
	if t.lastTag++; t.lastTag == NoTag {
		t.lastTag = 1
	}
	t.now = &exchange{
		taskTag:     req.TaskTag,
		transferTag: t.lastTag,
		talk: talk{
			params: t.params, phase: inFull, discovery: t.result.Discovery,
			heard: make(map[string]string), asked: make(map[string]bool),
		},
	}
	return nil
}

func (t *Text) hear(pairs []pair) *RejectError {
	x := &t.now.talk
	if err := x.hearAll(pairs); err != nil {
		return rejected(ProtocolError, "%v", err)
	}
	for _, p := range pairs {
		if p.key == "SendTargets" {
			return t.sendTargets(x, p.value)
		}
	}
	return nil
}

// answer says what there is to say. What was negotiated comes into force with the last of it.
func (t *Text) answer(req TextRequest) TextResponse {
	x := t.now
	text, more := x.talk.take(int(t.params.MaxSendDataSegmentLength))
	res := TextResponse{Continue: more, TaskTag: x.taskTag, TransferTag: x.transferTag, Text: text}
	if req.Final && !more {
		res.Final, res.TransferTag = true, NoTag
		t.params, t.now = x.talk.params, nil
	}
	return res
}
