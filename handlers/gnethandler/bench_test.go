package gnethandler_test

import (
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/handlers"
	"github.com/nsreactor/nsreactor/handlers/gnethandler"
	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

// BenchmarkAgainstNative is what an echo of 64 bytes costs the loop's thread
// with a gnet handler and with a native one, on one loop of one engine, in turns:
// the ratio is the median of those within a turn.
//
//	go test -run '^$' -bench AgainstNative -benchtime 100x ./handlers/gnethandler
func BenchmarkAgainstNative(b *testing.B) {
	for _, conns := range []int{1, 64, 512} {
		b.Run(fmt.Sprintf("conns=%d", conns), func(b *testing.B) { benchAgainstNative(b, conns) })
	}
}

func benchAgainstNative(b *testing.B, conns int) {
	const nativePort, size = enginePort + 1, 64
	lab := nstest.New(b)
	tenant := lab.MustAddBare(b, "a")
	eng := serveWith(b, lab, engine.Config{Loops: 1}, new(echo), gnethandler.Config{})
	if err := eng.Handle("tcp", nativePort, handlers.Echo{}); err != nil {
		b.Fatal(err)
	}
	var adapted, native []*rawClient
	for range conns {
		adapted = append(adapted, dialRaw(b, tenant, enginePort, size))
		native = append(native, dialRaw(b, tenant, nativePort, size))
	}
	tid := eng.Stats().Loops[0].TID
	window := func(clients []*rawClient) float64 {
		const requests = 4096
		before := threadTime(b, tid)
		for range requests / conns {
			for _, c := range clients {
				c.send()
			}
			for _, c := range clients {
				c.receive()
			}
		}
		return float64(threadTime(b, tid)-before) / float64(requests/conns*conns)
	}
	window(native)
	window(adapted)
	var nativeCost, adaptedCost, ratios []float64
	for i := 0; b.Loop(); i++ {
		var n, a float64
		if i%2 == 0 {
			n, a = window(native), window(adapted)
		} else {
			a, n = window(adapted), window(native)
		}
		nativeCost, adaptedCost, ratios = append(nativeCost, n), append(adaptedCost, a), append(ratios, a/n)
	}
	b.ReportMetric(0, "ns/op") // the length of a turn says nothing
	b.ReportMetric(median(nativeCost), "native-cpu-ns/request")
	b.ReportMetric(median(adaptedCost), "gnet-cpu-ns/request")
	b.ReportMetric(median(ratios), "gnet/native")
}

func median(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}

// threadTime is how long a thread has run, in nanoseconds: proc(5), schedstat.
func threadTime(tb testing.TB, tid int) int64 {
	tb.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/schedstat", tid))
	if err != nil {
		tb.Fatal(err)
	}
	var ran int64
	if _, err := fmt.Sscan(string(text), &ran); err != nil {
		tb.Fatal(err)
	}
	return ran
}
