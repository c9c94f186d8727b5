package qos

import (
	"container/heap"
	"testing"
	"time"
)

// A machine serves I/Os one after the other, so many units a second; what it can't serve
// waits in its queue. Time is virtual: an hour takes no longer than its I/Os do.
type machine struct {
	perSecond float64
	governor  *Governor
	clients   []*client
	now       time.Duration
	free      time.Duration // when what is queued has been served
	events    events
}

// A client keeps depth I/Os of so many bytes going, from a moment until another.
type client struct {
	volume      *Volume
	depth       int
	bytes       int
	think       time.Duration // between an answer and the next I/O
	from, until time.Duration

	done    int // units, in all
	counts  []int
	longest time.Duration
}

type event struct {
	at   time.Duration
	then func()
}

type events []event

func (e events) Len() int           { return len(e) }
func (e events) Less(i, j int) bool { return e[i].at < e[j].at }
func (e events) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)        { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

func newMachine(perSecond float64) *machine {
	return &machine{perSecond: perSecond, governor: NewGovernor(epoch)}
}

// client adds one whose volume has these settings; it is there all the time.
func (m *machine) client(t *testing.T, s Settings, depth, bytes int) *client {
	c := &client{volume: mustAdd(t, m.governor, s), depth: depth, bytes: bytes, until: time.Hour}
	m.clients = append(m.clients, c)
	return c
}

func (m *machine) at(when time.Duration, then func()) { heap.Push(&m.events, event{when, then}) }

// submit has a client ask for its next I/O.
func (m *machine) submit(c *client) {
	if m.now < c.until {
		m.admit(c, &IO{Bytes: c.bytes}, m.now)
	}
}

// admit: the I/O waits until it may go, then for its turn, and is served.
func (m *machine) admit(c *client, io *IO, asked time.Duration) {
	if wait := c.volume.Admit(io, after(m.now)); wait > 0 {
		m.at(m.now+wait, func() { m.admit(c, io, asked) })
		return
	}
	m.free = max(m.free, m.now) + time.Duration(float64(units(c.bytes))/m.perSecond*1e9)
	m.at(m.free, func() {
		c.volume.Done(io, after(m.now))
		c.done += units(c.bytes)
		c.longest = max(c.longest, m.now-asked)
		m.at(m.now+c.think, func() { m.submit(c) })
	})
}

// run lets seconds pass, and notes for each what everybody got in it.
func (m *machine) run(seconds int) {
	for _, c := range m.clients {
		for range c.depth {
			m.at(c.from, func() { m.submit(c) })
		}
	}
	for s := range seconds {
		for len(m.events) > 0 && m.events[0].at < time.Duration(s+1)*time.Second {
			e := heap.Pop(&m.events).(event)
			m.now = e.at
			e.then()
		}
		for _, c := range m.clients {
			c.counts = append(c.counts, c.done)
		}
	}
}

// rate is what a client got a second, from the end of one second to that of another.
func (c *client) rate(from, to int) float64 {
	return float64(c.counts[to-1]-c.counts[from-1]) / float64(to-from)
}

// TestMinimaAreMet: against neighbours that ask for far more, in all kinds of company.
func TestMinimaAreMet(t *testing.T) {
	const capacity = 5000
	type guest struct {
		min          uint64
		depth, bytes int
		count        int
	}
	for name, guests := range map[string][]guest{
		"one quiet, one noisy":             {{1250, 8, 4096, 1}, {0, 128, 4096, 1}},
		"one quiet, ten noisy":             {{1500, 8, 4096, 1}, {0, 128, 4096, 10}},
		"against large I/Os":               {{1000, 4, 4096, 1}, {0, 64, 256 << 10, 3}},
		"a sequential one, many small":     {{2000, 2, 64 << 10, 1}, {0, 128, 4096, 20}},
		"all have one, the sum is 4500":    {{250, 4, 4096, 10}, {250, 4, 4096, 2}},
		"small minimum, larger I/O":        {{12, 1, 1 << 20, 1}, {0, 32, 64 << 10, 4}},
		"noisy ones have a minimum, too":   {{750, 4, 4096, 2}, {125, 128, 8192, 4}},
		"depth 1":                          {{125, 1, 4096, 2}, {0, 128, 4096, 4}},
		"as bandwidth, by large I/Os":      {{2000, 4, 1 << 20, 1}, {0, 128, 4096, 8}},
		"half of the machine, promised so": {{2500, 16, 4096, 1}, {0, 64, 4096, 20}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(capacity)
			for _, g := range guests {
				for range g.count {
					s := Settings{IOPS: Limits{Min: g.min}}
					if g.bytes >= 1<<20 {
						s = Settings{Bandwidth: Limits{Min: g.min * IOSize}}
					}
					m.client(t, s, g.depth, g.bytes)
				}
			}
			m.run(14)
			total := 0.0
			for i, c := range m.clients {
				got, want := c.rate(8, 14), c.volume.claim.guaranteed()
				total += got
				t.Logf("client %d: minimum %.0f, got %.0f, longest I/O %v", i, want, got, c.longest)
				if got < 0.95*want {
					t.Errorf("client %d: got %.0f, its minimum is %.0f", i, got, want)
				}
				if got == 0 {
					t.Errorf("client %d is starved", i)
				}
			}
			if total < 0.7*capacity {
				t.Errorf("%.0f of %d a second were used", total, capacity)
			}
		})
	}
}

// TestGovernorRestsWhenNobodyIsOwed: a machine that is full, but with all minima met, is
// left alone, and so is one in which the only claim has gone quiet.
func TestGovernorRestsWhenNobodyIsOwed(t *testing.T) {
	m := newMachine(4000)
	quiet := m.client(t, Settings{IOPS: Limits{Min: 1000}}, 16, 4096)
	quiet.until = 20 * time.Second
	noisy := m.client(t, Settings{}, 128, 4096)
	m.run(40)
	if got := quiet.rate(10, 20); got < 950 {
		t.Errorf("the quiet one got %.0f, its minimum is 1000", got)
	}
	if got := noisy.rate(10, 20); got < 2000 {
		t.Errorf("the noisy one got %.0f beside it, of 11000", got)
	}
	if got := noisy.rate(25, 40); got < 3980 {
		t.Errorf("alone, the noisy one got %.0f of 4000", got)
	}
	if level, ok := m.governor.Level(); ok {
		t.Errorf("the governor is still at work, at level %.0f", level)
	}
}

// TestNobodyIsSlowedForAClientThatWaitsForItself: it asks for less than its minimum.
func TestNobodyIsSlowedForAClientThatWaitsForItself(t *testing.T) {
	m := newMachine(4000)
	idle := m.client(t, Settings{IOPS: Limits{Min: 1000}}, 1, 4096)
	idle.think = 20 * time.Millisecond
	noisy := m.client(t, Settings{}, 8, 4096)
	m.run(20)
	if got := noisy.rate(1, 20); got < 3900 {
		t.Errorf("the noisy one got %.0f of 4000", got)
	}
	if c := idle.volume.Counters(after(m.now)); c.Unmet > 0 {
		t.Errorf("unmet for %v", c.Unmet)
	}
}

// TestWhatCannotBeMetIsGivenUp: nobody is slowed for long for a minimum that is more than
// the machine has, or than a client of depth 1 can take.
func TestWhatCannotBeMetIsGivenUp(t *testing.T) {
	m := newMachine(4000)
	vain := m.client(t, Settings{IOPS: Limits{Min: 10000}}, 1, 4096)
	noisy := m.client(t, Settings{}, 32, 4096)
	m.run(80)
	if got := noisy.rate(20, 80); got < 3400 {
		t.Errorf("the noisy one got %.0f of 4000", got)
	}
	if c := vain.volume.Counters(after(m.now)); c.Unmet < 40*time.Second {
		t.Errorf("unmet for %v only", c.Unmet)
	}
	if c := noisy.volume.Counters(after(m.now)); c.Yielded.IOs == 0 {
		t.Errorf("the noisy one was never slowed: %+v", c)
	}
}

// TestNewcomersAndLeavers: a claim that comes later is met, and one that is closed or set
// to none is nobody's burden.
func TestNewcomersAndLeavers(t *testing.T) {
	m := newMachine(10000)
	noisy := m.client(t, Settings{}, 128, 4096)
	late := m.client(t, Settings{IOPS: Limits{Min: 3000}}, 4, 4096)
	late.from = 10 * time.Second
	m.at(30*time.Second, func() { _ = late.volume.Set(Settings{}, after(m.now)) })
	m.run(40)
	if got := late.rate(20, 30); got < 2850 {
		t.Errorf("the late one got %.0f, its minimum is 3000", got)
	}
	if got := noisy.rate(32, 40); got < 9000 {
		t.Errorf("without any claim, the noisy one got %.0f of 10000", got)
	}
	late.volume.Close()
	if n := len(m.governor.volumes); n != 1 {
		t.Errorf("%d volumes, one was closed", n)
	}
}

// TestStuckVolumeAsks: I/Os that do not end at all are the clearest sign.
func TestStuckVolumeAsks(t *testing.T) {
	g := NewGovernor(epoch)
	stuck, noisy := mustAdd(t, g, Settings{IOPS: Limits{Min: 1000}}), mustAdd(t, g, Settings{})
	stuck.Admit(&IO{Bytes: 1}, epoch)
	for now := time.Duration(0); now < time.Second; now += time.Millisecond {
		io := IO{Bytes: 1}
		noisy.Admit(&io, after(now))
		noisy.Done(&io, after(now))
	}
	if _, ok := g.Level(); !ok {
		t.Error("a volume gets nothing, and the governor rests")
	}
}
