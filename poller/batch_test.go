package poller

import (
	"testing"
)

// readyFiles registers n descriptors that are ready, in slots 1 to n.
func readyFiles(tb testing.TB, p *Poller, n int) []*file {
	tb.Helper()
	files := make([]*file, n)
	for i := range files {
		files[i] = eventfd(tb, 1)
		must(tb, p.Add(files[i].fd, NewToken(uint32(i+1), uint32(2*i)), Readable))
	}
	return files
}

func TestBatchGrowsWhenFull(t *testing.T) {
	p := newPoller(t)
	const ready = 2*minBatch + 1
	readyFiles(t, p, ready)

	heard := make(map[Token]bool)
	for _, want := range []int{minBatch, 2 * minBatch, ready, ready} {
		events, err := p.Wait(0)
		must(t, err)
		if len(events) != want {
			t.Fatalf("a batch of %d, want %d", len(events), want)
		}
		// Growth has not pulled the array from under the events.
		for token, readiness := range byToken(t, events) {
			if token.Generation() != 2*(token.Slot()-1) || !readiness.Readable() {
				t.Fatalf("event %v %v was never registered", token, readiness)
			}
			heard[token] = true
		}
	}
	if len(heard) != ready {
		t.Fatalf("heard of %d descriptors, want %d", len(heard), ready)
	}
}

// More are ready than the largest batch takes: the kernel rotates them, so that
// nobody starves.
func TestLargestBatchStarvesNobody(t *testing.T) {
	p := newPoller(t)
	const ready = maxBatch + 100
	readyFiles(t, p, ready)
	heard := make(map[Token]bool)
	for range 20 {
		got := now(t, p)
		if len(got) > maxBatch {
			t.Fatalf("a batch of %d", len(got))
		}
		for token := range got {
			heard[token] = true
		}
	}
	if len(heard) != ready {
		t.Fatalf("heard of %d descriptors, want %d", len(heard), ready)
	}
	if len(p.batch) != maxBatch {
		t.Fatalf("the batch has grown to %d, want %d", len(p.batch), maxBatch)
	}
}

func TestBatchStaysSmallWithoutNeed(t *testing.T) {
	p := newPoller(t)
	readyFiles(t, p, minBatch-1)
	for range 3 {
		if got := now(t, p); len(got) != minBatch-1 {
			t.Fatalf("a batch of %d", len(got))
		}
	}
	if len(p.batch) != minBatch {
		t.Fatalf("the batch has grown to %d", len(p.batch))
	}
}
