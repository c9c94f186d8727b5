package scsi

import (
	"encoding/binary"
	"errors"
	"slices"
)

const reserveOutUsage = " 00 00 FF FF FF FF 00"

// The service actions of PERSISTENT RESERVE OUT (SPC-4, table 209).
const (
	actionRegister        = 0x00
	actionReserve         = 0x01
	actionRelease         = 0x02
	actionClear           = 0x03
	actionPreempt         = 0x04
	actionPreemptAbort    = 0x05
	actionRegisterIgnore  = 0x06
	actionRegisterAndMove = 0x07
)

// reserveOut: PERSISTENT RESERVE OUT (SPC-4, 6.16).
var reserveOut = []row{
	{op: 0x5F, action: actionRegister, name: "PERSISTENT RESERVE OUT, REGISTER", usage: "5F 00 FF" + reserveOutUsage, does: seesAll, check: checkReserveOut, run: runReserveOut},
	{op: 0x5F, action: actionReserve, name: "PERSISTENT RESERVE OUT, RESERVE", usage: "5F 01 FF" + reserveOutUsage, does: seesAll, check: checkReserveOut, run: runReserveOut},
	{op: 0x5F, action: actionRelease, name: "PERSISTENT RESERVE OUT, RELEASE", usage: "5F 02 FF" + reserveOutUsage, does: seesAll, check: checkReserveOut, run: runReserveOut},
	{op: 0x5F, action: actionClear, name: "PERSISTENT RESERVE OUT, CLEAR", usage: "5F 03 FF" + reserveOutUsage, does: seesAll, check: checkReserveOut, run: runReserveOut},
	{op: 0x5F, action: actionPreempt, name: "PERSISTENT RESERVE OUT, PREEMPT", usage: "5F 04 FF" + reserveOutUsage, does: seesAll, check: checkReserveOut, run: runReserveOut},
	{op: 0x5F, action: actionPreemptAbort, name: "PERSISTENT RESERVE OUT, PREEMPT AND ABORT", usage: "5F 05 FF" + reserveOutUsage, does: seesAll, check: checkReserveOut, run: runReserveOut},
	{op: 0x5F, action: actionRegisterIgnore, name: "PERSISTENT RESERVE OUT, REGISTER AND IGNORE EXISTING KEY", usage: "5F 06 FF" + reserveOutUsage, does: seesAll, check: checkReserveOut, run: runReserveOut},
	{op: 0x5F, action: actionRegisterAndMove, name: "PERSISTENT RESERVE OUT, REGISTER AND MOVE", usage: "5F 07 FF" + reserveOutUsage, does: seesAll, check: checkReserveOut, run: runReserveOut},
}

const (
	reserveList    = 24      // bytes of the basic parameter list
	maxReserveList = 8 << 10 // with TransportIDs
)

// checkReserveOut refuses, besides what is wrong, a unit that is held by RESERVE(6).
func checkReserveOut(c *Command) {
	action := c.CDB[1] & 0x1F
	scope, kind := c.CDB[2]>>4, reservationType(c.CDB[2]&0x0F)
	c.OutLen = int(binary.BigEndian.Uint32(c.CDB[5:]))
	switch typed := action == actionReserve || action == actionRelease || action == actionPreempt || action == actionPreemptAbort; {
	case c.unit.reserving.classic.Load() != nil:
		c.Status = ReservationConflict
	case typed && scope != 0:
		c.badField(2, 7)
	case typed && !kind.valid():
		c.badField(2, 3)
	case c.OutLen < reserveList, c.OutLen > maxReserveList:
		c.fail(IllegalRequest, ParameterListLengthError)
	}
}

// runReserveOut always goes to a worker: the state may have to be stored.
func runReserveOut(c *Command, w Wait) bool {
	if w == DontWait {
		return false
	}
	if len(c.Out) < c.OutLen {
		c.fail(IllegalRequest, ParameterListLengthError)
		return true
	}
	action := c.reserveAction()
	if c.failed() {
		return true
	}
	told, err := c.unit.changeReservations(action)
	var sense Sense
	switch {
	case errors.Is(err, errConflict):
		c.Status = ReservationConflict
	case errors.As(err, &sense):
		c.check(sense)
	case err != nil:
		c.fail(HardwareError, InternalTargetFailure)
	default:
		c.preempted(told.preempted)
	}
	return true
}

// reserveAction reads the parameter list into what is to be done, or ends the command.
func (c *Command) reserveAction() func(reservations) (reservations, news, error) {
	n := c.nexus.pair()
	key, newKey := binary.BigEndian.Uint64(c.Out), binary.BigEndian.Uint64(c.Out[8:])
	kind := reservationType(c.CDB[2] & 0x0F)
	switch action := c.CDB[1] & 0x1F; action {
	case actionRegister, actionRegisterIgnore:
		q := registering{key: key, newKey: newKey, ignore: action == actionRegisterIgnore, aptpl: c.Out[20]&0x01 != 0}
		c.registeringOthers(&q)
		return func(r reservations) (reservations, news, error) { return r.register(n, q) }
	case actionRegisterAndMove:
		q := c.movingTo(moving{key: key, newKey: newKey, unregister: c.Out[17]&0x02 != 0, aptpl: c.Out[17]&0x01 != 0})
		return func(r reservations) (reservations, news, error) { return r.move(n, q) }
	case actionReserve:
		c.basicList()
		return func(r reservations) (reservations, news, error) { return r.reserve(n, key, kind) }
	case actionRelease:
		c.basicList()
		return func(r reservations) (reservations, news, error) { return r.release(n, key, kind) }
	case actionClear:
		c.basicList()
		return func(r reservations) (reservations, news, error) { return r.clear(n, key) }
	}
	c.basicList() // PREEMPT, PREEMPT AND ABORT
	return func(r reservations) (reservations, news, error) { return r.preempt(n, key, newKey, kind) }
}

// basicList ends a command whose parameter list has more than the basic one.
func (c *Command) basicList() {
	switch {
	case c.OutLen != reserveList:
		c.fail(IllegalRequest, ParameterListLengthError)
	case c.Out[20]&0x08 != 0: // SPEC_I_PT
		c.badParameter(20, 3)
	}
}

// registeringOthers reads whom else ALL_TG_PT and SPEC_I_PT register: the same initiator
// port through the other target ports, and other initiator ports through this one, or all.
func (c *Command) registeringOthers(q *registering) {
	const specified, allPorts = 0x08, 0x04
	flags := c.Out[20]
	q.spec = flags&specified != 0
	initiators := []string{c.nexus.pair().initiator}
	switch {
	case q.aptpl && c.unit.keeper == nil:
		c.badParameter(20, 0)
	case q.spec && q.ignore:
		c.badParameter(20, 3)
	case !q.spec && c.OutLen != reserveList:
		c.fail(IllegalRequest, ParameterListLengthError)
	case q.spec:
		initiators = append(initiators, c.transportIDs()...)
	}
	ports := []uint16{c.nexus.port}
	if flags&allPorts != 0 {
		ports = ports[:0]
		for _, p := range c.nexus.device.ports {
			ports = append(ports, p.ID)
		}
	}
	for _, initiator := range initiators {
		for _, port := range ports {
			other := portPair{initiator, port}
			if other != c.nexus.pair() && !slices.Contains(q.also, other) {
				q.also = append(q.also, other)
			}
		}
	}
}

// transportIDs reads the list of TransportIDs behind the basic parameter list.
func (c *Command) transportIDs() (ports []string) {
	if len(c.Out) < reserveList+4 || int(binary.BigEndian.Uint32(c.Out[reserveList:])) != len(c.Out)-reserveList-4 {
		c.fail(IllegalRequest, ParameterListLengthError)
		return nil
	}
	for list := c.Out[reserveList+4:]; len(list) > 0; {
		port, rest, ok := cutTransportID(list)
		if !ok {
			c.badParameter(len(c.Out)-len(list), -1)
			return nil
		}
		ports, list = append(ports, port), rest
	}
	return ports
}

// movingTo reads where REGISTER AND MOVE moves the reservation to (SPC-4, table 214).
func (c *Command) movingTo(q moving) moving {
	if int(binary.BigEndian.Uint32(c.Out[20:])) != len(c.Out)-reserveList {
		c.fail(IllegalRequest, ParameterListLengthError)
		return q
	}
	port, rest, ok := cutTransportID(c.Out[reserveList:])
	q.to = portPair{port, binary.BigEndian.Uint16(c.Out[18:])}
	switch known := slices.ContainsFunc(c.nexus.device.ports, func(p TargetPort) bool { return p.ID == q.to.target }); {
	case !ok || len(rest) > 0:
		c.badParameter(reserveList, -1)
	case !known:
		c.badParameter(18, -1)
	case q.aptpl && c.unit.keeper == nil:
		c.badParameter(17, 0)
	}
	return q
}

// preempted ends what nexuses whose registration was preempted hold besides: the medium by
// PREVENT ALLOW MEDIUM REMOVAL, and with PREEMPT AND ABORT, whose status waits for them,
// their tasks. The nexus itself is left alone: this command is a task of its own.
func (c *Command) preempted(nexuses []portPair) {
	var paths []*path
	for _, n := range nexuses {
		paths = append(paths, otherPaths(c.unit.pathsOf(n), c.nexus)...)
	}
	for _, p := range paths {
		c.unit.allowRemoval(p)
	}
	if c.CDB[1]&0x1F == actionPreemptAbort && len(paths) > 0 {
		c.scratch, c.wait = paths, (*Command).abortPreempted
	}
}

// abortPreempted settles a PREEMPT AND ABORT.
func (c *Command) abortPreempted(done func()) bool {
	paths, _ := c.scratch.([]*path)
	c.wait = nil
	end := countdown(len(paths), done)
	for _, p := range paths {
		p.abort(end)
	}
	return true
}
