package initiator

import (
	"context"
	"strings"

	"github.com/nsreactor/nsreactor/examples/iscsi-stub/pdu"
)

// request sends one that is immediate and no SCSI command, on the connection
// with a CID or the first for -1, and waits for its answer.
func (s *Session) request(ctx context.Context, cid int, build func(itt pdu.Tag, cmdSN, exp pdu.Serial) Builder) (PDU, error) {
	l, err := s.room(ctx, cid, true)
	if err != nil {
		return PDU{}, err
	}
	t := l.task(true)
	l.send(build(t.ITT, t.CmdSN, l.stats.ack()))
	s.mu.Unlock()
	select {
	case <-t.done:
		return t.answer, t.err
	case <-ctx.Done():
		return PDU{}, ctx.Err()
	}
}

// Ping sends a NOP-Out on the connection with a CID and returns what comes back.
func (s *Session) Ping(ctx context.Context, cid uint16, data []byte) ([]byte, error) {
	p, err := s.request(ctx, int(cid), func(itt pdu.Tag, cmdSN, exp pdu.Serial) Builder {
		return pdu.NOPOut{Immediate: true, ITT: itt, TTT: pdu.NoTag, CmdSN: cmdSN, ExpStatSN: exp, Data: data}
	})
	return p.Data, err
}

// Manage asks for a task management function on a logical unit, or, with a task
// that is not nil, on that; it goes out on the task's connection.
func (s *Session) Manage(ctx context.Context, f pdu.TaskFunction, lun [8]byte, of *Task) (pdu.TaskResult, error) {
	cid, r := -1, pdu.TaskRequest{Immediate: true, Function: f, LUN: lun, ReferencedTag: pdu.NoTag}
	if of != nil {
		cid, r.ReferencedTag, r.RefCmdSN = int(of.link.cid), of.ITT, of.CmdSN
	}
	p, err := s.request(ctx, cid, func(itt pdu.Tag, cmdSN, exp pdu.Serial) Builder {
		r.ITT, r.CmdSN, r.ExpStatSN = itt, cmdSN, exp
		return r
	})
	if err != nil {
		return 0, err
	}
	return p.TaskResult(), nil
}

// Text sends keys in the full feature phase and returns the target's.
func (s *Session) Text(ctx context.Context, keys ...string) ([]string, error) {
	var said []byte
	ttt, b := pdu.NoTag, text(keys)
	for {
		p, err := s.request(ctx, -1, func(itt pdu.Tag, cmdSN, exp pdu.Serial) Builder {
			return pdu.TextRequest{Immediate: true, Final: true, ITT: itt, TTT: ttt, CmdSN: cmdSN, ExpStatSN: exp, Data: b}
		})
		if err != nil {
			return nil, err
		}
		if p.Continue() && p.Final() || p.Final() != (p.TTT() == pdu.NoTag) {
			return nil, violation(p, "C, F and tag %x do not fit", p.TTT())
		}
		said = append(said, p.Data...)
		if p.Final() {
			return cutText(said), nil
		}
		ttt, b = p.TTT(), nil
	}
}

// TargetInfo is a target that a discovery has found.
type TargetInfo struct {
	Name      string
	Addresses []string // "192.0.2.1:3260,1": the portal and its group's tag
}

// SendTargets asks which targets there are (appendix C): "All", a target's name,
// or "" for the session's own.
func (s *Session) SendTargets(ctx context.Context, which string) ([]TargetInfo, error) {
	keys, err := s.Text(ctx, "SendTargets="+which)
	var found []TargetInfo
	for _, kv := range keys {
		k, v, _ := strings.Cut(kv, "=")
		switch {
		case k == "TargetName":
			found = append(found, TargetInfo{Name: v})
		case k == "TargetAddress" && len(found) > 0:
			last := &found[len(found)-1]
			last.Addresses = append(last.Addresses, v)
		}
	}
	return found, err
}
