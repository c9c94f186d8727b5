package scsi

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nsreactor/nsreactor/examples/iscsi-stub/volume"
)

const (
	portA = "iqn.2026-11.test:a,i,0x000000000001"
	portB = "iqn.2026-11.test:b,i,0x000000000002"
)

// twoInitiators is a world with two initiators, of which the first is w.nexus.
func twoInitiators(t *testing.T, change func(*volume.Config, *UnitConfig)) (w *world, other *Nexus) {
	w = newWorld(t, change)
	w.nexus = w.connect(portA)
	return w, w.connect(portB)
}

// parameters is PERSISTENT RESERVE OUT's basic parameter list.
func parameters(key, newKey uint64, flags byte) []byte {
	b := make([]byte, 24)
	for i := range 8 {
		b[i], b[8+i] = byte(key>>(56-8*i)), byte(newKey>>(56-8*i))
	}
	b[20] = flags
	return b
}

func (w *world) out(n *Nexus, action int, kind byte, list []byte) outcome {
	w.t.Helper()
	return w.by(n, fmt.Sprintf("5F %02X %02X 00 00 00 00 %02X %02X 00", action, kind, len(list)>>8, len(list)&0xFF), list...)
}

func (o outcome) conflict(t *testing.T) {
	t.Helper()
	if o.status != ReservationConflict {
		t.Fatalf("status %v, sense % X, want RESERVATION CONFLICT", o.status, o.sense)
	}
}

// told fails the test unless the nexus's next unit attention is this one, or none if it is 0.
func told(t *testing.T, w *world, n *Nexus, code Code) {
	t.Helper()
	o := w.by(n, "00 00 00 00 00 00")
	if code == 0 {
		o.good(t, "")
		return
	}
	o.check(t, fmt.Sprintf("70 00 06 00 00 00 00 0A 00 00 00 00 %02X %02X 00 00 00 00", byte(code>>8), byte(code)))
}

func TestReserveIn(t *testing.T) {
	w, b := twoInitiators(t, nil)
	w.do("5E 02 00 00 00 00 00 00 FF 00").good(t, "00 08 1D 90 EA 01 00 00")
	w.do("5E 00 00 00 00 00 00 00 FF 00").good(t, "00 00 00 00 00 00 00 00")
	w.out(w.nexus, actionRegister, 0, parameters(0, 0x11, 1)).good(t, "")
	w.out(b, actionRegisterIgnore, 0, parameters(0x99, 0x22, 1)).good(t, "")
	w.do("5E 00 00 00 00 00 00 00 FF 00").good(t, "00 00 00 02 00 00 00 10 00 00 00 00 00 00 00 11 00 00 00 00 00 00 00 22")
	w.do("5E 00 00 00 00 00 00 00 08 00").good(t, "00 00 00 02 00 00 00 10")
	w.do("5E 01 00 00 00 00 00 00 FF 00").good(t, "00 00 00 02 00 00 00 00")
	w.out(b, actionReserve, 5, parameters(0x22, 0, 0)).good(t, "")
	w.do("5E 01 00 00 00 00 00 00 FF 00").good(t, "00 00 00 02 00 00 00 10 00 00 00 00 00 00 00 22 00 00 00 00 00 05 00 00")
	w.do("5E 02 00 00 00 00 00 00 FF 00").good(t, "00 08 1D 91 EA 01 00 00")
	id := func(port string) string { return fmt.Sprintf("45 00 00 24 %X 00", port) }
	w.do("5E 03 00 00 00 00 00 00 FF 00").good(t, "00 00 00 02 00 00 00 80"+
		"00 00 00 00 00 00 00 11 00 00 00 00 00 00 00 00 00 00 00 01 00 00 00 28"+id(portA)+
		"00 00 00 00 00 00 00 22 00 00 00 00 01 05 00 00 00 00 00 01 00 00 00 28"+id(portB))
	w.do("5E 04 00 00 00 00 00 00 FF 00").check(t, "70 00 05 00 00 00 00 0A 00 00 00 00 24 00 00 CC 00 01")
}

func TestReserveOutRefuses(t *testing.T) {
	w, _ := twoInitiators(t, nil)
	w.out(w.nexus, actionRegister, 0, parameters(0, 1, 0)).good(t, "")
	const (
		length    = "70 00 05 00 00 00 00 0A 00 00 00 00 1A 00 00 00 00 00"
		parameter = "70 00 05 00 00 00 00 0A 00 00 00 00 26 00 00 "
		field     = "70 00 05 00 00 00 00 0A 00 00 00 00 24 00 00 "
	)
	w.out(w.nexus, actionReserve, 1, parameters(1, 0, 0)[:23]).check(t, length)
	w.out(w.nexus, actionReserve, 1, append(parameters(1, 0, 0), 0)).check(t, length)
	w.out(w.nexus, actionReserve, 1, parameters(1, 0, 8)).check(t, parameter+"8B 00 14")
	w.out(w.nexus, actionReserve, 2, parameters(1, 0, 0)).check(t, field+"CB 00 02")
	w.out(w.nexus, actionReserve, 0x11, parameters(1, 0, 0)).check(t, field+"CF 00 02")
	w.out(w.nexus, actionRegisterIgnore, 0, parameters(1, 1, 8)).check(t, parameter+"8B 00 14")
	w.out(w.nexus, actionRegister, 0, parameters(1, 1, 8)).check(t, length)
	w.out(w.nexus, actionReserve, 1, parameters(2, 0, 0)).conflict(t)
	w.by(w.nexus, "5F 01 01 00 00 00 00 00 18 00", parameters(1, 0, 0)[:20]...).check(t, length) // half sent
}

// The unit attentions of reservations go to others, and to others only.
func TestReserveOutTellsOthers(t *testing.T) {
	w, b := twoInitiators(t, nil)
	w.out(w.nexus, actionRegister, 0, parameters(0, 1, 0)).good(t, "")
	w.out(b, actionRegister, 0, parameters(0, 2, 0)).good(t, "")
	w.out(w.nexus, actionReserve, 5, parameters(1, 0, 0)).good(t, "")
	w.out(w.nexus, actionRelease, 5, parameters(1, 0, 0)).good(t, "")
	told(t, w, b, ReservationsReleased)
	w.out(b, actionPreempt, 1, parameters(2, 1, 0)).good(t, "")
	told(t, w, w.nexus, RegistrationsPreempted)
	w.out(w.nexus, actionRegister, 0, parameters(0, 1, 0)).good(t, "")
	w.out(b, actionClear, 0, parameters(2, 0, 0)).good(t, "")
	told(t, w, w.nexus, ReservationsPreempted)
	told(t, w, w.nexus, 0)
	told(t, w, b, 0)
}

// Each type, and what another initiator may do that is registered, or is not.
func TestReservationConflicts(t *testing.T) {
	const (
		read, write = "28 00 00 00 00 00 00 00 01 00", "2A 00 00 00 00 00 00 00 01 00"
		inquiry     = "12 00 00 00 24 00"
		start, stop = "1B 00 00 00 01 00", "1B 00 00 00 00 00"
		allow       = "1E 00 00 00 00 00"
		prevent     = "1E 00 00 00 01 00"
	)
	for kind, want := range map[byte]string{
		1: "read inquiry start allow", 3: "inquiry start allow",
		5: "read inquiry start allow", 6: "inquiry start allow",
		7: "read inquiry start allow", 8: "inquiry start allow",
	} {
		for _, registered := range []bool{false, true} {
			w, b := twoInitiators(t, nil)
			w.out(w.nexus, actionRegister, 0, parameters(0, 1, 0)).good(t, "")
			if registered {
				w.out(b, actionRegister, 0, parameters(0, 2, 0)).good(t, "")
			}
			w.out(w.nexus, actionReserve, kind, parameters(1, 0, 0)).good(t, "")
			for name, cdb := range map[string]string{
				"read": read, "write": write, "inquiry": inquiry, "start": start, "stop": stop, "allow": allow, "prevent": prevent,
			} {
				allowed := strings.Contains(" "+want+" ", " "+name+" ") || registered && kind >= 5
				o := w.by(b, cdb, make([]byte, 512)...)
				if (o.status == Good) != allowed || !allowed && o.status != ReservationConflict {
					t.Errorf("type %d, registered %v: %s is %v", kind, registered, name, o.status)
				}
				if o := w.do(cdb, make([]byte, 512)...); o.status != Good {
					t.Errorf("type %d: the holder's %s is %v", kind, name, o.status)
				}
			}
		}
	}
}

// With APTPL the state is durable before GOOD, and there again after a restart.
func TestReservationsSurvive(t *testing.T) {
	kept := &keeper{}
	w, _ := twoInitiators(t, func(_ *volume.Config, u *UnitConfig) { u.Keeper = kept })
	w.out(w.nexus, actionRegister, 0, parameters(0, 1, 1)).good(t, "")
	w.out(w.nexus, actionReserve, 3, parameters(1, 0, 0)).good(t, "")
	again, b := twoInitiators(t, func(_ *volume.Config, u *UnitConfig) { u.Keeper = kept })
	again.by(b, "28 00 00 00 00 00 00 00 01 00").conflict(t)
	again.do("28 00 00 00 00 00 00 00 00 00").good(t, "")

	kept.fails = true
	w.out(w.nexus, actionRelease, 3, parameters(1, 0, 0)).check(t, "70 00 04 00 00 00 00 0A 00 00 00 00 44 00 00 00 00 00")
	w.do("5E 01 00 00 00 00 00 00 FF 00").good(t, "00 00 00 01 00 00 00 10 00 00 00 00 00 00 00 01 00 00 00 00 00 03 00 00")
	kept.fails = false

	w.out(w.nexus, actionRegister, 0, parameters(1, 1, 0)).good(t, "")
	again, b = twoInitiators(t, func(_ *volume.Config, u *UnitConfig) { u.Keeper = kept })
	again.by(b, "28 00 00 00 00 00 00 00 00 00").good(t, "")

	none, _ := twoInitiators(t, func(_ *volume.Config, u *UnitConfig) { u.Keeper = nil })
	none.out(none.nexus, actionRegister, 0, parameters(0, 1, 1)).check(t, "70 00 05 00 00 00 00 0A 00 00 00 00 26 00 00 88 00 14")
	none.do("5E 02 00 00 00 00 00 00 FF 00").good(t, "00 08 1C 90 EA 01 00 00")
}

// A registration is the initiator port's, which may log out and in again.
func TestRegistrationOutlivesTheNexus(t *testing.T) {
	w, b := twoInitiators(t, nil)
	w.out(w.nexus, actionRegister, 0, parameters(0, 1, 0)).good(t, "")
	w.out(w.nexus, actionReserve, 3, parameters(1, 0, 0)).good(t, "")
	w.nexus.Close()
	w.by(b, "28 00 00 00 00 00 00 00 01 00").conflict(t)
	w.nexus = w.connect(strings.ToUpper(portA))
	w.do("28 00 00 00 00 00 00 00 00 00").good(t, "")
}

func TestRegisterOthersByName(t *testing.T) {
	w, b := twoInitiators(t, nil)
	id := appendTransportID(nil, portB)
	list := append(append(parameters(0, 1, 8), 0, 0, 0, byte(len(id))), id...)
	w.out(w.nexus, actionRegister, 0, list).good(t, "")
	w.out(b, actionReserve, 1, parameters(1, 0, 0)).good(t, "")
	w.out(b, actionRegisterAndMove, 0, move(1, 7, 1, portA)).good(t, "")
	w.out(w.nexus, actionRelease, 1, parameters(7, 0, 0)).good(t, "")
	w.out(w.nexus, actionRegisterAndMove, 0, move(7, 7, 9, portB)).check(t, "70 00 05 00 00 00 00 0A 00 00 00 00 26 00 00 80 00 12")
}

func move(key, newKey uint64, port byte, to string) []byte {
	b := parameters(key, newKey, 0)
	id := appendTransportID(nil, to)
	b[19], b[23] = port, byte(len(id))
	return append(b, id...)
}

// aborter notes at which nexuses tasks were aborted, and is done at once.
type aborter struct{ aborted int }

func (a *aborter) AbortTasks(_ *Unit, done func()) { a.aborted++; done() }

func TestPreemptAndAbort(t *testing.T) {
	w := newWorld(t, nil)
	victim, own := &aborter{}, &aborter{}
	a := w.device.Connect(NexusConfig{InitiatorPort: portA, TargetPort: 1, Aborter: own})
	b := w.device.Connect(NexusConfig{InitiatorPort: portB, TargetPort: 1, Aborter: victim})
	told(t, w, a, PowerOnOrReset)
	told(t, w, b, PowerOnOrReset)
	w.out(a, actionRegister, 0, parameters(0, 1, 0)).good(t, "")
	w.out(b, actionRegister, 0, parameters(0, 2, 0)).good(t, "")
	w.out(b, actionReserve, 3, parameters(2, 0, 0)).good(t, "")
	w.out(a, actionPreemptAbort, 3, parameters(1, 2, 0)).good(t, "")
	if victim.aborted != 1 || own.aborted != 0 {
		t.Fatal(victim.aborted, own.aborted)
	}
	told(t, w, b, RegistrationsPreempted)
}

func TestClassicReserve(t *testing.T) {
	w, b := twoInitiators(t, nil)
	const reserve, release, ready = "16 00 00 00 00 00", "17 00 00 00 00 00", "00 00 00 00 00 00"
	w.do(reserve).good(t, "")
	w.do(reserve).good(t, "")
	w.by(b, reserve).conflict(t)
	w.by(b, release).good(t, "")
	w.by(b, ready).conflict(t)
	w.by(b, "5E 00 00 00 00 00 00 00 FF 00").conflict(t)
	w.by(b, "12 00 00 00 00 00").good(t, "")
	w.out(w.nexus, actionRegister, 0, parameters(0, 1, 0)).conflict(t)
	w.do(release).good(t, "")
	w.by(b, "56 00 00 00 00 00 00 00 00 00").good(t, "")
	b.Close()
	w.do(ready).good(t, "")
	w.do(reserve).good(t, "")
	w.nexus.LogicalUnitReset([8]byte{}, func() {})
	told(t, w, w.nexus, BusDeviceReset)
	other := w.connect(portB)
	w.by(other, ready).good(t, "")

	w.out(w.nexus, actionRegister, 0, parameters(0, 1, 0)).good(t, "")
	w.do(reserve).conflict(t)
	w.out(w.nexus, actionReserve, 1, parameters(1, 0, 0)).good(t, "")
	w.do(reserve).good(t, "") // SPC-4, 5.12.3: GOOD, and nothing done
	w.do(release).good(t, "")
	w.by(other, release).conflict(t)
}

func FuzzTransportID(f *testing.F) {
	f.Add(appendTransportID(nil, portA))
	f.Fuzz(func(t *testing.T, b []byte) {
		port, rest, ok := cutTransportID(b)
		if !ok {
			return
		}
		again, none, ok := cutTransportID(appendTransportID(nil, port))
		if !ok || again != port || len(none) > 0 || len(rest) >= len(b) {
			t.Fatalf("% x: %q, %q, %v", b, port, again, ok)
		}
	})
}
