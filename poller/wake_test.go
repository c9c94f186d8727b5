package poller

import (
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var woken = map[Token]string{WakeToken: "readable"}

func TestWakeBeforeWait(t *testing.T) {
	p := newPoller(t)
	for range 3 {
		must(t, p.Wake())
		expect(t, p, woken)
		expect(t, p, nil) // said once, though nobody reads the eventfd
	}
}

func TestWakesAreOneEvent(t *testing.T) {
	p := newPoller(t)
	for range 1000 {
		must(t, p.Wake())
	}
	expect(t, p, woken)
	expect(t, p, nil)
}

func TestWakeAmongOtherEvents(t *testing.T) {
	p := newPoller(t)
	a := eventfd(t, 1)
	must(t, p.Add(a.fd, tokenA, Readable))
	must(t, p.Wake())
	expect(t, p, map[Token]string{tokenA: "readable", WakeToken: "readable"})
	expect(t, p, map[Token]string{tokenA: "readable"})
}

// netty #5258, #9561: each Wake ends the Wait that is under way, or the next.
// Two pollers wake each other; a wake-up that is lost stops them both.
func TestNoWakeIsLostInPingPong(t *testing.T) {
	const rounds = 20_000
	a, b := newPoller(t), newPoller(t)
	play := func(mine, other *Poller) <-chan struct{} {
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range rounds {
				if !waitWoken(t, mine) {
					return
				}
				if err := other.Wake(); err != nil {
					t.Error(err)
					return
				}
			}
		}()
		return done
	}
	one, two := play(a, b), play(b, a)
	must(t, a.Wake())
	finish(t, one, "one side")
	finish(t, two, "the other side")
}

// waitWoken blocks without a timeout: a lost wake-up is a hang.
func waitWoken(t *testing.T, p *Poller) bool {
	for {
		events, err := p.Wait(-1)
		if err != nil {
			t.Error(err)
			return false
		}
		if len(events) > 0 {
			return true
		}
	}
}

// Many leave work and wake; the one that waits finds all of it.
func TestNoWakeIsLostAmongMany(t *testing.T) {
	const wakers, each = 8, 5000
	p := newPoller(t)
	var left, work atomic.Int64
	left.Store(wakers)
	for range wakers {
		go func() {
			for i := range each {
				work.Add(1)
				if err := p.Wake(); err != nil {
					t.Error(err)
				}
				if i%64 == 0 {
					runtime.Gosched()
				}
			}
			left.Add(-1)
		}()
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for found := int64(0); found < wakers*each; found += work.Swap(0) {
			if !waitWoken(t, p) {
				return
			}
		}
	}()
	finish(t, done, "the waiter")
	for left.Load() > 0 {
		runtime.Gosched()
	}
}

func TestWakeDuringWaitAndClose(t *testing.T) {
	for range 50 {
		p := newPoller(t)
		var wakers sync.WaitGroup
		for range 4 {
			wakers.Go(func() {
				var err error
				for err == nil {
					err = p.Wake()
				}
				if !errors.Is(err, ErrClosed) {
					t.Error(err)
				}
			})
		}
		for range 20 {
			await(t, p)
		}
		must(t, p.Close())
		wakers.Wait()
	}
}

// gnet, netty #9476: a Wake that comes late must not write its eight bytes into
// the descriptor that has taken the number of the waker's.
func TestWakeAfterCloseTouchesNoDescriptor(t *testing.T) {
	p := newPoller(t)
	number := p.waker.fd
	must(t, p.Close())
	stranger := strangerAt(t, number)
	for range 10 {
		if err := p.Wake(); !errors.Is(err, ErrClosed) {
			t.Fatalf("Wake after Close: %v", err)
		}
	}
	stranger.untouched()
}

func TestWakeDuringCloseTouchesNoDescriptor(t *testing.T) {
	// On one CPU each round costs the scheduler's time slices.
	for end, round := time.Now().Add(2*time.Second), 0; round < 1000 && time.Now().Before(end); round++ {
		p := newPoller(t)
		number := p.waker.fd
		var wakers sync.WaitGroup
		var ready sync.WaitGroup
		for range 2 {
			ready.Add(1)
			wakers.Go(func() {
				ready.Done()
				var err error
				for err == nil {
					err = p.Wake()
				}
			})
		}
		ready.Wait()
		must(t, p.Close())
		stranger := strangerAt(t, number)
		wakers.Wait()
		stranger.untouched()
		stranger.close()
	}
}

// stranger is an eventfd whose count shows whether anybody has written to it.
type stranger struct{ *file }

func strangerAt(t *testing.T, number int) stranger {
	t.Helper()
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	must(t, err)
	if fd != number {
		must(t, unix.Dup3(fd, number, unix.O_CLOEXEC))
		must(t, unix.Close(fd))
	}
	return stranger{newFile(t, number)}
}

func (s stranger) untouched() {
	s.tb.Helper()
	var count [8]byte
	if _, err := unix.Read(s.fd, count[:]); !errors.Is(err, unix.EAGAIN) {
		s.tb.Fatalf("somebody has written to a descriptor of ours: %v, %v", count, err)
	}
}
