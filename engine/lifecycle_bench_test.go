package engine_test

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/nsctx"
	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

// benchEngine is an engine as users have it, but silent.
func benchEngine(b *testing.B, loops int) *engine.Engine {
	b.Helper()
	eng, err := engine.New(engine.Config{Loops: loops, Logger: slog.New(slog.DiscardHandler)})
	must(b, err)
	b.Cleanup(func() { must(b, eng.Shutdown(hanging(b))) })
	must(b, eng.Handle("tcp", lifePort, engine.BaseHandler{}))
	return eng
}

// BenchmarkAttach is one namespace with one port: opened, identified, entered,
// a listener for each loop made and handed out.
func BenchmarkAttach(b *testing.B) {
	for loops := 1; loops <= 2; loops++ {
		b.Run(fmt.Sprintf("loops=%d", loops), func(b *testing.B) {
			lab := nstest.New(b)
			tenant := lab.MustAddBare(b, "a")
			eng := benchEngine(b, loops)
			ref := nsctx.ByFD(tenant.NS.FD())
			for b.Loop() {
				ns, err := eng.Attach(ref)
				must(b, err)
				b.StopTimer()
				must(b, eng.Detach(hanging(b), ns))
				b.StartTimer()
			}
		})
	}
}

// BenchmarkDetach is the way back, with nothing connected: until this process
// holds nothing of the namespace.
func BenchmarkDetach(b *testing.B) {
	lab := nstest.New(b)
	tenant := lab.MustAddBare(b, "a")
	eng := benchEngine(b, 2)
	ref := nsctx.ByFD(tenant.NS.FD())
	for b.Loop() {
		b.StopTimer()
		ns, err := eng.Attach(ref)
		must(b, err)
		b.StartTimer()
		must(b, eng.Detach(hanging(b), ns))
	}
}

// BenchmarkWatch is a directory of so many namespaces, from Watch to its
// return, which is when all are served.
func BenchmarkWatch(b *testing.B) {
	for _, count := range []int{16, 256} {
		b.Run(fmt.Sprintf("namespaces=%d", count), func(b *testing.B) {
			lab := nstest.New(b)
			for i := range count {
				lab.MustAddBare(b, fmt.Sprintf("t%d", i))
			}
			var spent time.Duration
			for b.Loop() {
				b.StopTimer()
				eng, err := engine.New(engine.Config{Logger: slog.New(slog.DiscardHandler)})
				must(b, err)
				must(b, eng.Handle("tcp", lifePort, engine.BaseHandler{}))
				b.StartTimer()
				start := time.Now()
				must(b, eng.Watch(lab.Dir()))
				spent += time.Since(start)
				b.StopTimer()
				must(b, eng.Shutdown(hanging(b)))
				b.StartTimer()
			}
			b.ReportMetric(float64(spent.Nanoseconds())/float64(b.N*count), "ns/namespace")
		})
	}
}

// BenchmarkFirstAccept is from the moment that a namespace has its name and
// its loopback until a connection into it is there.
func BenchmarkFirstAccept(b *testing.B) {
	lab := nstest.New(b)
	eng := benchEngine(b, 2)
	must(b, eng.Watch(lab.Dir()))
	for b.Loop() {
		b.StopTimer()
		tenant := lab.MustAddBare(b, "a")
		b.StartTimer()
		for {
			conn, err := tenant.Dial(hanging(b), "tcp", lifePort)
			if err == nil {
				_ = conn.Close()
				break
			}
		}
		b.StopTimer()
		must(b, tenant.Delete())
		b.StartTimer()
	}
}
