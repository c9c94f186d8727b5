package trial

import "testing"

func seen(found <-chan struct{}) bool {
	select {
	case <-found:
		return true
	default:
		return false
	}
}

func TestWatcherSeesALineInPieces(t *testing.T) {
	w := &watcher{}
	ready := w.line("ready")
	for _, piece := range []string{"already\n", "rea", "dy"} {
		_, _ = w.Write([]byte(piece))
	}
	if seen(ready) {
		t.Fatal("too early")
	}
	_, _ = w.Write([]byte("\nmore\n"))
	if !seen(ready) {
		t.Fatal("not seen")
	}
}

func TestWatcherFindsEachLineOnce(t *testing.T) {
	w := &watcher{}
	_, _ = w.Write([]byte("added\n"))
	if !seen(w.line("added")) {
		t.Fatal("what was there first is not found")
	}
	second := w.line("added")
	if seen(second) {
		t.Fatal("found twice")
	}
	_, _ = w.Write([]byte("added\nadded\n"))
	if !seen(second) || !seen(w.line("added")) || seen(w.line("added")) {
		t.Error("two more lines are not two")
	}
}
