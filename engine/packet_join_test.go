package engine

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

// Whatever is sent in one batch arrives as it was sent, one by one, whether or not it
// could be joined: equal lengths, a shorter one behind them, empty ones, long ones, other
// peers in between.
func TestJoinedDatagramsArriveOneByOne(t *testing.T) {
	for name, unjoined := range map[string]bool{"joined": false, "refused": true} {
		t.Run(name, func(t *testing.T) {
			sizes := []int{5, 5, 5, 3, 5, 0, 7, 7, 1232, 1232, 1233, 1233, 9, 20_000, 1, 1}
			for range 100 {
				sizes = append(sizes, 40) // more than a run, and more than a batch
			}
			what := func(i int) string {
				return strings.Repeat(fmt.Sprintf("%d|", i), sizes[i])[:sizes[i]]
			}
			s := startPackets(t, Config{}, packetHooks{packet: func(p *Packet) {
				for i := range sizes {
					if err := p.Reply([]byte(what(i))); err != nil {
						t.Error(err)
					}
				}
			}})
			if unjoined {
				s.onLoop(0, func(l *loop) {
					l.packets.transmit = func(fd int, out *packetOutput, i int) (int, errno) {
						if out.runs.join(out, i) { // as transmitJoined, where the device can't
							out.conn.unjoined = true
						}
						return transmitJoined(fd, out, i)
					}
				})
			}
			for _, network := range []string{"udp4", "udp6"} {
				c := s.dialPackets(network)
				c.send("go")
				for i := range sizes {
					if got := c.recv(); got != what(i) {
						t.Fatalf("%s: the %d-th is %.40q, %d bytes", network, i, got, len(got))
					}
				}
			}
			s.onLoop(0, func(*loop) {})
			if n := s.stats().Packets; n.Out != uint64(2*len(sizes)) || n.Dropped != 0 {
				t.Errorf("counted %+v", n)
			}
		})
	}
}

// Two peers' datagrams are not joined, nor are those from two addresses; a run ends with
// a shorter one.
func TestRuns(t *testing.T) {
	out := newPacketOutput(16)
	path := func(remote, local string) PacketPath {
		return PacketPath{Remote: netip.MustParseAddrPort(remote), Local: netip.MustParseAddr(local)}
	}
	a, b, c := path("192.0.2.1:1", "192.0.2.9"), path("192.0.2.2:1", "192.0.2.9"), path("192.0.2.1:1", "192.0.2.8")
	for _, d := range []struct {
		path PacketPath
		size int
	}{{a, 4}, {a, 4}, {a, 2}, {a, 4}, {b, 4}, {b, 4}, {b, 5}, {c, 5}, {a, 5}, {a, 0}, {a, 0}, {a, joinMax + 1}, {a, joinMax + 1}} {
		out.add(true, &d.path, make([]byte, d.size))
	}
	if !out.runs.join(&out, 0) {
		t.Error("nothing is joined")
	}
	if got := fmt.Sprint(out.runs.lengths); got != "[3 1 2 1 1 1 1 1 1 1]" {
		t.Errorf("runs %s", got)
	}
	if n := out.runs.datagrams(3); n != 6 {
		t.Errorf("three runs have %d", n)
	}
	if out.runs.join(&out, 6) {
		t.Error("what follows is joined")
	}
}
