package initiator

import "github.com/nsreactor/nsreactor/examples/iscsi-stub/pdu"

// sendCommand sends a command with the data that may go with it: immediate, and
// unsolicited behind it.
func (l *link) sendCommand(t *Task) {
	c := t.command
	first := l.unsolicited(c)
	immediate := 0
	if l.params.ImmediateData {
		immediate = min(first, l.params.MaxSend)
	}
	if l.params.InitialR2T {
		first = immediate
	}
	expected := len(c.Out)
	if c.Out == nil {
		expected = c.In
	}
	p := pdu.SCSICommand{
		Immediate: c.Immediate, Final: first == immediate, Read: c.In > 0, Write: c.Out != nil, Attribute: c.Attribute,
		LUN: c.LUN, ITT: t.ITT, Expected: uint32(expected), CmdSN: t.CmdSN, ExpStatSN: l.stats.ack(), CDB: c.CDB,
		Data: c.Out[:immediate],
	}
	if c.Out != nil {
		p.BidiRead = uint32(c.In)
	}
	l.send(p)
	t.sent = first
	if first > immediate {
		l.sendData(t, c.LUN, pdu.NoTag, immediate, first)
	}
}

// unsolicited is how much may be sent without being asked for.
func (l *link) unsolicited(c *Command) int {
	if c.NoUnsolicited || l.params.InitialR2T && !l.params.ImmediateData {
		return 0
	}
	return min(len(c.Out), l.params.FirstBurst)
}

// sendData sends a sequence of Data-Outs with the bytes from at to end.
func (l *link) sendData(t *Task, lun [8]byte, ttt pdu.Tag, at, end int) {
	for sn := uint32(0); at < end; sn++ {
		n := min(end-at, l.params.MaxSend)
		l.send(pdu.DataOut{
			Final: at+n == end, LUN: lun, ITT: t.ITT, TTT: ttt, ExpStatSN: l.stats.ack(), DataSN: sn,
			Offset: uint32(at), Data: t.command.Out[at : at+n],
		})
		at += n
	}
}

// takeR2T sends what is asked for.
func (t *Task) takeR2T(p PDU) error {
	if err := t.ordered(p); err != nil {
		return err
	}
	l, at, n := t.link, int(p.BufferOffset()), int(p.DesiredLength())
	switch {
	case p.TTT() == pdu.NoTag:
		return violation(p, "without a target transfer tag")
	case n == 0 || n > l.params.MaxBurst:
		return violation(p, "for %d bytes", n)
	case at+n > len(t.command.Out):
		return violation(p, "for %d bytes at %d, of %d", n, at, len(t.command.Out))
	case at != t.sent && l.params.ErrorRecoveryLevel == 0:
		return violation(p, "for bytes at %d, not %d", at, t.sent)
	}
	t.sent = max(t.sent, at+n)
	t.result.R2Ts++
	l.sendData(t, p.LUN(), p.TTT(), at, at+n)
	return nil
}
