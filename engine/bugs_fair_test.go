package engine

import (
	"errors"
	"io"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Pain 6: an epoll_wait that is restarted with its whole timeout after EINTR
// never lets a timer fire while signals keep coming (netty #14368), and Go's
// scheduler sends signals all the time. Here they come faster than any timer,
// and don't stop before all have fired.
func TestTimersFireUnderSignals(t *testing.T) {
	timer, ended := make(chan struct{}), make(chan error, 1)
	s := startServer(t, Config{}, hooks{
		open:   func(c *Conn) { c.SetTimer(300 * time.Millisecond) },
		timer:  func(c *Conn) { close(timer); c.SetDeadline(time.Now().Add(300 * time.Millisecond)) },
		closed: func(_ *Conn, err error) { ended <- err },
	})
	stop := make(chan struct{})
	var signals sync.WaitGroup
	signals.Go(func() {
		ticker := time.NewTicker(time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-stop:
				return
			case <-ticker.C:
				// SIGURG is the scheduler's own: harmless.
				if err := unix.Tgkill(unix.Getpid(), int(s.loops[0].tid.Load()), unix.SIGURG); err != nil {
					t.Error(err)
					return
				}
			}
		}
	})
	s.dial()
	await(t, timer, "OnTimer")
	if err := await(t, ended, "the deadline"); !errors.Is(err, ErrDeadline) {
		t.Errorf("OnClose got %v, want ErrDeadline", err)
	}
	close(stop)
	awaitAll(t, &signals, "the signals")
}

// Pain 8: a flood of tasks starves everything else: one goroutine that looped
// over AsyncWrite left another connection unanswered for three seconds (gnet).
// Here tasks of each kind post themselves again as they run, more of them than
// a turn's budget, so that the mailbox is never empty; B must be served all the
// while.
func TestTaskFloodDoesNotStarve(t *testing.T) {
	opened := make(chan *Conn, 2)
	var flood atomic.Bool
	flood.Store(true)
	var ran [3]atomic.Int64
	s := startServer(t, Config{TaskBudget: 64}, hooks{
		open: func(c *Conn) { opened <- c },
		data: echo,
		wake: func(c *Conn) {
			ran[0].Add(1)
			if flood.Load() {
				c.Wake()
			}
		},
	})
	sink := s.dial()
	var drained sync.WaitGroup
	drained.Go(func() { _, _ = io.Copy(io.Discard, sink) })
	a := await(t, opened, "a")
	b := s.dial()
	await(t, opened, "b")

	var again func(*Conn)
	again = func(c *Conn) {
		ran[1].Add(1)
		if flood.Load() {
			c.Call(again)
		}
	}
	var more func(error)
	more = func(error) {
		ran[2].Add(1)
		if flood.Load() {
			a.AsyncWrite([]byte("x"), more)
		}
	}
	a.Wake()
	for range 500 {
		a.Call(again)
		a.AsyncWrite([]byte("x"), more)
	}
	for range 200 {
		b.roundTrip([]byte("still there?"))
	}
	for kind := range ran {
		// The flood was on from the first round trip to the last.
		before := ran[kind].Load()
		b.roundTrip([]byte("still there?"))
		awaitUntil(t, "the flood goes on", func() bool { return ran[kind].Load() > before })
	}
	flood.Store(false)
	_ = sink.Close()
	awaitAll(t, &drained, "a's client")
}

// Pain 8 with goroutines instead: as many tasks as can be posted, by several at
// once, and B is served meanwhile.
func TestOutsideFloodDoesNotStarve(t *testing.T) {
	opened := make(chan *Conn, 2)
	s := startServer(t, Config{}, hooks{open: func(c *Conn) { opened <- c }, data: echo})
	sink := s.dial()
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = io.Copy(io.Discard, sink) })
	a := await(t, opened, "a")
	b := s.dial()
	await(t, opened, "b")
	stop := make(chan struct{})
	room := make(chan struct{}, 20_000) // what may be under way, or memory would be the limit
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				case room <- struct{}{}:
				}
				a.AsyncWrite([]byte("x"), func(error) { <-room })
				a.Wake()
			}
		})
	}
	for range 200 {
		b.roundTrip([]byte("still there?"))
	}
	close(stop)
	_ = sink.Close()
	awaitAll(t, &wg, "the flood")
}

// Pain 9: one connection that always has something to read starves the others
// (gnet #599, evio #72). A heavy one gets one read of ReadChunk a turn, and a
// turn serves everyone who is ready.
func TestHeavyConnectionDoesNotStarve(t *testing.T) {
	cfg := Config{ReadChunk: 16 << 10}
	heavy := make(map[*Conn]uint64) // the turn of the last OnData; the loop's
	var much atomic.Int64
	s := startServer(t, cfg, hooks{data: func(c *Conn) {
		n := c.Discard(c.Buffered())
		if n <= len("still there?") {
			_, _ = c.Write([]byte("still there!"))
			return
		}
		much.Add(1)
		if n > cfg.ReadChunk {
			t.Errorf("%d bytes in one turn, want %d at most", n, cfg.ReadChunk)
		}
		turn := c.loop.stats.turns.load() + 1
		if heavy[c] == turn {
			t.Error("a connection was read twice in a turn")
		}
		heavy[c] = turn
	}})
	var writers sync.WaitGroup
	stop := make(chan struct{})
	for range 3 {
		c := s.dial()
		writers.Go(func() {
			block := make([]byte, 1<<20)
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := c.Write(block); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	awaitUntil(t, "the heavy ones are at it", func() bool { return much.Load() > 100 })
	light := s.dial()
	for range 300 {
		light.send([]byte("still there?"))
		light.recv(len("still there!"))
	}
	before := much.Load()
	awaitUntil(t, "the heavy ones are still at it", func() bool { return much.Load() > before })
	close(stop)
	awaitAll(t, &writers, "the writers")
}

// Pain 9, the array: with more ready connections than one epoll_wait takes,
// those beyond starve if the kernel is always asked for the same ones
// (gattaca-com/flux#67). All that are ready at once are served.
func TestManyReadyConnectionsAreAllServed(t *testing.T) {
	s := startServer(t, Config{}, hooks{data: echo})
	const n = 700 // the poller's array starts with 256
	fds := make([]int, n)
	for i := range fds {
		fd, err := rawDial(s.ports[0])
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		fds[i] = fd
	}
	awaitUntil(t, "all are accepted", func() bool { return s.stats().Conns == n })
	for range 3 {
		release := s.hold(0)
		for _, fd := range fds {
			if _, err := unix.Write(fd, []byte("x")); err != nil {
				t.Fatal(err)
			}
		}
		release()
		for i, fd := range fds {
			b := make([]byte, 4)
			if got, err := unix.Read(fd, b); got != 1 || err != nil {
				t.Fatalf("connection %d of %d: read %d bytes, %v", i, n, got, err)
			}
		}
	}
}

// Pain 20: connections pile up on one loop (envoy #4602, evio #73).
// AcceptSpread keeps the loops within one connection of each other, also after
// a part of them has gone.
func TestSpreadBalances(t *testing.T) {
	for _, loops := range []int{2, 3, 4} {
		s := startServer(t, Config{Loops: loops, Unpinned: true, Accept: AcceptSpread}, hooks{data: echo})
		balanced := func(want int) {
			t.Helper()
			awaitUntil(t, "all are accepted", func() bool { return s.loopStats().Conns == want })
			least, most := math.MaxInt, 0
			for _, l := range s.Stats().Loops {
				least, most = min(least, l.Conns), max(most, l.Conns)
			}
			if most-least > 1 {
				t.Errorf("%d loops have %d to %d connections", loops, least, most)
			}
		}
		var clients []*client
		fill := func(n int) {
			for len(clients) < n {
				clients = append(clients, s.dial())
			}
		}
		fill(41)
		balanced(41)
		// Whatever is left after this is unbalanced, and the next ones level it.
		for _, c := range clients[:20] {
			_ = c.Close()
		}
		clients = clients[20:]
		awaitUntil(t, "some are gone", func() bool { return s.loopStats().Conns == len(clients) })
		fill(21 * loops)
		balanced(21 * loops)
	}
}

// Pain 20, the other policy: with AcceptSteered a connection belongs to the
// loop of the CPU that its handshake came in on. On the loopback that is the
// client's.
func TestSteeredFollowsTheCPU(t *testing.T) {
	cpus := allowedCPUs()
	loops := make(chan int)
	s := startServer(t, Config{Loops: len(cpus)}, hooks{open: func(c *Conn) { loops <- c.Loop() }})
	if got := s.stats().Listeners[0].Sockets; got != len(cpus) {
		t.Fatalf("%d sockets listen, want one for each of %d loops", got, len(cpus))
	}
	for i, l := range s.Stats().Loops {
		if l.CPU != cpus[i] || l.Listeners != 1 {
			t.Errorf("loop %d is on CPU %d with %d listeners", i, l.CPU, l.Listeners)
		}
		var set unix.CPUSet
		if err := unix.SchedGetaffinity(l.TID, &set); err != nil || !set.IsSet(cpus[i]) || set.Count() != 1 {
			t.Errorf("loop %d may run on %d CPUs (%v), want CPU %d only", i, set.Count(), err, cpus[i])
		}
	}
	for round := range 20 {
		for i, cpu := range cpus {
			dialed := make(chan error, 1)
			go func() {
				dialed <- onThread(func() error {
					if err := pinThread(cpu); err != nil {
						return err
					}
					fd, err := rawDial(s.ports[0])
					if err == nil {
						_ = unix.Close(fd)
					}
					return err
				})
			}()
			if err := await(t, dialed, "a client"); err != nil {
				t.Fatal(err)
			}
			if got := await(t, loops, "OnOpen"); got != i {
				t.Fatalf("round %d: a handshake on CPU %d was served by loop %d, want %d", round, cpu, got, i)
			}
		}
	}
}
