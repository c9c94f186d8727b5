package engine

import (
	"errors"
	"math"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The loop's thread starts at home, and comes back to it. A batch with events
// of the home namespace, when that is attached, took two switches, one of them
// back home, where one would do: a thread at home was not known to be in it.
func TestBatchOrderStartsAtHome(t *testing.T) {
	l := unitLoop(t, Config{Loops: 1})
	away, home := unitCell(l.eng), unitCell(l.eng)
	home.ns.home = true
	l.at = nil // at home
	c := &batchCase{cells: []*cell{away, home}, at: l.at}
	for i := range 4 {
		c.events = append(c.events, c.endpoint(i%2, false))
	}
	order := c.order(&l.batch, false)
	c.at = home.ns // which is what nil stands for
	c.check(t, order)
}

// A callback that wrote more than the loop's scratch holds, in small pieces,
// had its bytes moved to memory of their own; the loop went on to believe that
// its scratch was lent, and never lent it again.
func TestLargeOutputGivesTheScratchBack(t *testing.T) {
	l := unitLoop(t, Config{Loops: 1})
	a, b := unitPair(t)
	defer closeSocket(b)
	for name, end := range map[string]func(*Conn){
		"settled":   l.settle,
		"destroyed": func(c *Conn) { l.destroy(c, nil) },
	} {
		fd, err := unix.FcntlInt(uintptr(a), unix.F_DUPFD_CLOEXEC, 0)
		unitMust(t, err)
		c := unitConn(l, fd)
		l.tell(c, func(_ Handler, c *Conn) {
			piece := make([]byte, directWrite-1)
			for range len(l.output)/len(piece) + 2 {
				if _, err := c.Write(piece); err != nil {
					t.Error(err)
				}
			}
			if c.buf.out.lent {
				t.Error("that much cannot be in the scratch")
			}
		})
		end(c)
		l.destroy(c, nil)
		l.reap()

		next := unitConn(l, a)
		l.tell(next, func(_ Handler, c *Conn) {
			if _, err := c.Write([]byte("x")); err != nil || !c.buf.out.lent {
				t.Errorf("%s: the next connection is not lent the scratch, %v", name, err)
			}
		})
		next.fd = -1 // the test's own
		l.dropBuffers(next)
		if l.lent != nil {
			t.Fatalf("%s: the scratch is still lent", name)
		}
	}
}

// The longest durations mean "never", as everywhere in Go; they meant "at
// once", the sum with the clock being negative.
func TestLongestDurationsAreNotDueAtOnce(t *testing.T) {
	for name, set := range map[string]func(*Conn){
		"SetTimer":       func(c *Conn) { c.SetTimer(math.MaxInt64) },
		"SetIdleTimeout": func(c *Conn) { c.SetIdleTimeout(math.MaxInt64) },
		"SetDeadline":    func(c *Conn) { c.SetDeadline(time.Unix(1<<40, 0)) },
	} {
		l := unitLoop(t, Config{Loops: 1})
		c := unitConn(l, -1)
		c.moved = l.eng.clock()
		set(c)
		if due := l.timers.due(l.eng.clock()); due != nil {
			t.Errorf("%s: due at %d, at once", name, due.when)
		}
	}
}

// New took values that no socket does, and every listener then failed.
func TestConfigFitsTheKernel(t *testing.T) {
	for name, c := range map[string]Config{
		"KeepAlive":   {KeepAlive: 10 * time.Hour}, // TCP_KEEPIDLE ends at 32767 s
		"UserTimeout": {UserTimeout: math.MaxInt32 * time.Millisecond * 3 / 2},
	} {
		c, err := c.withDefaults()
		if err != nil {
			checkBadConfig(t, name, err)
			continue
		}
		fd, _, err := listenTCP(listenSpec{backlog: 1, keepAlive: c.KeepAlive, timeout: c.UserTimeout})
		if err != nil {
			t.Errorf("a %s that New takes makes no listener: %v", name, err)
			continue
		}
		defer closeSocket(fd)
		if got := option(t, fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT); name == "UserTimeout" && got != int(c.UserTimeout.Milliseconds()) {
			t.Errorf("a UserTimeout of %v is one of %d ms to the kernel", c.UserTimeout, got)
		}
	}
}

// A timeout below a millisecond was rounded down to 0, the kernel's own of
// fifteen minutes.
func TestShortestUserTimeoutIsOne(t *testing.T) {
	fd, _ := unitListen(t, listenSpec{timeout: time.Microsecond})
	if got := option(t, fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT); got != 1 {
		t.Errorf("the user timeout is %d ms", got)
	}
}

// Each field may be set alone: a default must not stand in its way.
func TestOneFieldIsAConfig(t *testing.T) {
	for _, c := range []Config{{ReadChunk: 16 << 20}, {WriteHighWater: 1 << 30}} {
		if _, err := c.withDefaults(); err != nil {
			t.Error(err)
		}
	}
}

// A handler may write to another connection of its loop. When that failed at
// once, the other was marked as failed and left alone; one that was out of the
// poller, because its peer had hung up while it was paused, stayed for ever.
func TestFailedWriteToAnotherEndsIt(t *testing.T) {
	l := unitLoop(t, Config{Loops: 1})
	a, b := unitPair(t)
	closeSocket(b)
	fd, err := unix.FcntlInt(uintptr(a), unix.F_DUPFD_CLOEXEC, 0)
	unitMust(t, err)
	other, me := unitConn(l, fd), unitConn(l, -1)
	l.tell(me, func(Handler, *Conn) {
		if _, err := other.Write(make([]byte, directWrite)); !errors.Is(err, unix.EPIPE) {
			t.Errorf("write to nobody: %v", err)
		}
	})
	l.settleDirty()
	if other.stage != stageClosed {
		t.Error("the connection has failed and nobody ends it")
		l.destroy(other, nil)
	}
	l.reap()
}
