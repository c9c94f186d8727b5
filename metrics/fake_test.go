package metrics_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/nsctx"
)

// fake is a Source that says what it is told to.
type fake struct {
	mu    sync.Mutex
	stats engine.Stats
}

// Stats gives each caller a snapshot of its own.
func (f *fake) Stats() engine.Stats {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.stats
	s.Namespaces = slices.Clone(s.Namespaces)
	s.Loops = slices.Clone(s.Loops)
	return s
}

func (f *fake) change(how func(*engine.Stats)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	how(&f.stats)
}

// start is when every fake engine was made.
var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// tenants is an engine with that many namespaces, tenant-0 and so on.
func tenants(n int) *fake {
	f := &fake{stats: engine.Stats{Started: start}}
	for i := range n {
		f.stats.Namespaces = append(f.stats.Namespaces, tenant(i))
	}
	return f
}

// identity is a tenant's last name, in place of an ID.
func identity(ns *engine.NamespaceStats) string {
	if len(ns.Names) == 0 {
		return "none"
	}
	return ns.Names[len(ns.Names)-1]
}

func tenant(i int) engine.NamespaceStats {
	return engine.NamespaceStats{
		Names:    []string{fmt.Sprintf("tenant-%d", i), fmt.Sprintf("id:%d", i+1)},
		State:    engine.StateServing,
		Attached: start.Add(time.Duration(i) * time.Second),
		Since:    start.Add(time.Duration(i) * time.Second),
	}
}

// release takes a namespace off the list.
func (f *fake) release(name string) {
	f.change(func(s *engine.Stats) {
		s.Namespaces = slices.DeleteFunc(s.Namespaces, func(ns engine.NamespaceStats) bool {
			gone := ns.Names[0] == name
			if gone {
				s.Gone.Add(&ns)
			}
			return gone
		})
		s.Released++
	})
}

// count changes a namespace's numbers.
func (f *fake) count(name string, how func(*engine.NamespaceStats)) {
	f.change(func(s *engine.Stats) {
		for i := range s.Namespaces {
			if s.Namespaces[i].Names[0] == name {
				how(&s.Namespaces[i])
			}
		}
	})
}

// everything is an engine on which no number is zero without a reason.
func everything() *fake {
	serving, draining, failed := tenant(0), tenant(1), tenant(2)
	serving.Conns, serving.Accepted, serving.Rejected, serving.BytesIn, serving.BytesOut = 3, 10, 1, 4096, 8192
	serving.Dialed = 4
	serving.Packets = engine.PacketStats{In: 30, Out: 20, Dropped: 3, Missed: 2, Truncated: 1}
	serving.Errors[engine.ErrorRead] = 2
	serving.Listeners = []engine.ListenerStats{{Network: "tcp", Port: 7, Sockets: 2}, {Network: "tcp", Port: 3260, Sockets: 2}}
	serving.Holds = engine.Holds{Handle: true, Listeners: 4, PacketConns: 5, Conns: 3, Work: 2, ParkedLoops: []int{0}}
	draining.State = engine.StateDraining
	draining.Since = start.Add(time.Minute)
	draining.Accepted = 5
	failed.Names[0] = "caf\xe9"
	failed.Listeners = []engine.ListenerStats{{Network: "tcp", Port: 7, Err: errors.New("address already in use")}}
	failed.Errors[engine.ErrorListen] = 4
	failed.Holds = engine.Holds{Handle: true}
	return &fake{stats: engine.Stats{
		Loops:        []engine.LoopStats{loop(0), loop(1)},
		Namespaces:   []engine.NamespaceStats{serving, draining, failed},
		Released:     6,
		Abandoned:    1,
		AttachErrors: 2,
		Work: engine.WorkStats{
			Workers: 64, Running: 5, Waiting: 6, Stuck: 1, Done: 70, Busy: 8, GivenUp: 2,
			WaitSeconds: engine.Histogram{Bounds: []float64{1e-5, 2e-5}, Counts: []uint64{50, 20, 5}, Sum: 0.02},
			RunSeconds:  engine.Histogram{Bounds: []float64{1e-5, 2e-5}, Counts: []uint64{5, 20, 45}, Sum: 4},
		},

		IdentityGrade: nsctx.GradeKernelID,
		Started:       start,
	}}
}

func loop(index int) engine.LoopStats {
	return engine.LoopStats{
		Index: index, CPU: index, TID: 4000 + index,
		Turns: 100, Events: 250, StaleEvents: 1, Waits: 120, Tasks: 11, Timers: 12,
		Panics: 13, Stalls: 14, Strays: 15,
		Switches: 40, SwitchesAvoided: 200, SwitchErrors: 2, SwitchTime: 60 * time.Microsecond,
		Conns: 2, Listeners: 3, PacketConns: 6, Mailbox: 4, Namespace: "tenant-0", Busy: 5 * time.Millisecond,
		TurnSeconds: engine.Histogram{Bounds: []float64{1e-6, 2e-6, 4e-6}, Counts: []uint64{50, 30, 15, 5}, Sum: 0.0003},
		BatchEvents: engine.Histogram{Bounds: []float64{1, 2, 4}, Counts: []uint64{40, 30, 20, 10}, Sum: 250},
	}
}
