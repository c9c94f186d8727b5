package main

import (
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/nsreactor/nsreactor/engine"
)

// sampleEvery is how many readable events of all connections there are for one that is
// looked at: what a look costs, two system calls, then hardly shows.
const sampleEvery = 16

// A sampler is an echo that looks, every now and then, whether a connection is served on
// the CPU that its packets come in on.
type sampler struct {
	echo
	events  atomic.Uint64
	sampled atomic.Uint64
	same    atomic.Uint64
}

// OnData is echo's.
func (s *sampler) OnData(c *engine.Conn) {
	if s.events.Add(1)%sampleEvery == 0 {
		s.look(c)
	}
	s.echo.OnData(c)
}

// look compares SO_INCOMING_CPU, socket(7), with where this thread is. What can't be
// found out is not counted.
func (s *sampler) look(c *engine.Conn) {
	_ = c.Control(func(fd int) { // an open connection's, so it can't fail
		incoming, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_INCOMING_CPU)
		cpu, cpuErr := currentCPU()
		if err != nil || cpuErr != nil {
			return
		}
		s.sampled.Add(1)
		if incoming == cpu {
			s.same.Add(1)
		}
	})
}

// currentCPU wraps getcpu(2).
func currentCPU() (int, error) {
	var cpu uint32
	if _, _, errno := unix.RawSyscall(unix.SYS_GETCPU, uintptr(unsafe.Pointer(&cpu)), 0, 0); errno != 0 {
		return 0, os.NewSyscallError("getcpu", errno)
	}
	return int(cpu), nil
}
