package poller

import (
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Event is one registration's readiness.
type Event struct{ raw unix.EpollEvent }

// NewEvent makes an event, for what simulates a [Poller].
func NewEvent(t Token, r Readiness) Event {
	return Event{unix.EpollEvent{Events: uint32(r), Fd: int32(t.Slot()), Pad: int32(t.Generation())}}
}

// Token is the token that the registration was made with.
func (e *Event) Token() Token { return NewToken(uint32(e.raw.Fd), uint32(e.raw.Pad)) }

// Readiness is what the registration is ready for.
func (e *Event) Readiness() Readiness { return Readiness(e.raw.Events) }

// Readiness is a set of conditions of a descriptor, in epoll's own bits.
type Readiness uint32

// NewReadiness is the set of conditions for which the parameters are true.
func NewReadiness(readable, writable, failed, hungUp bool) Readiness {
	var r Readiness
	for _, c := range [...]struct {
		is  bool
		bit Readiness
	}{{readable, unix.EPOLLIN}, {writable, unix.EPOLLOUT}, {failed, unix.EPOLLERR}, {hungUp, unix.EPOLLHUP}} {
		if c.is {
			r |= c.bit
		}
	}
	return r
}

// Readable says that a read would not block: there are bytes, or connections
// to accept, or the end of the stream.
func (r Readiness) Readable() bool { return r&unix.EPOLLIN != 0 }

// Writable says that a write would not block.
func (r Readiness) Writable() bool { return r&unix.EPOLLOUT != 0 }

// HungUp says that both directions are shut down. Bytes that arrived before
// may still be there to read.
func (r Readiness) HungUp() bool { return r&unix.EPOLLHUP != 0 }

// Failed says that the descriptor has an error to report: a reset, say.
func (r Readiness) Failed() bool { return r&unix.EPOLLERR != 0 }

// String names the conditions, as in "readable|hungup".
func (r Readiness) String() string {
	var names []string
	for _, c := range []struct {
		is   bool
		name string
	}{{r.Readable(), "readable"}, {r.Writable(), "writable"}, {r.HungUp(), "hungup"}, {r.Failed(), "failed"}} {
		if c.is {
			names = append(names, c.name)
		}
	}
	if names == nil {
		return "none"
	}
	return strings.Join(names, "|")
}

func (i Interest) epoll() uint32 {
	var events uint32
	if i&Readable != 0 {
		events |= unix.EPOLLIN
	}
	if i&Writable != 0 {
		events |= unix.EPOLLOUT
	}
	return events
}

// asEvents gives the kernel's array its public type without a copy: an Event
// is one EpollEvent and nothing more.
func asEvents(raw []unix.EpollEvent) []Event {
	return unsafe.Slice((*Event)(unsafe.Pointer(unsafe.SliceData(raw))), len(raw))
}
