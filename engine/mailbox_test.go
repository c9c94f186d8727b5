package engine

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

// mailTask is the n-th task of a poster.
func mailTask(poster, n int) task { return task{kind: taskAdopt, fd: accepted{fd: poster<<32 | n}} }

// mailLog checks that each poster's tasks come in order, none twice.
type mailLog struct {
	tb   testing.TB
	next []int
}

func (g *mailLog) note(tasks []task) {
	for i := range tasks {
		poster, n := tasks[i].fd.fd>>32, tasks[i].fd.fd&(1<<32-1)
		if n != g.next[poster] {
			g.tb.Errorf("poster %d: task %d comes where %d should", poster, n, g.next[poster])
		}
		g.next[poster] = n + 1
		tasks[i] = task{} // as the loop does; the slice goes back with the next take
	}
}

func TestMailboxLosesNothing(t *testing.T) {
	const posters, limit = 8, 20_000
	var m mailbox
	var sent [posters]int
	var wg sync.WaitGroup
	for p := range posters {
		wg.Go(func() {
			for sent[p] < limit {
				_, ok := m.post(mailTask(p, sent[p]))
				if !ok {
					return
				}
				sent[p]++
			}
		})
	}
	got := mailLog{tb: t, next: make([]int, posters)}
	var taken []task
	for range 500 {
		taken = m.take(taken)
		got.note(taken)
		runtime.Gosched()
	}
	got.note(m.close())
	wg.Wait()
	for p := range posters {
		if got.next[p] != sent[p] {
			t.Errorf("poster %d: %d tasks were taken from it, %d arrived", p, sent[p], got.next[p])
		}
	}
	if wake, ok := m.post(mailTask(0, 0)); wake || ok {
		t.Errorf("post after close: %v, %v", wake, ok)
	}
	if !m.empty() || len(m.take(nil)) != 0 || len(m.close()) != 0 {
		t.Error("a closed mailbox has tasks")
	}
}

// The loop says that it sleeps and looks once more; posters post and look
// whether it sleeps. A wake-up that is lost leaves the loop asleep for ever.
func TestMailboxLosesNoWakeUp(t *testing.T) {
	const posters, each = 4, 20_000
	var m mailbox
	wake := make(chan struct{}, 1)
	for p := range posters {
		go func() {
			for n := range each {
				if w, _ := m.post(mailTask(p, n)); w {
					wake <- struct{}{}
				}
				if n%16 == p {
					runtime.Gosched() // or the loop would never find the mailbox empty
				}
			}
		}()
	}
	done := make(chan struct{})
	got := mailLog{tb: t, next: make([]int, posters)}
	slept := int64(0)
	go func() {
		defer close(done)
		var taken []task
		for left := posters * each; left > 0; left -= len(taken) {
			m.sleeping.Store(true)
			if m.empty() {
				<-wake
				slept++
			} else if !m.sleeping.CompareAndSwap(true, false) {
				<-wake // one poster has seen us sleep
			}
			taken = m.take(taken)
			got.note(taken)
		}
	}()
	unitFinish(t, done, "the loop")
	for p, n := range got.next {
		if n != each {
			t.Errorf("poster %d: %d tasks arrived", p, n)
		}
	}
	if slept == 0 {
		t.Error("the loop has never slept: nothing was tested")
	}
}

// An awake loop costs no system call, a sleeping one one, however many post.
func TestMailboxWakesASleeperOnce(t *testing.T) {
	var m mailbox
	if wake, ok := m.post(task{}); wake || !ok {
		t.Fatalf("post to an awake loop: %v, %v", wake, ok)
	}
	m.sleeping.Store(true)
	if wake, ok := m.post(task{}); !wake || !ok {
		t.Fatalf("post to a sleeping loop: %v, %v", wake, ok)
	}
	if wake, ok := m.post(task{}); wake || !ok {
		t.Fatalf("post to a loop that is being woken: %v, %v", wake, ok)
	}
	if n := len(m.take(nil)); n != 3 || !m.empty() {
		t.Fatalf("%d tasks, empty %v", n, m.empty())
	}
}

// The same with a whole loop, its poller and its thread: every poster waits
// for its task to be done before it posts the next, so that the loop keeps
// falling asleep.
func TestLoopAnswersEveryPost(t *testing.T) {
	const posters, each = 3, 2000
	l := startUnitLoop(t)
	var wg sync.WaitGroup
	for range posters {
		wg.Go(func() {
			answered := make(chan struct{}, 1)
			for range each {
				if !l.post(task{kind: taskLoop, run: func(*loop) { answered <- struct{}{} }}) {
					t.Error("post was refused")
					return
				}
				<-answered
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	unitFinish(t, done, "posting")
	if n := l.stats.tasks.load(); n < posters*each {
		t.Errorf("%d tasks were run", n)
	}
}

// A loop that stops answers what it has accepted, and refuses the rest.
func TestLoopStopsWithEveryTaskAnswered(t *testing.T) {
	for range 20 {
		l := startUnitLoop(t)
		var taken, answered atomic.Int64
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for l.post(task{kind: taskLoop, run: func(*loop) { answered.Add(1) }}) {
					taken.Add(1)
				}
			})
		}
		l.post(task{kind: taskLoop, run: func(l *loop) { l.stopping = true }})
		unitFinish(t, l.stopped, "the loop")
		wg.Wait()
		if answered.Load() != taken.Load() {
			t.Fatalf("%d tasks were taken, %d run", taken.Load(), answered.Load())
		}
	}
}

// startUnitLoop runs a loop until the end of the test.
func startUnitLoop(t *testing.T) *loop {
	t.Helper()
	e := unitEngine(t, Config{Loops: 1})
	l, err := newLoop(e, 0, -1)
	unitMust(t, err)
	e.loops = []*loop{l}
	unitMust(t, l.start())
	t.Cleanup(func() {
		l.post(task{kind: taskLoop, run: func(l *loop) { l.stopping = true }})
		unitFinish(t, l.stopped, "the loop")
	})
	return l
}
