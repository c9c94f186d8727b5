package engine

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Every datagram comes back as it was, by both families: also an empty one, and the
// longest that there can be.
func TestPacketsComeBack(t *testing.T) {
	s := startPackets(t, Config{}, packetHooks{packet: packetEcho})
	for _, network := range []string{"udp4", "udp6"} {
		c := s.dialPackets(network)
		for _, size := range []int{1, 0, 2000, 65507, 3} {
			b := string(pattern(uint64(size), size))
			c.expect(b, b)
		}
	}
	n := s.stats()
	if n.Packets.In != 10 || n.Packets.Truncated+n.Packets.Dropped+n.Packets.Missed > 0 {
		t.Errorf("counted %+v", n.Packets)
	}
	if n.Holds.PacketConns != 1 || n.Holds.Listeners != 0 || !n.Holds.Ours() {
		t.Errorf("held are %+v", n.Holds)
	}
}

// What waits together is read and answered in batches, all of it and in order.
func TestPacketsComeInBatches(t *testing.T) {
	s := startPackets(t, Config{PacketBatch: 16}, packetHooks{packet: packetEcho})
	c := s.dialPackets("udp4")
	release := s.hold(0)
	const sent = 100
	for i := range sent {
		c.send(fmt.Sprint(i))
	}
	before := s.loopStats().Events
	release()
	for i := range sent {
		if got := c.recv(); got != fmt.Sprint(i) {
			t.Fatalf("reply %d is %q", i, got)
		}
	}
	s.onLoop(0, func(*loop) {})
	if events := s.loopStats().Events - before; events > sent/16+5 {
		t.Errorf("%d packets took %d events", sent, events)
	}
}

// A handler may answer several times, or later from a copy of the path.
func TestPacketPathIsAValue(t *testing.T) {
	var kept []PacketPath
	s := startPackets(t, Config{}, packetHooks{packet: func(p *Packet) {
		kept = append(kept, p.Path)
		if string(p.Data) == "all" {
			for i, path := range kept {
				_ = p.Conn().Send(path, []byte{'0' + byte(i)})
			}
		}
	}})
	a, b := s.dialPackets("udp4"), s.dialPackets("udp6")
	a.send("first")
	awaitUntil(t, "the first packet", func() bool { return s.stats().Packets.In == 1 })
	b.send("all")
	if got := a.recv() + b.recv(); got != "01" {
		t.Errorf("received %q", got)
	}
}

// A panic costs the packet that it is about, and those of the same batch that come after
// it are served, as are the next ones.
func TestPacketPanicCostsThePacket(t *testing.T) {
	for _, how := range []struct {
		name string
		do   func()
	}{{"panic", func() { panic("bad packet") }}, {"Goexit", runtime.Goexit}} {
		t.Run(how.name, func(t *testing.T) {
			s := startPackets(t, Config{}, packetHooks{packet: func(p *Packet) {
				if string(p.Data) == "bad" {
					how.do()
				}
				packetEcho(p)
			}})
			c := s.dialPackets("udp4")
			release := s.hold(0)
			for _, b := range []string{"a", "bad", "b", "bad", "c"} {
				c.send(b)
			}
			release()
			if got := c.recv() + c.recv() + c.recv(); got != "abc" {
				t.Errorf("answered are %q", got)
			}
			c.expect("again", "again")
			if n := s.stats(); n.Errors[ErrorPanic] != 2 || s.loopStats().Panics != 2 {
				t.Errorf("%d panics are counted", n.Errors[ErrorPanic])
			}
			s.log.await(t, "panicked", "packet")
		})
	}
}

// Also in the callbacks that are about no packet.
func TestPacketCallbacksMayPanic(t *testing.T) {
	bad := func(*PacketConn) { panic("bad") }
	s := startPackets(t, Config{}, packetHooks{
		open: func(c *PacketConn) { c.SetTimer(time.Millisecond); panic("bad") }, timer: bad, packet: packetEcho,
		closed: func(*PacketConn, error) { panic("bad") },
	})
	c := s.dialPackets("udp4")
	c.expect("a", "a")
	awaitUntil(t, "two panics", func() bool { return s.stats().Errors[ErrorPanic] == 2 })
	var conn *PacketConn
	s.onLoop(0, func(l *loop) { conn = l.cells[s.home].packetConns[0] })
	conn.Call(bad)
	conn.AsyncSend(PacketPath{}, nil, func(error) { panic("bad") })
	c.expect("b", "b")
	conn.Close()
	awaitUntil(t, "five panics", func() bool { return s.stats().Errors[ErrorPanic] == 5 })
}

func TestPacketTooLongIsCutAndSaid(t *testing.T) {
	s := startPackets(t, Config{PacketMax: 64}, packetHooks{packet: func(p *Packet) {
		_ = p.Reply(fmt.Appendf(nil, "%d %v", len(p.Data), p.Truncated))
	}})
	c := s.dialPackets("udp4")
	c.expect(strings.Repeat("x", 65), "64 true")
	c.expect(strings.Repeat("x", 64), "64 false")
	if n := s.stats().Packets; n.Truncated != 1 || n.In != 2 {
		t.Errorf("counted %+v", n)
	}
}

// What can't be sent is said at once where that is known at once, and counted in any
// case; it is in the way of nothing else.
func TestPacketsThatCannotBeSent(t *testing.T) {
	loopback := netip.MustParseAddr("127.0.0.1")
	errs := make(chan error, 10)
	s := startPackets(t, Config{}, packetHooks{packet: func(p *Packet) {
		to := p.Path.Remote
		for _, path := range []PacketPath{
			{}, // nowhere
			{Remote: to, Local: netip.IPv6Loopback()},                            // from another family
			{Remote: netip.AddrPortFrom(netip.MustParseAddr("fe80::1%none"), 1)}, // by no interface
			{Remote: to, Interface: -1},
		} {
			errs <- p.Conn().Send(path, nil)
		}
		errs <- p.Reply(make([]byte, 65536))
		_ = p.Reply([]byte("before"))
		_ = p.Reply(make([]byte, 65508))                                                             // no IPv4 datagram is that long
		_ = p.Conn().Send(PacketPath{Remote: to, Local: netip.MustParseAddr("192.0.2.1")}, nil)      // not ours
		_ = p.Conn().Send(PacketPath{Remote: netip.AddrPortFrom(loopback, 0), Local: loopback}, nil) // no port
		_ = p.Reply([]byte("after"))
	}})
	c := s.dialPackets("udp4")
	c.expect("go", "before")
	if got := c.recv(); got != "after" {
		t.Errorf("received %q", got)
	}
	for range 4 {
		if err := await(t, errs, "an error"); !errors.Is(err, ErrBadPath) {
			t.Errorf("err %v, want ErrBadPath", err)
		}
	}
	if err := await(t, errs, "an error"); !errors.Is(err, unix.EMSGSIZE) {
		t.Errorf("err %v, want EMSGSIZE", err)
	}
	s.onLoop(0, func(*loop) {}) // it has counted what it has sent
	n := s.stats()
	if n.Packets.Dropped != 8 || n.Errors[ErrorWrite] != 8 || n.Packets.Out != 2 {
		t.Errorf("counted %+v, %d errors", n.Packets, n.Errors[ErrorWrite])
	}
}

// While the kernel has no room packets wait, in order and up to the limit; what comes above
// it is dropped and counted.
func TestPacketsWaitForRoom(t *testing.T) {
	const size, room = 1000, 10
	full := make(chan error, 1)
	s := startPackets(t, Config{PacketBacklog: room * (size + 128), PacketBatch: 4}, packetHooks{packet: func(p *Packet) {
		for i := range 2 * room {
			err := p.Reply(bytes.Repeat([]byte{'a' + byte(i)}, size))
			if err != nil {
				select {
				case full <- err:
				default:
				}
			}
		}
	}})
	refuse := true
	s.onLoop(0, func(l *loop) {
		l.packets.transmit = func(fd int, out *packetOutput, i int) (int, errno) {
			if refuse {
				return 0, unix.EAGAIN
			}
			return transmitPackets(fd, out, i)
		}
	})
	c := s.dialPackets("udp4")
	c.send("go")
	if err := await(t, full, "an overflow"); !errors.Is(err, ErrOverflow) {
		t.Errorf("err %v, want ErrOverflow", err)
	}
	awaitUntil(t, "all to be queued or dropped", func() bool { return s.stats().Packets.Dropped == room })
	s.onLoop(0, func(*loop) { refuse = false })
	for i := range room {
		if got := c.recv(); len(got) != size || got[0] != 'a'+byte(i) {
			t.Fatalf("reply %d is %q", i, cut([]byte(got)))
		}
	}
	s.onLoop(0, func(*loop) {})
	n := s.stats()
	if n.Packets.Out != room || n.Errors[ErrorOverflow] != room {
		t.Errorf("counted %+v, %d overflows", n.Packets, n.Errors[ErrorOverflow])
	}
	s.mustBeQuiet(0, "nothing is left to send")
}

// What came when the receive buffer was full is lost, and counted.
func TestPacketsLostInFullReceiveBuffer(t *testing.T) {
	s := startPackets(t, Config{}, packetHooks{
		open: func(c *PacketConn) {
			_ = c.Control(func(fd int) { _ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 1) })
		},
		packet: func(*Packet) {},
	})
	c := s.dialPackets("udp4")
	release := s.hold(0)
	const sent = 200
	for range sent {
		c.send(strings.Repeat("x", 500))
	}
	release()
	awaitUntil(t, "the first packets", func() bool { return s.stats().Packets.In > 0 })
	s.onLoop(0, func(*loop) {})
	c.send("the one that tells") // the kernel says with a packet how many were lost before it
	awaitUntil(t, "every packet to be counted", func() bool {
		n := s.stats().Packets
		return n.Missed > 0 && n.In+n.Missed == sent+1
	})
}

func TestPacketTimerAndContext(t *testing.T) {
	s := startPackets(t, Config{}, packetHooks{
		packet: func(p *Packet) { p.Conn().SetContext(p.Path); p.Conn().SetTimer(time.Millisecond) },
		timer:  func(c *PacketConn) { _ = c.Send(c.Context().(PacketPath), []byte("late")) },
	})
	s.dialPackets("udp4").expect("go", "late")
}

// From other goroutines packets are sent by AsyncSend, which always answers.
func TestPacketsFromOtherGoroutines(t *testing.T) {
	arrived := make(chan *PacketConn, 1)
	paths := make(chan PacketPath, 1)
	closed := make(chan error, 2)
	s := startPackets(t, Config{}, packetHooks{
		packet: func(p *Packet) { arrived <- p.Conn(); paths <- p.Path },
		closed: func(_ *PacketConn, err error) { closed <- err },
	})
	c := s.dialPackets("udp4")
	c.send("go")
	conn, path := await(t, arrived, "a packet"), await(t, paths, "its path")
	done := make(chan error, 1)
	conn.AsyncSend(path, []byte("reply"), func(err error) { done <- err })
	if got := c.recv(); got != "reply" {
		t.Errorf("received %q", got)
	}
	if err := await(t, done, "done"); err != nil {
		t.Error(err)
	}
	if conn.Port() != s.ports[0] || conn.Loop() != 0 || conn.Namespace() != s.home {
		t.Errorf("port %d, loop %d, namespace %v", conn.Port(), conn.Loop(), conn.Namespace())
	}
	conn.Close()
	conn.Close()
	if err := await(t, closed, "OnClose"); err != nil {
		t.Error(err)
	}
	conn.AsyncSend(path, []byte("reply"), func(err error) { done <- err })
	if err := await(t, done, "done after Close"); !errors.Is(err, ErrClosed) {
		t.Errorf("err %v, want ErrClosed", err)
	}
	onPackets(t, conn, func(c *PacketConn) {
		done <- errors.Join(c.Control(func(int) { t.Error("the descriptor of a closed socket was lent") }))
		c.SetTimer(time.Nanosecond)
	})
	if err := await(t, done, "Control"); !errors.Is(err, ErrClosed) {
		t.Errorf("err %v, want ErrClosed", err)
	}
	s.cutOff()
	conn.AsyncSend(path, nil, func(err error) { done <- err })
	if err := await(t, done, "done after the end"); !errors.Is(err, ErrStopped) {
		t.Errorf("err %v, want ErrStopped", err)
	}
	if conn.Call(func(*PacketConn) { t.Error("was called") }) {
		t.Error("Call after the end was promised to be made")
	}
	if _, err := s.OpenPacket(s.home, 0, packetHooks{}); !errors.Is(err, ErrStopped) {
		t.Errorf("OpenPacket after the end: %v", err)
	}
	if len(closed) > 0 {
		t.Error("OnClose came twice")
	}
}

// After Close no packet is told, also not one that was read with it.
func TestNoPacketAfterClose(t *testing.T) {
	told := make(chan string, 10)
	closed := make(chan error, 1)
	s := startPackets(t, Config{}, packetHooks{
		packet: func(p *Packet) {
			told <- string(p.Data)
			_ = p.Reply([]byte("bye"))
			p.Conn().Close()
			if err := p.Reply(nil); !errors.Is(err, ErrClosed) {
				t.Errorf("err %v, want ErrClosed", err)
			}
		},
		closed: func(_ *PacketConn, err error) { closed <- err },
	})
	c := s.dialPackets("udp4")
	release := s.hold(0)
	c.send("1")
	c.send("2")
	release()
	if err := await(t, closed, "OnClose"); err != nil {
		t.Error(err)
	}
	if got := c.recv(); got != "bye" || len(told) != 1 {
		t.Errorf("received %q, and %d packets were told", got, len(told))
	}
}

func TestWrongPacketHandlersAreErrors(t *testing.T) {
	s := startPackets(t, Config{}, packetHooks{})
	for _, err := range []error{
		s.HandlePackets("tcp", 1, packetHooks{}),
		s.HandlePackets("udp", -1, packetHooks{}),
		s.HandlePackets("udp", 65536, packetHooks{}),
		s.HandlePackets("udp", 1, nil),
		errors.Join(s.HandlePackets("udp", 40123, packetHooks{}), s.HandlePackets("udp", 40123, packetHooks{})),
	} {
		if !errors.Is(err, ErrBadHandle) {
			t.Errorf("err %v, want ErrBadHandle", err)
		}
	}
	if _, err := s.OpenPacket(nil, 0, packetHooks{}); !errors.Is(err, ErrNotAttached) {
		t.Errorf("err %v, want ErrNotAttached", err)
	}
	if _, err := s.OpenPacket(s.home, 0, nil); !errors.Is(err, ErrBadHandle) {
		t.Errorf("err %v, want ErrBadHandle", err)
	}
	if _, err := s.OpenPacket(s.home, s.ports[0], packetHooks{}); !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("err %v, want EADDRINUSE", err)
	}
	if _, err := New(Config{PacketMax: 65536}); !errors.Is(err, ErrBadConfig) {
		t.Errorf("err %v, want ErrBadConfig", err)
	}
}

// A packet costs no allocation, from the readiness to the reply.
func TestPacketsAllocateNothing(t *testing.T) {
	s := startPackets(t, Config{}, packetHooks{packet: packetEcho})
	for _, host := range []string{"127.0.0.1", "::1"} {
		fd := rawPacketDial(t, netip.AddrPortFrom(netip.MustParseAddr(host), uint16(s.ports[0])))
		b := make([]byte, 64)
		n := allocations(2000, func() {
			if _, err := unix.Write(fd, b); err != nil {
				t.Error(err)
			}
			if n, err := unix.Read(fd, b); n != len(b) {
				t.Error(n, err)
			}
		})
		if n > 0 {
			t.Errorf("an echo to %s makes %d allocations", host, n)
		}
	}
}

func rawPacketDial(t testing.TB, to netip.AddrPort) int {
	t.Helper()
	family, sa := unix.AF_INET, unix.Sockaddr(&unix.SockaddrInet4{Port: int(to.Port())})
	if to.Addr().Is4() {
		sa.(*unix.SockaddrInet4).Addr = to.Addr().As4()
	} else {
		family, sa = unix.AF_INET6, &unix.SockaddrInet6{Port: int(to.Port()), Addr: to.Addr().As16()}
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := unix.Connect(fd, sa); err != nil {
		t.Fatal(err)
	}
	return fd
}

// With several loops a port has a socket on each, or with AcceptSpread one on one.
func TestPacketsOfSeveralLoops(t *testing.T) {
	for _, accept := range []AcceptPolicy{AcceptSteered, AcceptSpread} {
		s := startPackets(t, Config{Loops: 2, Accept: accept}, packetHooks{packet: packetEcho})
		c := s.dialPackets("udp4")
		for i := range 100 {
			c.expect(fmt.Sprint(i), fmt.Sprint(i))
		}
		want := 2
		if accept == AcceptSpread || s.cfg.Accept == AcceptSpread {
			want = 1
		}
		n := s.stats()
		if n.Listeners[0].Sockets != want || n.Holds.PacketConns != want || n.Listeners[0].Network != "udp" {
			t.Errorf("%v: listed is %+v, held %+v", accept, n.Listeners, n.Holds)
		}
		s.cutOff()
	}
}
