//go:build !race

package gnethandler_test

import (
	"runtime"
	"testing"

	"github.com/panjf2000/gnet/v2"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/handlers/gnethandler"
	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

// A message costs no allocation, whichever way the handler reads and writes. The
// race detector's own would be counted too.
func TestMessagesAllocateNothing(t *testing.T) {
	lab := nstest.New(t)
	tenant := lab.MustAdd(t, "a")
	var ways []func(c gnet.Conn)
	var way func(c gnet.Conn)
	var copied [64]byte
	var two [2][]byte
	ways = append(
		ways,
		func(c gnet.Conn) { b, _ := c.Next(-1); _, _ = c.Write(b) },
		func(c gnet.Conn) { n, _ := c.Read(copied[:]); _, _ = c.Write(copied[:n]) },
		func(c gnet.Conn) {
			two[0], _ = c.Peek(32)
			two[1], _ = c.Peek(32)
			_, _ = c.Writev(two[:])
			_, _ = c.Discard(c.InboundBuffered())
		},
		func(c gnet.Conn) { _, _ = c.WriteTo(c); _ = c.Flush(); _ = c.OutboundBuffered() },
		func(c gnet.Conn) {
			b, _ := c.Next(64)
			_, _ = c.Write(b)
			_, _, _, _ = c.EventLoop(), c.LocalAddr(), c.RemoteAddr(), c.Context()
		},
	)
	serveWith(t, lab, engine.Config{Loops: 1}, &events{traffic: func(c gnet.Conn) gnet.Action { way(c); return gnet.None }}, gnethandler.Config{})
	for i := range ways {
		way = ways[i]
		client := dialRaw(t, tenant, enginePort, 64)
		if n := allocations(2000, func() { client.send(); client.receive() }); n > 0 {
			t.Errorf("way %d makes %d allocations a message", i, n)
		}
	}
}

// allocations is how many times the whole process allocates while f runs n
// times, per run and rounded down.
func allocations(n int, f func()) uint64 {
	for range n / 10 {
		f() // what grows only once has grown
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range n {
		f()
	}
	runtime.ReadMemStats(&after)
	return (after.Mallocs - before.Mallocs) / uint64(n)
}
