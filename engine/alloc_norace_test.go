//go:build !race

package engine

import "testing"

// The race detector's read(2) and write(2) allocate, and it has sync.Pool
// forget things at random; these numbers hold without it only.
func TestReadingAndWritingAllocateNothing(t *testing.T) {
	l := unitLoop(t, Config{Loops: 1})
	a, b := unitPair(t)
	defer closeSocket(b)
	conn := unitConn(l, a)
	scratch, bytes := make([]byte, 4096), make([]byte, 512)
	var pooled buffer
	for name, f := range map[string]func(){
		"read and write": func() {
			if n, e := writeSocket(b, bytes); n != len(bytes) || e != 0 {
				t.Fatal(n, e)
			}
			if n, e := readSocket(a, scratch); n != len(bytes) || e != 0 {
				t.Fatal(n, e)
			}
		},
		"writev": func() {
			if n, e := writeTwo(b, bytes, bytes); n != 2*len(bytes) || e != 0 {
				t.Fatal(n, e)
			}
			if n, e := readSocket(a, scratch); n != 2*len(bytes) || e != 0 {
				t.Fatal(n, e)
			}
		},
		"read, echo, settle": func() {
			if n, e := writeSocket(b, bytes); n != len(bytes) || e != 0 {
				t.Fatal(n, e)
			}
			conn.buf = l.lend(conn)
			n, _ := readSocket(a, conn.buf.in.room(carryMax))
			conn.buf.in.fill(n)
			l.tell(conn, func(_ Handler, c *Conn) {
				p, _ := c.Next(-1)
				_, _ = c.Write(p)
			})
			l.settle(conn)
			if n, e := readSocket(b, scratch); n != len(bytes) || e != 0 {
				t.Fatal(n, e)
			}
		},
		"buffers of one's own": func() {
			pooled.lend(scratch)
			pooled.append(bytes)
			pooled.own()
			pooled.append(bytes)
			pooled.append(bytes) // a larger one
			pooled.lend(scratch)
			pooled.discard(pooled.len())
			pooled.own()
		},
	} {
		if n := testing.AllocsPerRun(1000, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
