package engine

import (
	"encoding/binary"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// packetRuns are the datagrams of a packetOutput with those that follow each other to one
// peer joined: the kernel takes them through its stack as one and cuts that up at the end
// (UDP_SEGMENT, udp(7)), which is most of what a small datagram costs.
type packetRuns struct {
	msgs     []unix.Mmsghdr
	iovs     []unix.Iovec
	controls []runControl
	lengths  []int // how many datagrams each has
}

// runControl has room for a datagram's control message and the length of a segment.
type runControl [len(outputControl{}) + controlHeader + 8]byte

const (
	// joinMax is how long joined datagrams may be, in bytes: what goes through any path
	// of IPv6 (RFC 8200, section 5) in one piece, since the kernel fragments no segments.
	joinMax = 1280 - 40 - 8
	// joinMost is how many may be joined: UDP_MAX_SEGMENTS of older kernels.
	joinMost = 64
)

// run is how many datagrams can be joined, from the i-th on: those of one length, by one
// path, and a shorter one behind them.
func (out *packetOutput) run(i int) int {
	size := out.iovs[i].Len
	if size == 0 || size > joinMax {
		return 1
	}
	n := 1
	for ; i+n < out.n && n < joinMost && out.iovs[i+n].Len > 0 && out.iovs[i+n].Len <= size && out.paths[i+n] == out.paths[i]; n++ {
		if out.iovs[i+n].Len < size {
			return n + 1
		}
	}
	return n
}

// join makes runs of the datagrams from the i-th on, and reports whether that makes
// them fewer.
func (r *packetRuns) join(out *packetOutput, i int) bool {
	r.lengths = r.lengths[:0]
	joined := false
	for i < out.n {
		n := out.run(i)
		r.add(out, i, n)
		joined = joined || n > 1
		i += n
	}
	return joined
}

func (r *packetRuns) add(out *packetOutput, i, n int) {
	if r.msgs == nil {
		size := len(out.msgs)
		r.msgs, r.iovs, r.controls = make([]unix.Mmsghdr, size), make([]unix.Iovec, size), make([]runControl, size)
	}
	k := len(r.lengths)
	r.lengths = append(r.lengths, n)
	r.msgs[k], r.iovs[k] = out.msgs[i], out.iovs[i]
	if n == 1 {
		return
	}
	r.iovs[k].SetLen(out.bytes(i, n)) // their bytes lie one after the other
	h, control := &r.msgs[k].Hdr, r.controls[k][:]
	h.Iov = &r.iovs[k]
	used := copy(control, out.controls[i][:h.Controllen])
	clear(control[used:])
	putControlHeader(control[used:], unix.SOL_UDP, unix.UDP_SEGMENT, 2)
	binary.NativeEndian.PutUint16(control[used+controlHeader:], uint16(out.iovs[i].Len))
	h.Control = &control[0]
	h.SetControllen(used + unix.CmsgSpace(2))
}

// datagrams is how many n of the runs have.
func (r *packetRuns) datagrams(n int) (sum int) {
	for _, length := range r.lengths[:n] {
		sum += length
	}
	return sum
}

// transmitJoined is transmitPackets with what can be joined. Where the kernel refuses
// that, as for a device without checksums of its own or a route that transforms, the
// socket's datagrams go one by one from then on.
func transmitJoined(fd int, out *packetOutput, i int) (int, errno) {
	if out.conn.unjoined || !out.runs.join(out, i) {
		return transmitPackets(fd, out, i)
	}
	r := &out.runs
	n, _, e := syscall.RawSyscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&r.msgs[0])), uintptr(len(r.lengths)), unix.MSG_NOSIGNAL, 0, 0)
	switch {
	case e == 0:
		return r.datagrams(int(n)), 0
	case r.lengths[0] > 1 && !notReady(e):
		out.conn.unjoined = e == unix.EIO || e == unix.EINVAL || e == unix.EMSGSIZE
		return transmitPackets(fd, out, i)
	}
	return 0, e
}
