package observe

import (
	"sync"
	"sync/atomic"

	"github.com/nsreactor/nsreactor/examples/iscsi-stub/login"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/scsi"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/session"
)

// Observer counts what sessions tell. It is a [session.Observer].
type Observer struct {
	mu      sync.Mutex
	meters  map[place]*Meter
	logins  map[pair]uint64 // by tenant and outcome
	closed  map[pair]uint64 // by tenant and reason
	wrongs  map[pair]uint64 // by tenant and kind
	nowhere map[string]uint64
}

type (
	place struct{ tenant, volume string }
	pair  struct{ tenant, what string }
)

// New makes an Observer that has seen nothing.
func New() *Observer {
	return &Observer{
		meters: make(map[place]*Meter), logins: make(map[pair]uint64),
		closed: make(map[pair]uint64), wrongs: make(map[pair]uint64), nowhere: make(map[string]uint64),
	}
}

// What a command is to a volume.
const (
	read = iota
	write
	other
	operations
)

var operationNames = [operations]string{"read", "write", "other"}

// Meter counts the commands of a volume.
type Meter struct {
	latency  [operations]histogram
	bytesIn  atomic.Uint64 // to initiators
	bytesOut atomic.Uint64
	senses   [16]atomic.Uint64 // CHECK CONDITION by sense key
	statuses [4]atomic.Uint64  // as otherStatuses has them
	aborted  atomic.Uint64
	owners   int // units that count here; the Observer's lock guards it
}

// Statuses that are neither GOOD nor CHECK CONDITION.
var otherStatuses = [len(Meter{}.statuses)]scsi.Status{scsi.Busy, scsi.ReservationConflict, scsi.TaskSetFull, scsi.TaskAborted}

// Meter is what counts for a volume, to hang on its logical unit; release forgets it when the unit
// is gone.
func (o *Observer) Meter(tenant, volume string) (meter any, release func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	at := place{tenant, volume}
	m := o.meters[at]
	if m == nil {
		m = new(Meter)
		o.meters[at] = m
	}
	m.owners++
	return m, func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		if m.owners--; m.owners == 0 {
			delete(o.meters, at)
		}
	}
}

// CommandEnded counts a command where its unit says.
func (o *Observer) CommandEnded(s *session.Info, e session.Ended) {
	if e.Unit == nil {
		o.count(func() { o.nowhere[s.Tenant]++ })
		return
	}
	m, ok := e.Unit.Meter().(*Meter)
	if !ok {
		return
	}
	if e.Aborted {
		m.aborted.Add(1)
		return
	}
	m.latency[operation(e.Opcode)].add(e.Latency)
	m.bytesIn.Add(uint64(e.BytesIn))
	m.bytesOut.Add(uint64(e.BytesOut))
	if e.Status != scsi.Good {
		m.failed(e)
	}
}

func (m *Meter) failed(e session.Ended) {
	if e.Status == scsi.CheckCondition {
		m.senses[e.SenseKey&0xF].Add(1)
		return
	}
	for i, s := range otherStatuses {
		if s == e.Status {
			m.statuses[i].Add(1)
		}
	}
}

// operation sorts commands by their operation codes (SBC-3, table 3).
func operation(opcode byte) int {
	switch opcode {
	case 0x08, 0x28, 0xA8, 0x88:
		return read
	case 0x0A, 0x2A, 0xAA, 0x8A, 0x9C:
		return write
	}
	return other
}

// SessionOpened counts a login.
func (o *Observer) SessionOpened(s *session.Info) {
	o.count(func() { o.logins[pair{s.Tenant, "success"}]++ })
}

// SessionClosed counts a session's end.
func (o *Observer) SessionClosed(s *session.Info, why string) {
	o.count(func() { o.closed[pair{s.Tenant, why}]++ })
}

// LoginFailed counts a login that was refused.
func (o *Observer) LoginFailed(tenant, _ string, err *login.Error) {
	o.count(func() { o.logins[pair{tenant, err.Status.String()}]++ })
}

// Violated counts what a peer should not have done.
func (o *Observer) Violated(tenant string, v session.Violation) {
	o.count(func() { o.wrongs[pair{tenant, string(v)}]++ })
}

func (o *Observer) count(f func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f()
}
