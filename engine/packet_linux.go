package engine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// errMessageSize is the error of a datagram that is too long.
const errMessageSize = unix.EMSGSIZE

// wouldBlock reports whether there was no room, or nothing to read.
func wouldBlock(e errno) bool { return e == unix.EAGAIN }

// packetSocket is a UDP socket fresh from bind(2).
type packetSocket struct {
	fd, port int
	v4       bool
}

// listenUDP makes a UDP socket in the thread's namespace: socket(2), bind(2). It is
// dual-stack where the namespace has IPv6, and IPv4 where not, and says of each datagram
// which address it was sent to (IP_PKTINFO, ip(7); IPV6_RECVPKTINFO, ipv6(7)) and how many
// were lost before it (SO_RXQ_OVFL, socket(7)).
func listenUDP(spec listenSpec) (packetSocket, error) {
	const kind = unix.SOCK_DGRAM | unix.SOCK_NONBLOCK | unix.SOCK_CLOEXEC
	s := packetSocket{}
	fd, err := unix.Socket(unix.AF_INET6, kind, unix.IPPROTO_UDP)
	if errors.Is(err, unix.EAFNOSUPPORT) {
		s.v4 = true
		fd, err = unix.Socket(unix.AF_INET, kind, unix.IPPROTO_UDP)
	}
	if err != nil {
		return s, os.NewSyscallError("socket", err)
	}
	s.fd = fd
	if err := setPacketOptions(s, spec.share); err != nil {
		return s, closeAfter(fd, err)
	}
	var addr unix.Sockaddr = &unix.SockaddrInet6{Port: spec.port}
	if s.v4 {
		addr = &unix.SockaddrInet4{Port: spec.port}
	}
	if err := unix.Bind(fd, addr); err != nil {
		return s, closeAfter(fd, os.NewSyscallError("bind", err))
	}
	local, err := localAddr(fd)
	if err != nil {
		return s, closeAfter(fd, err)
	}
	s.port = int(local.Port())
	return s, nil
}

func setPacketOptions(s packetSocket, share bool) error {
	options := []socketOption{
		{unix.SOL_SOCKET, unix.SO_BROADCAST, 1}, // as package net does
		{unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1},
		{unix.IPPROTO_IP, unix.IP_PKTINFO, 1}, // also of an IPv6 socket, for the IPv4 that it gets
	}
	if !s.v4 {
		options = append(options,
			socketOption{unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0},
			socketOption{unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1})
	}
	if share {
		options = append(options, socketOption{unix.SOL_SOCKET, unix.SO_REUSEPORT, 1})
	}
	return setOptions(s.fd, options)
}

// packetInput is the memory that recvmmsg(2) fills, used again for each batch.
type packetInput struct {
	msgs     []unix.Mmsghdr
	iovs     []unix.Iovec
	names    []unix.RawSockaddrAny
	controls []inputControl
	data     []byte
	used     int // messages to make ready again
}

// inputControl has room for all that is asked for of a datagram: both pktinfos, as IPv4 on
// an IPv6 socket brings them, and the count of losses.
type inputControl [128]byte

// slotSkew keeps the beginnings of the slots out of each other's way: at a distance of
// 64 KiB they would all fall into the same few lines of the cache.
const slotSkew = 5 * 64

// newPacketInput makes room for n datagrams of up to size bytes. Of the memory the kernel
// gives only what is touched.
func newPacketInput(n, size int) packetInput {
	in := packetInput{
		msgs: make([]unix.Mmsghdr, n), iovs: make([]unix.Iovec, n), names: make([]unix.RawSockaddrAny, n),
		controls: make([]inputControl, n), data: make([]byte, n*(size+slotSkew)), used: n,
	}
	for i := range n {
		slot := in.data[i*(size+slotSkew):][:size]
		in.iovs[i] = unix.Iovec{Base: &slot[0]}
		in.iovs[i].SetLen(size)
		h := &in.msgs[i].Hdr
		h.Name, h.Iov, h.Control = (*byte)(unsafe.Pointer(&in.names[i])), &in.iovs[i], &in.controls[i][0]
		h.SetIovlen(1)
	}
	return in
}

// receivePackets wraps recvmmsg(2): as many datagrams as there are and fit the batch. Like
// that of recv(2), the raw call does, since it does not block.
func receivePackets(fd int, in *packetInput) (int, errno) {
	for i := range in.used { // the kernel has put in what it used of them
		h := &in.msgs[i].Hdr
		h.Namelen = unix.SizeofSockaddrAny
		h.SetControllen(len(in.controls[i]))
	}
	in.used = 0
	n, _, e := syscall.RawSyscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&in.msgs[0])), uintptr(len(in.msgs)), 0, 0, 0)
	if e != 0 {
		return 0, e
	}
	in.used = int(n)
	return int(n), 0
}

// packetSum is what is to be counted of a batch.
type packetSum struct {
	bytes, truncated int
	missed           uint32
}

func (in *packetInput) sum(n int) (s packetSum) {
	for i := range n {
		m := &in.msgs[i]
		s.bytes += int(m.Len)
		if m.Hdr.Flags&unix.MSG_TRUNC != 0 {
			s.truncated++
		}
	}
	s.missed = parseControl(in.control(n - 1)).missed // it grows from one to the next
	return s
}

func (in *packetInput) control(i int) []byte {
	return in.controls[i][:min(int(in.msgs[i].Hdr.Controllen), len(in.controls[i]))]
}

// packet shows the i-th datagram.
func (in *packetInput) packet(i int, p *Packet) {
	m := &in.msgs[i]
	p.Data = unsafe.Slice(in.iovs[i].Base, m.Len)
	p.Truncated = m.Hdr.Flags&unix.MSG_TRUNC != 0
	info := parseControl(in.control(i))
	p.Path = PacketPath{Remote: addrPort(&in.names[i]), Local: info.local, Interface: info.index}
}

// controlInfo is what a datagram's control messages say.
type controlInfo struct {
	local  netip.Addr
	index  int
	missed uint32
}

// The parts of a control message, cmsg(3).
const (
	wordSize      = int(unsafe.Sizeof(uintptr(0)))
	controlHeader = unix.SizeofCmsghdr
)

// parseControl reads control messages, cmsg(3), and ignores those that it does not know.
func parseControl(b []byte) (info controlInfo) {
	for len(b) >= controlHeader {
		size := int(nativeWord(b))
		if size < controlHeader || size > len(b) {
			return info
		}
		level, kind := binary.NativeEndian.Uint32(b[wordSize:]), binary.NativeEndian.Uint32(b[wordSize+4:])
		info.read(level, kind, b[controlHeader:size])
		b = b[min((size+wordSize-1)&^(wordSize-1), len(b)):]
	}
	return info
}

func nativeWord(b []byte) uint64 {
	if wordSize == 4 {
		return uint64(binary.NativeEndian.Uint32(b))
	}
	return binary.NativeEndian.Uint64(b)
}

func (info *controlInfo) read(level, kind uint32, data []byte) {
	switch {
	case level == unix.IPPROTO_IP && kind == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
		// The second address is the header's; the first is what to answer that from.
		info.index = int(binary.NativeEndian.Uint32(data))
		info.local = netip.AddrFrom4([4]byte(data[4:8]))
	case level == unix.IPPROTO_IPV6 && kind == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
		if addr := netip.AddrFrom16([16]byte(data[:16])); !addr.Is4In6() { // IP_PKTINFO says that better
			info.local, info.index = addr, int(binary.NativeEndian.Uint32(data[16:]))
		}
	case level == unix.SOL_SOCKET && kind == unix.SO_RXQ_OVFL && len(data) >= 4:
		info.missed = binary.NativeEndian.Uint32(data)
	}
}

// packetOutput is a batch of one socket's datagrams for sendmmsg(2).
type packetOutput struct {
	conn     *PacketConn
	n        int
	msgs     []unix.Mmsghdr
	iovs     []unix.Iovec
	names    []unix.RawSockaddrInet6 // which an IPv4 one fits into
	controls []outputControl
	paths    []PacketPath
	data     []byte // what they hold, one after the other
	free     []byte // the rest of data
	runs     packetRuns
}

// outputControl is one control message with the longer pktinfo.
type outputControl [unix.SizeofCmsghdr + (unix.SizeofInet6Pktinfo+7)&^7]byte

// outputSize is for a batch of the usual datagrams, or for one and a half of the longest.
const outputSize = 96 << 10

func newPacketOutput(n int) packetOutput {
	out := packetOutput{
		msgs: make([]unix.Mmsghdr, n), iovs: make([]unix.Iovec, n), names: make([]unix.RawSockaddrInet6, n),
		controls: make([]outputControl, n), paths: make([]PacketPath, n), data: make([]byte, outputSize),
	}
	for i := range n {
		h := &out.msgs[i].Hdr
		h.Name, h.Iov = (*byte)(unsafe.Pointer(&out.names[i])), &out.iovs[i]
		h.SetIovlen(1)
	}
	out.reset()
	return out
}

func (out *packetOutput) reset() { out.conn, out.n, out.free = nil, 0, out.data }

// fits reports whether there is room for a datagram.
func (out *packetOutput) fits(size int) bool { return out.n < len(out.msgs) && size <= len(out.free) }

// add puts a datagram behind the others. It fits, and its path is valid.
func (out *packetOutput) add(v4 bool, path *PacketPath, b []byte) {
	i := out.n
	out.n++
	out.paths[i] = *path
	size := copy(out.free, b)
	out.iovs[i].Base = unsafe.SliceData(out.free)
	out.iovs[i].SetLen(size)
	out.free = out.free[size:]
	h := &out.msgs[i].Hdr
	h.Namelen = putAddr(&out.names[i], v4, path)
	h.Control = nil
	size = putControl(out.controls[i][:], path)
	if size > 0 {
		h.Control = &out.controls[i][0]
	}
	h.SetControllen(size)
}

// payload is what the i-th holds.
func (out *packetOutput) payload(i int) []byte {
	return unsafe.Slice(out.iovs[i].Base, out.iovs[i].Len)
}

// bytes is how many n of them hold, from the i-th on.
func (out *packetOutput) bytes(i, n int) (sum int) {
	for ; n > 0; i, n = i+1, n-1 {
		sum += int(out.iovs[i].Len)
	}
	return sum
}

// transmitPackets wraps sendmmsg(2), from the i-th datagram on. It says how many the kernel
// has taken or, if none, why not the first.
func transmitPackets(fd int, out *packetOutput, i int) (int, errno) {
	n, _, e := syscall.RawSyscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&out.msgs[i])), uintptr(out.n-i), unix.MSG_NOSIGNAL, 0, 0)
	if e != 0 {
		return 0, e
	}
	return int(n), 0
}

// resolvePath checks whether a socket can send by a path, and puts the interface that a
// zone names into its place.
func resolvePath(fd int, v4 bool, path *PacketPath) error {
	remote, local := path.Remote.Addr().Unmap(), path.Local.Unmap()
	switch {
	case !remote.IsValid() || v4 && !remote.Is4() || path.Interface < 0:
		return ErrBadPath
	case local.IsValid() && local.Is4() != remote.Is4():
		return ErrBadPath
	case remote.Zone() == "":
		return nil
	}
	index, err := zoneIndex(fd, remote.Zone())
	if err != nil {
		return fmt.Errorf("%w: %w", ErrBadPath, err)
	}
	path.Remote = netip.AddrPortFrom(remote.WithZone(""), path.Remote.Port())
	path.Interface = int(index)
	return nil
}

// putAddr writes the socket address of a resolved path's remote end and returns its size.
func putAddr(to *unix.RawSockaddrInet6, v4 bool, path *PacketPath) uint32 {
	addr, port := path.Remote.Addr(), path.Remote.Port()
	if v4 {
		sa := (*unix.RawSockaddrInet4)(unsafe.Pointer(to))
		*sa = unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: addr.Unmap().As4()}
		putNetworkOrder(&sa.Port, port)
		return unix.SizeofSockaddrInet4
	}
	*to = unix.RawSockaddrInet6{Family: unix.AF_INET6, Addr: addr.As16()} // IPv4 as ::ffff:…
	putNetworkOrder(&to.Port, port)
	if needsInterface(addr) {
		to.Scope_id = uint32(path.Interface)
	}
	return unix.SizeofSockaddrInet6
}

func putNetworkOrder(to *uint16, port uint16) {
	binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(to))[:], port)
}

// needsInterface reports whether an address means something else on each interface.
func needsInterface(a netip.Addr) bool {
	a = a.Unmap()
	return a.IsMulticast() || a.IsLinkLocalUnicast() && !a.Is4()
}

// putControl writes the control message that a path needs, if any, and returns its
// size. The interface is not said where the address is enough: a reply need not go out
// where the question came in.
func putControl(b []byte, path *PacketPath) int {
	local, remote := path.Local.Unmap(), path.Remote.Addr().Unmap()
	index := uint32(0)
	if needsInterface(remote) {
		index = uint32(path.Interface)
	}
	sourced := local.IsValid() && !local.IsMulticast() && !local.IsUnspecified()
	if !sourced && index == 0 {
		return 0
	}
	clear(b)
	data := b[controlHeader:]
	if remote.Is4() {
		putControlHeader(b, unix.IPPROTO_IP, unix.IP_PKTINFO, unix.SizeofInet4Pktinfo)
		binary.NativeEndian.PutUint32(data, index)
		if sourced {
			*(*[4]byte)(data[4:]) = local.As4()
		}
		return unix.CmsgSpace(unix.SizeofInet4Pktinfo)
	}
	putControlHeader(b, unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, unix.SizeofInet6Pktinfo)
	if sourced {
		*(*[16]byte)(data) = local.As16()
	}
	binary.NativeEndian.PutUint32(data[16:], index)
	return unix.CmsgSpace(unix.SizeofInet6Pktinfo)
}

func putControlHeader(b []byte, level, kind uint32, size int) {
	h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
	h.Level, h.Type = int32(level), int32(kind)
	h.SetLen(unix.CmsgLen(size))
}
