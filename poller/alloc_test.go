package poller

import (
	"testing"
	"time"
)

func TestNothingIsAllocated(t *testing.T) {
	p := newPoller(t)
	a, b := eventfd(t, 1), eventfd(t, 1)
	must(t, p.Add(a.fd, tokenA, Readable))
	wait := func(timeout time.Duration) {
		events, err := p.Wait(timeout)
		if err != nil || len(events) == 0 {
			t.Fatal(events, err)
		}
		for i := range events {
			_ = events[i].Token().Slot()
			_ = events[i].Readiness().Readable()
		}
	}
	for name, f := range map[string]func(){
		"Wait without blocking": func() { wait(0) },
		"Wait":                  func() { wait(-1) },
		"Wake":                  func() { must(t, p.Wake()) },
		"Modify":                func() { must(t, p.Modify(a.fd, tokenA, Readable)) },
		"Add and Remove": func() {
			must(t, p.Add(b.fd, tokenB, Readable))
			must(t, p.Remove(b.fd))
		},
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
}
