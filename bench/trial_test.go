package main

import (
	"math"
	"os"
	"strings"
	"testing"
	"time"
)

func TestParseCountersSkipsALibrarysLog(t *testing.T) {
	got, err := parseCounters([]byte("gnet is leaving\n{\"events\":7,\"epoll_waits\":2,\"switches\":1}\nbye\n"))
	if want := (counters{7, 2, 1}); err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	if got, err := parseCounters(nil); err != nil || got != (counters{}) {
		t.Errorf("no output: got %+v, %v", got, err)
	}
}

// TestMeasureDoesNotDependOnLateSamples: the second sample comes 1 s after the window,
// the server goes on as before, and a message costs the same.
func TestMeasureDoesNotDependOnLateSamples(t *testing.T) {
	r := result{Load: loadReport{Messages: 2000, Seconds: 2, Rate: 1000}}
	start := time.Now()
	r.measure(sample{at: start}, sample{at: start.Add(3 * time.Second), cpu: 1500 * time.Millisecond})
	if math.Abs(r.CPUMicros-500) > 1e-6 {
		t.Errorf("got %v µs a message, want 500", r.CPUMicros)
	}
}

func TestFollowWantsBothMarkersAndTheFigures(t *testing.T) {
	_, _, load, err := follow(strings.NewReader("start\nstop\n{\"messages\":5,\"rate\":2.5}\n"), os.Getpid())
	if err != nil || load.Messages != 5 || load.Rate != 2.5 {
		t.Errorf("got %+v, %v", load, err)
	}
	if _, _, _, err := follow(strings.NewReader("start\n"), os.Getpid()); err == nil {
		t.Error("no error for a load that ended early")
	}
}

func TestWatcherSeesReadyInPieces(t *testing.T) {
	w := watcher{ready: make(chan struct{})}
	for _, piece := range []string{"already\n", "rea", "dy"} {
		_, _ = w.Write([]byte(piece))
	}
	select {
	case <-w.ready:
		t.Fatal("too early")
	default:
	}
	_, _ = w.Write([]byte("\nmore\n"))
	<-w.ready
}
