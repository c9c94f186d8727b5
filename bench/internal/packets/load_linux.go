package packets

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// load sends datagrams over several sockets and keeps a burst outstanding on each: when all
// of one are back, or lost, it sends the next. Each has a number, which has to come back.
type load struct {
	sockets  []int
	next     []uint64 // number of the next, for each socket
	out, in  []unix.Mmsghdr
	iovs     []unix.Iovec
	outData  []byte
	inData   []byte
	size     int
	received uint64
	lost     uint64
}

// maxWait is for how long a burst is waited for before what is missing counts as lost.
const maxWait = 200 * time.Millisecond

func newLoad(port, sockets, burst, size int) (*load, error) {
	l := &load{
		next: make([]uint64, sockets), size: size, out: make([]unix.Mmsghdr, burst), in: make([]unix.Mmsghdr, burst),
		iovs: make([]unix.Iovec, 2*burst), outData: make([]byte, burst*size), inData: make([]byte, burst*size),
	}
	for i := range burst {
		point(&l.out[i], &l.iovs[2*i], l.outData[i*size:][:size])
		point(&l.in[i], &l.iovs[2*i+1], l.inData[i*size:][:size])
	}
	for range sockets {
		fd, err := dial(port)
		if err != nil {
			return nil, errors.Join(err, l.close())
		}
		l.sockets = append(l.sockets, fd)
	}
	return l, nil
}

func point(m *unix.Mmsghdr, iov *unix.Iovec, b []byte) {
	iov.Base = &b[0]
	iov.SetLen(len(b))
	m.Hdr.Iov = iov
	m.Hdr.SetIovlen(1)
}

// dial connects a blocking socket on the loopback device that gives up after maxWait.
func dial(port int) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	wait := unix.NsecToTimeval(int64(maxWait))
	err = os.NewSyscallError("setsockopt", unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait))
	if err == nil {
		err = os.NewSyscallError("connect", unix.Connect(fd, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}))
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func (l *load) close() error {
	var errs []error
	for _, fd := range l.sockets {
		errs = append(errs, unix.Close(fd))
	}
	return errors.Join(errs...)
}

// run loads the server for a time, on one CPU, and waits for the last answers.
func (l *load) run(cpu int, span time.Duration) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, only unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return os.NewSyscallError("sched_getaffinity", err)
	}
	only.Set(cpu)
	if err := unix.SchedSetaffinity(0, &only); err != nil {
		return os.NewSyscallError("sched_setaffinity", err)
	}
	err := l.burst(span)
	return errors.Join(err, os.NewSyscallError("sched_setaffinity", unix.SchedSetaffinity(0, &before)))
}

func (l *load) burst(span time.Duration) error {
	l.received, l.lost = 0, 0
	for i := range l.sockets {
		if err := l.send(i); err != nil {
			return err
		}
	}
	for end := time.Now().Add(span); time.Now().Before(end); {
		for i := range l.sockets {
			if err := errors.Join(l.receive(i), l.send(i)); err != nil {
				return err
			}
		}
	}
	for i := range l.sockets {
		if err := l.receive(i); err != nil {
			return err
		}
	}
	return nil
}

// send wraps sendmmsg(2). Like receive it does not tell the scheduler, which would give the
// thread away.
func (l *load) send(i int) error {
	for k := range l.out {
		binary.LittleEndian.PutUint64(l.outData[k*l.size:], l.next[i])
		l.next[i]++
	}
	for sent := 0; sent < len(l.out); {
		n, _, e := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(l.sockets[i]), uintptr(unsafe.Pointer(&l.out[sent])), uintptr(len(l.out)-sent), 0, 0, 0)
		if e != 0 && e != unix.EINTR {
			return os.NewSyscallError("sendmmsg", e)
		}
		if e == 0 {
			sent += int(n)
		}
	}
	return nil
}

// receive wraps recvmmsg(2), and waits for what is left of a burst. What comes after it was
// counted as lost is passed over.
func (l *load) receive(i int) error {
	first := l.next[i] - uint64(len(l.in))
	for got := 0; got < len(l.in); {
		n, _, e := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(l.sockets[i]), uintptr(unsafe.Pointer(&l.in[0])), uintptr(len(l.in)-got), unix.MSG_WAITFORONE, 0, 0)
		switch {
		case e == unix.EINTR:
			continue
		case e == unix.EAGAIN:
			l.lost += uint64(len(l.in) - got)
			return nil
		case e != 0:
			return os.NewSyscallError("recvmmsg", e)
		}
		for k := range int(n) {
			number := binary.LittleEndian.Uint64(l.inData[k*l.size:])
			if number >= l.next[i] || int(l.in[k].Len) != l.size {
				return fmt.Errorf("datagram %d of %d bytes came back, of %d that were sent", number, l.in[k].Len, l.next[i])
			}
			if number >= first {
				got++
				l.received++
			}
		}
	}
	return nil
}
