package session

import (
	"slices"

	"github.com/nsreactor/nsreactor/examples/iscsi-stub/pdu"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/scsi"
)

// dataOut is the data-out of one task on its way in: what has been asked for, what has
// come, and whether it came as it should (RFC 7143, sections 4.2.5.2, 11.7 and 11.8). It
// knows the numbers only, not the data.
//
// Sequences come one after the other, and the PDUs of each in order (DataSequenceInOrder
// and DataPDUInOrder are Yes here). What does not is a fault: the rest of the data is let
// come, up to the last PDU that is expected, and then the task ends with it (section
// 7.8). With error recovery, what a bad digest has cost is asked for again instead.
type dataOut struct {
	limits    outLimits
	expected  int        // what the initiator is prepared to send
	wanted    int        // what the command takes of it; nothing is solicited beyond
	asked     int        // what was sent unsolicited, or asked for, in order
	open      []sequence // under way; the first is the one that comes
	lost      []span     // to be asked for again
	r2tSN     uint32     // of the next R2T
	ttt       pdu.Tag    // of the next R2T
	fault     scsi.Code  // what is wrong with what came; 0 is nothing
	recovered bool       // something was asked for again: data does not come in order any more
}

// outLimits is what was negotiated about data-out.
type outLimits struct {
	firstBurst, maxBurst int
	outstanding          int // R2Ts at once
	immediate            bool
	unsolicited          bool // InitialR2T is No
	recover              bool // the error recovery level is not 0
}

// sequence is Data-Out PDUs that answer one R2T, or that come unsolicited.
type sequence struct {
	ttt     pdu.Tag // NoTag if unsolicited
	r2tSN   uint32
	from    int
	next    int // where the next PDU belongs
	end     int
	dataSN  uint32
	damaged bool // the rest of it counts for nothing
}

type span struct{ from, end int }

// r2t is a request for data.
type r2t struct {
	ttt      pdu.Tag
	sn       uint32
	from, to int
}

// What is wrong with data that came (RFC 7143, section 11.4.7.2).
const (
	unexpectedData  scsi.Code = 0x0C0C // WRITE ERROR - UNEXPECTED UNSOLICITED DATA
	incorrectAmount scsi.Code = 0x0C0D // WRITE ERROR - NOT ENOUGH UNSOLICITED DATA
	protocolCRC     scsi.Code = 0x4705 // PROTOCOL SERVICE CRC ERROR
)

// begin starts with the command itself: how much the initiator expects to send, the
// immediate data, and the F bit, without which unsolicited data follow. The tags of R2Ts count on
// from ttt.
func (d *dataOut) begin(limits outLimits, ttt pdu.Tag, expected, immediate int, final bool) {
	*d = dataOut{limits: limits, ttt: ttt, expected: expected, asked: immediate, open: d.open[:0], lost: d.lost[:0]}
	most := min(limits.firstBurst, expected)
	if immediate > 0 && (!limits.immediate || immediate > most) || !final && !limits.unsolicited {
		d.fail(unexpectedData)
		d.asked = min(immediate, expected)
	}
	if !final {
		d.open = append(d.open, sequence{ttt: pdu.NoTag, from: d.asked, next: d.asked, end: max(most, d.asked), damaged: d.fault != 0})
	}
}

// want says how much the command takes of what the initiator is prepared to send.
func (d *dataOut) want(n int) { d.wanted = min(n, d.expected) }

// verdict is what to do with a Data-Out PDU.
type verdict uint8

const (
	keep   verdict = iota // its data belong where it says
	drop                  // its data are of no use
	refuse                // nobody has asked for it: Reject
)

// accept looks at a Data-Out PDU, whose digest is good or not.
func (d *dataOut) accept(ttt pdu.Tag, dataSN uint32, offset, n int, final, good bool) verdict {
	i := slices.IndexFunc(d.open, func(s sequence) bool { return s.ttt == ttt })
	if i < 0 {
		return refuse
	}
	s := &d.open[i]
	if !good {
		d.lose(s)
	}
	v := drop
	switch {
	case s.damaged:
	case i > 0:
		d.spoil(s, protocolCRC) // the sequence before it has not ended
	case dataSN != s.dataSN && dataSN > s.dataSN && d.limits.recover:
		d.lose(s) // those between were lost
	case dataSN != s.dataSN:
		d.spoil(s, protocolCRC)
	case offset != s.next:
		d.spoil(s, incorrectAmount)
	case n > s.end-s.next:
		d.spoil(s, d.excess(s))
	default:
		s.dataSN++
		s.next += n
		v = keep
	}
	d.closeIf(i, final)
	return v
}

// excess is what more data than a sequence may have is called.
func (d *dataOut) excess(s *sequence) scsi.Code {
	if s.ttt == pdu.NoTag {
		return unexpectedData
	}
	return incorrectAmount
}

// closeIf ends a sequence whose last PDU has come: that with the F bit, or, however it is
// marked, the one with the last byte.
func (d *dataOut) closeIf(i int, final bool) {
	s := &d.open[i]
	full := !s.damaged && s.next == s.end
	if !final && !full {
		return
	}
	switch {
	case s.damaged:
	case s.ttt == pdu.NoTag:
		d.asked = s.next // the rest is to be solicited
	case !full:
		d.fail(incorrectAmount)
	}
	if !final {
		d.fail(d.excess(s)) // it is to say that it is the last
	}
	if s.damaged && s.ttt == pdu.NoTag {
		d.asked = s.end // or is in lost
	}
	d.open = slices.Delete(d.open, i, i+1)
}

// lose notes that a PDU of a sequence is lost to a bad digest. What follows it in the
// sequence is asked for again with it.
func (d *dataOut) lose(s *sequence) {
	switch {
	case s.damaged:
	case !d.limits.recover:
		d.spoil(s, protocolCRC)
	default:
		s.damaged, d.recovered = true, true
		if s.next < s.end {
			d.lost = append(d.lost, span{s.next, s.end})
		}
	}
}

func (d *dataOut) spoil(s *sequence, what scsi.Code) {
	s.damaged = true
	d.fail(what)
}

func (d *dataOut) fail(what scsi.Code) {
	if d.fault == 0 {
		d.fault = what
	}
}

// unsolicited says that data are expected that nobody has asked for.
func (d *dataOut) unsolicited() bool { return len(d.open) > 0 && d.open[0].ttt == pdu.NoTag }

// idle says that no more data come unless they are asked for.
func (d *dataOut) idle() bool { return len(d.open) == 0 }

// complete says that all that the command takes has come.
func (d *dataOut) complete() bool {
	return d.idle() && d.fault == 0 && d.asked >= d.wanted && !slices.ContainsFunc(d.lost, func(s span) bool { return s.from < d.wanted })
}

// solicit is the next R2T, if one is to be sent now. Its tag is one more than that of the
// one before: unique among the task's own.
func (d *dataOut) solicit() (r r2t, ok bool) {
	if d.fault != 0 || d.unsolicited() || len(d.open) >= d.limits.outstanding {
		return r2t{}, false
	}
	from, to := d.asked, d.wanted
	again := len(d.lost) > 0
	if again {
		from, to = d.lost[0].from, min(d.lost[0].end, d.wanted)
		if from >= to {
			d.lost = slices.Delete(d.lost, 0, 1)
			return d.solicit()
		}
	}
	if from >= to {
		return r2t{}, false
	}
	to = min(to, from+d.limits.maxBurst)
	switch {
	case !again:
		d.asked = to
	case to == d.lost[0].end:
		d.lost = slices.Delete(d.lost, 0, 1)
	default:
		d.lost[0].from = to
	}
	r = r2t{ttt: d.ttt, sn: d.r2tSN, from: from, to: to}
	d.open = append(d.open, sequence{ttt: r.ttt, r2tSN: r.sn, from: from, next: from, end: to})
	d.ttt++
	if d.ttt == pdu.NoTag {
		d.ttt = 0
	}
	d.r2tSN++
	return r, true
}

// outstanding goes over the R2Ts that have not been answered in full, from a number on: to
// be sent again (section 7.2.2.3).
func (d *dataOut) outstanding(fromSN uint32, f func(r2t)) {
	for _, s := range d.open {
		if s.ttt != pdu.NoTag && s.r2tSN >= fromSN {
			f(r2t{ttt: s.ttt, sn: s.r2tSN, from: s.from, to: s.end})
		}
	}
}

// inPlace says that the data of a PDU, should it be as expected, may be received at its
// offset along with a trailer behind it: nothing that has come lies there.
func (d *dataOut) inPlace(ttt pdu.Tag, dataSN uint32, offset, n int) bool {
	if len(d.open) == 0 || d.recovered {
		return false
	}
	s := &d.open[0]
	return s.ttt == ttt && !s.damaged && s.dataSN == dataSN && s.next == offset && n <= s.end-s.next
}
