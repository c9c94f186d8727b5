package poller

import (
	"fmt"
	"testing"
)

func BenchmarkWait(b *testing.B) {
	for _, ready := range []int{1, 64} {
		b.Run(fmt.Sprintf("ready=%d", ready), func(b *testing.B) {
			p := newPoller(b)
			readyFiles(b, p, ready)
			b.ReportAllocs()
			for b.Loop() {
				if events, err := p.Wait(0); err != nil || len(events) != ready {
					b.Fatal(len(events), err)
				}
			}
		})
	}
}

func BenchmarkWake(b *testing.B) {
	p := newPoller(b)
	b.ReportAllocs()
	for b.Loop() {
		if err := p.Wake(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkWakeAndWait(b *testing.B) {
	p := newPoller(b)
	b.ReportAllocs()
	for b.Loop() {
		must(b, p.Wake())
		if events, err := p.Wait(-1); err != nil || len(events) != 1 {
			b.Fatal(len(events), err)
		}
	}
}

func BenchmarkModify(b *testing.B) {
	p := newPoller(b)
	f := eventfd(b, 1)
	must(b, p.Add(f.fd, tokenA, Readable))
	b.ReportAllocs()
	for b.Loop() {
		if err := p.Modify(f.fd, tokenA, Readable); err != nil {
			b.Fatal(err)
		}
	}
}
