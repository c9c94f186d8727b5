package engine

import (
	"net/netip"
	"slices"
	"strconv"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Whatever bytes the control messages are, reading them ends, within them.
func FuzzParseControl(f *testing.F) {
	var b outputControl
	for _, local := range []string{"10.0.0.1", "fe80::1"} {
		remote := netip.MustParseAddr("10.0.0.2")
		if local != "10.0.0.1" {
			remote = netip.MustParseAddr("fe80::2")
		}
		n := putControl(b[:], &PacketPath{Local: netip.MustParseAddr(local), Remote: netip.AddrPortFrom(remote, 1), Interface: 3})
		f.Add(b[:n])
		f.Add(append(b[:n:n], b[:n-1]...))
	}
	f.Add([]byte{})
	f.Fuzz(func(_ *testing.T, b []byte) { parseControl(slices.Clip(b)) })
}

// A valid path is what the kernel would read out of what it is written as.
func FuzzPacketPath(f *testing.F) {
	f.Add([]byte{10, 0, 0, 1}, []byte{10, 0, 0, 2}, uint16(53), 0, "", false)
	f.Add([]byte{10, 0, 0, 1}, []byte{224, 0, 0, 251}, uint16(5353), 2, "", true)
	fe80 := netip.MustParseAddr("fe80::1").AsSlice()
	f.Add(fe80, fe80, uint16(1), 7, "9", false)
	f.Add(fe80, fe80, uint16(1), 7, "eth0", false)
	f.Fuzz(func(t *testing.T, from, to []byte, port uint16, index int, zone string, v4 bool) {
		local, _ := netip.AddrFromSlice(from)
		remote, _ := netip.AddrFromSlice(to)
		path := PacketPath{Remote: netip.AddrPortFrom(remote.WithZone(zone), port), Local: local, Interface: int(int32(index))}
		original := path
		if resolvePath(-1, v4, &path) != nil {
			return
		}
		var raw unix.RawSockaddrAny
		putAddr((*unix.RawSockaddrInet6)(unsafe.Pointer(&raw)), v4, &path)
		got := addrPort(&raw)
		if got.Addr().WithZone("") != remote.Unmap().WithZone("") || got.Port() != port {
			t.Errorf("%v is written as %v", original.Remote, got)
		}
		if z := got.Addr().Zone(); z != "" && (!needsInterface(remote) || z != strconv.Itoa(path.Interface)) {
			t.Errorf("%+v is written with interface %s", original, z)
		}
		var b outputControl
		n := putControl(b[:], &path)
		info := parseControl(b[:n])
		wanted := local.Unmap().WithZone("")
		if wanted.IsMulticast() || wanted.IsUnspecified() {
			wanted = netip.Addr{}
		}
		if info.local.IsValid() && !info.local.IsUnspecified() && info.local != wanted || wanted.IsValid() && info.local != wanted {
			t.Errorf("from %v is written as %v", wanted, info.local)
		}
		if info.index != 0 && (info.index != path.Interface || !needsInterface(remote)) {
			t.Errorf("interface %d is written as %d", path.Interface, info.index)
		}
	})
}
