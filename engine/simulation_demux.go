package engine

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/nsreactor/nsreactor/internal/simulate"
	"github.com/nsreactor/nsreactor/poller"
)

// simulatedDemux is a simulated loop's poller. It is level-triggered and complains of
// what epoll_ctl(2) would complain of. Events come in the order in which their sockets
// were registered, so that a test that is run again runs the same.
type simulatedDemux struct {
	registered map[int]registration
	order      []int // descriptors
	events     []poller.Event
	awake      atomic.Bool
	signal     chan struct{} // capacity 1: Wake was called
	closed     atomic.Bool
}

type registration struct {
	token    poller.Token
	interest poller.Interest
}

// The errors that a loop's bug would meet. They are no errnos, since no handler's
// fault leads to them.
var (
	errRegisteredTwice = errors.New("registered already")
	errNotRegistered   = errors.New("not registered")
)

func newSimulatedDemux() *simulatedDemux {
	return &simulatedDemux{registered: make(map[int]registration), signal: make(chan struct{}, 1)}
}

func (d *simulatedDemux) Add(fd int, t poller.Token, i poller.Interest) error {
	if _, is := d.registered[fd]; is {
		return fmt.Errorf("simulated descriptor %d: %w", fd, errRegisteredTwice)
	}
	d.registered[fd] = registration{t, i}
	d.order = append(d.order, fd)
	return nil
}

func (d *simulatedDemux) Modify(fd int, t poller.Token, i poller.Interest) error {
	if _, is := d.registered[fd]; !is {
		return fmt.Errorf("simulated descriptor %d: %w", fd, errNotRegistered)
	}
	d.registered[fd] = registration{t, i}
	return nil
}

func (d *simulatedDemux) Remove(fd int) error {
	if _, is := d.registered[fd]; !is {
		return fmt.Errorf("simulated descriptor %d: %w", fd, errNotRegistered)
	}
	delete(d.registered, fd)
	i := slices.Index(d.order, fd)
	d.order = slices.Delete(d.order, i, i+1)
	return nil
}

// Wait never waits: the test says when time passes.
func (d *simulatedDemux) Wait(time.Duration) ([]poller.Event, error) {
	if d.closed.Load() {
		return nil, poller.ErrClosed
	}
	d.events = d.events[:0]
	if d.awake.Swap(false) {
		d.events = append(d.events, poller.NewEvent(poller.WakeToken, poller.NewReadiness(true, false, false, false)))
	}
	for _, fd := range d.order {
		if r := d.readiness(fd); r != 0 {
			d.events = append(d.events, poller.NewEvent(d.registered[fd].token, r))
		}
	}
	return d.events, nil
}

// ready reports whether Wait would find an event.
func (d *simulatedDemux) ready() bool {
	return d.awake.Load() || slices.ContainsFunc(d.order, func(fd int) bool { return d.readiness(fd) != 0 })
}

// readiness is what of a socket's its registration wants to hear. The end of both
// directions and an error can't be masked: epoll_ctl(2).
func (d *simulatedDemux) readiness(fd int) poller.Readiness {
	is, want := simulate.At(fd).Ready(), d.registered[fd].interest
	return poller.NewReadiness(
		is&simulate.Readable != 0 && want&poller.Readable != 0,
		is&simulate.Writable != 0 && want&poller.Writable != 0,
		is&simulate.Failed != 0,
		is&simulate.HungUp != 0)
}

// Wake may be called by any goroutine.
func (d *simulatedDemux) Wake() error {
	if d.closed.Load() {
		return poller.ErrClosed
	}
	d.awake.Store(true)
	select {
	case d.signal <- struct{}{}:
	default:
	}
	return nil
}

func (d *simulatedDemux) Close() error {
	d.closed.Store(true)
	return nil
}
