package session

import (
	"math/rand/v2"
	"testing"

	"github.com/nsreactor/nsreactor/examples/iscsi-stub/pdu"
)

// obedient answers what a dataOut asks for, as an initiator does, and loses PDUs to bad
// digests now and then.
type obedient struct {
	t    *testing.T
	r    *rand.Rand
	d    *dataOut
	have []bool // the bytes that have come
	lose bool
}

// send sends a sequence.
func (o *obedient) send(ttt pdu.Tag, from, to int) {
	sn := uint32(0)
	for {
		n := min(to-from, 1+o.r.IntN(700))
		final, good := from+n == to, !o.lose || o.r.IntN(5) > 0
		placed := o.d.inPlace(ttt, sn, from, n)
		v := o.d.accept(ttt, sn, from, n, final, good)
		switch {
		case v == refuse:
			o.t.Fatalf("[%d,%d) with tag %d was refused", from, from+n, ttt)
		case v == keep && !good:
			o.t.Fatal("data with a bad digest was kept")
		case v == keep:
			for i := from; i < from+n; i++ {
				if o.have[i] {
					o.t.Fatalf("byte %d was asked for twice", i)
				}
				o.have[i] = true
			}
		}
		if v == keep && !placed && !o.d.recovered {
			o.t.Fatal("data in order could not be received in place")
		}
		from, sn = from+n, sn+1
		if final {
			return
		}
	}
}

// Whatever the sizes, and whatever is lost on the way at error recovery level 1: everything
// is asked for until it is there, no R2T is too long, and no more are out than agreed.
func TestDataOut(t *testing.T) {
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 4))
		l := outLimits{firstBurst: 1 + r.IntN(3000), maxBurst: 1 + r.IntN(3000), outstanding: 1 + r.IntN(4), immediate: true, unsolicited: r.IntN(2) == 0, recover: r.IntN(2) == 0}
		expected, wanted := 1+r.IntN(10000), 1+r.IntN(10000)
		o := &obedient{t: t, r: r, d: new(dataOut), have: make([]bool, expected), lose: l.recover}
		d := o.d
		most := min(l.firstBurst, expected)
		immediate := r.IntN(most + 1)
		final := !l.unsolicited || immediate == most || r.IntN(2) == 0
		d.begin(l, 7, expected, immediate, final)
		d.want(wanted)
		for i := range immediate {
			o.have[i] = true
		}
		if !final {
			o.send(pdu.NoTag, immediate, immediate+1+r.IntN(most-immediate))
		}
		var open []r2t
		for sn := uint32(0); ; {
			for {
				q, ok := d.solicit()
				if !ok {
					break
				}
				if q.to <= q.from || q.to-q.from > l.maxBurst || q.sn != sn {
					t.Fatalf("seed %d: R2T %+v", seed, q)
				}
				sn++
				open = append(open, q)
			}
			if len(open) > l.outstanding {
				t.Fatalf("seed %d: %d R2Ts are out", seed, len(open))
			}
			if len(open) == 0 {
				break
			}
			o.send(open[0].ttt, open[0].from, open[0].to)
			open = open[1:]
		}
		if !d.complete() || d.fault != 0 {
			t.Fatalf("seed %d: not complete: %+v", seed, d)
		}
		for i := range min(wanted, expected) {
			if !o.have[i] {
				t.Fatalf("seed %d: byte %d of %d has not come", seed, i, min(wanted, expected))
			}
		}
	}
}

// FuzzDataOut sends anything: what is kept lies within what was asked for, and a task always
// has an end in sight once the last PDU has come.
func FuzzDataOut(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8}, uint16(1000), true)
	f.Add([]byte{255, 0, 128, 3, 4, 250, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, uint16(100), false)
	f.Fuzz(func(t *testing.T, in []byte, expected uint16, recoverable bool) {
		var d dataOut
		next := func() int {
			if len(in) == 0 {
				return 0
			}
			b := in[0]
			in = in[1:]
			return int(b)
		}
		l := outLimits{firstBurst: 1 + next(), maxBurst: 1 + next(), outstanding: 1 + next()%3, immediate: next()%2 == 0, unsolicited: next()%2 == 0, recover: recoverable}
		d.begin(l, 1, int(expected), next(), next()%2 == 0)
		d.want(int(expected))
		d.solicit()
		for len(in) > 0 {
			ttt := pdu.Tag(next() % 8)
			if ttt == 0 {
				ttt = pdu.NoTag
			}
			at, n := next()*4, next()
			if d.accept(ttt, uint32(next()%4), at, n, next()%2 == 0, next()%4 > 0) == keep && at+n > int(expected) {
				t.Fatalf("kept [%d,%d) of %d", at, at+n, expected)
			}
			for {
				if _, ok := d.solicit(); !ok {
					break
				}
			}
			if d.idle() && d.fault == 0 && !d.complete() {
				t.Fatalf("nothing is asked for, and it is not complete: %+v", d)
			}
		}
	})
}
