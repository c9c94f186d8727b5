package initiator

import (
	"context"
	"slices"

	"github.com/nsreactor/nsreactor/examples/iscsi-stub/pdu"
)

// Command is a SCSI command.
type Command struct {
	LUN       [8]byte
	CDB       []byte
	Attribute pdu.Attribute
	Immediate bool
	Out       []byte // data-out
	In        int    // the length of data-in that is expected, in bytes
	// Connection is the CID of the connection to use, if On is set; else it is
	// the session's first.
	Connection uint16
	On         bool
	// NoUnsolicited sends no data with the command or behind it, whatever was
	// negotiated, and is allowed to.
	NoUnsolicited bool
}

// Result is how a command ended.
type Result struct {
	Status   uint8
	Response pdu.Response
	Sense    []byte
	In       []byte // what came of the data-in
	Residual int64  // as in pdu.SCSIResponse
	R2Ts     int    // how many came
}

// Task is a command, or another request, in flight.
type Task struct {
	ITT   pdu.Tag
	CmdSN pdu.Serial

	link    *link
	command *Command // nil for what is no SCSI command
	done    chan struct{}
	err     error
	result  Result
	answer  PDU

	sn   uint32   // the next DataSN or R2TSN
	lost []uint32 // those that are to come again
	got  int      // bytes of data-in
	sent int      // bytes of data-out that were sent or asked for
	end  *PDU     // the response, while data is lost
}

// Start sends a command as soon as the window allows it. Out must not be changed
// until it is done.
func (s *Session) Start(ctx context.Context, c Command) (*Task, error) {
	cid := -1
	if c.On {
		cid = int(c.Connection)
	}
	l, err := s.room(ctx, cid, c.Immediate)
	if err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	t := l.task(c.Immediate)
	t.command = &c
	t.result.In = make([]byte, c.In)
	l.sendCommand(t)
	return t, nil
}

// Do runs a command. An end other than GOOD is a *[StatusError], along with the
// result.
func (s *Session) Do(ctx context.Context, c Command) (Result, error) {
	t, err := s.Start(ctx, c)
	if err != nil {
		return Result{}, err
	}
	return t.Wait(ctx)
}

// Wait waits for the end of a command.
func (t *Task) Wait(ctx context.Context) (Result, error) {
	select {
	case <-t.done:
	case <-ctx.Done():
		return Result{}, ctx.Err()
	}
	if t.err == nil && (t.result.Status != Good || t.result.Response != pdu.Completed) {
		return t.result, &StatusError{Opcode: t.command.CDB[0], Status: t.result.Status, Sense: ParseSense(t.result.Sense)}
	}
	return t.result, t.err
}

// task makes one with the next tag, and number.
func (l *link) task(immediate bool) *Task {
	s := l.s
	s.nextITT++
	t := &Task{ITT: s.nextITT, CmdSN: s.cmdSN, link: l, done: make(chan struct{})}
	if !immediate {
		s.cmdSN++
	}
	l.tasks[t.ITT] = t
	return t
}

func (t *Task) finish(err error) {
	t.err = err
	close(t.done)
}

// take acts on a PDU for the task.
func (t *Task) take(p PDU) error {
	if t.command == nil {
		t.answer = p
		t.link.left = t.link.left || p.Opcode() == pdu.OpLogoutResponse
		delete(t.link.tasks, t.ITT)
		t.finish(nil)
		return nil
	}
	switch p.Opcode() {
	case pdu.OpDataIn:
		return t.takeData(p)
	case pdu.OpR2T:
		return t.takeR2T(p)
	case pdu.OpSCSIResponse:
		t.end = &p
		return t.finished()
	}
	return violation(p, "for a SCSI command")
}

// ordered checks the number of a Data-In or R2T.
func (t *Task) ordered(p PDU) error {
	if i := slices.Index(t.lost, p.DataSN()); i >= 0 {
		t.lost = slices.Delete(t.lost, i, i+1)
		t.sn++
		return nil
	}
	if want := t.sn + uint32(len(t.lost)); p.DataSN() != want {
		return violation(p, "number %d, not %d", p.DataSN(), want)
	}
	t.sn++
	return nil
}

func (t *Task) takeData(p PDU) error {
	if err := t.ordered(p); err != nil {
		return err
	}
	at, in := int(p.BufferOffset()), t.result.In
	switch {
	case at+len(p.Data) > len(in):
		return violation(p, "%d bytes at %d, of %d", len(p.Data), at, len(in))
	case at != t.got && t.link.params.ErrorRecoveryLevel == 0:
		return violation(p, "at %d, not %d", at, t.got)
	case p.HasStatus() && !p.Final():
		return violation(p, "a status, but not final")
	case p.HasStatus() && p.Status() != Good && p.Status() != ConditionMet:
		return violation(p, "status %02x without sense data", p.Status())
	}
	t.got += copy(in[at:], p.Data)
	if p.HasStatus() {
		t.end = &p
	}
	return t.finished()
}

// finished ends the task if its end and all of its data have come.
func (t *Task) finished() error {
	if t.end == nil {
		return nil
	}
	stats, n := &t.link.stats, t.end.StatSN()
	if len(t.lost) > 0 {
		stats.hold(n, false)
		return nil
	}
	delete(stats.missing, n)
	if t.end.Opcode() == pdu.OpDataIn {
		return t.complete(*t.end)
	}
	return t.takeResponse(*t.end)
}

func (t *Task) takeResponse(p PDU) error {
	// Targets differ in whether R2Ts count.
	if n := p.ExpDataSN(); p.Response() == pdu.Completed && n != t.sn && n != t.sn-uint32(t.result.R2Ts) {
		return violation(p, "ExpDataSN %d, not %d", n, t.sn)
	}
	t.result.Sense = pdu.Sense(p.Data)
	t.result.Response = p.Response()
	return t.complete(p)
}

// complete ends the task with the status in p.
func (t *Task) complete(p PDU) error {
	r, c := &t.result, t.command
	r.Status, r.Residual = p.Status(), p.Residual()
	want := len(c.Out)
	if c.Out == nil {
		want = c.In
	}
	moved := t.got
	if c.Out != nil {
		moved = t.sent
	}
	if r.Status == Good && int64(moved) < int64(want)+min(r.Residual, 0) {
		return violation(p, "%d of %d bytes moved, and the residual is %d", moved, want, r.Residual)
	}
	r.In = r.In[:t.got]
	delete(t.link.tasks, t.ITT)
	t.finish(nil)
	return nil
}
