package engine

import (
	"context"
	"sync"
	"time"
)

// pool does the work of all loops. It has no goroutines of its own: one comes
// with the first work, and goes when nothing waits.
type pool struct {
	eng *Engine

	mu      sync.Mutex
	lanes   map[*Namespace]*lane // of the namespaces that have work waiting
	turns   []*lane              // the same, the one whose turn it is first
	queued  int
	running map[*job]struct{}
	stuck   int
	closed  bool
	idle    chan struct{} // closed when closed and nothing runs
	stats   poolStats
}

// lane is a namespace's queue.
type lane struct {
	ns   *Namespace
	jobs []*job
}

// poolStats are written under the pool's lock.
type poolStats struct {
	done, busy, stuck       counter
	waitSeconds, runSeconds histogram
}

func newPool(e *Engine) *pool {
	p := &pool{eng: e, lanes: make(map[*Namespace]*lane), running: make(map[*job]struct{}), idle: make(chan struct{})}
	p.stats.waitSeconds.base, p.stats.waitSeconds.per = 10_000, 1e9
	p.stats.runSeconds.base, p.stats.runSeconds.per = 10_000, 1e9
	return p
}

// add takes work, and reports whether so much of the namespace waits that there
// had better not come more.
func (p *pool) add(j *job) (crowded bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false, ErrStopped
	}
	j.queued = p.eng.clock()
	if len(p.running) < p.eng.cfg.Workers {
		p.begin(j)
		p.start(j)
		return false, nil
	}
	ns := j.conn.Namespace()
	ln := p.lanes[ns]
	if ln == nil {
		ln = &lane{ns: ns}
		p.lanes[ns] = ln
		p.turns = append(p.turns, ln)
	}
	if len(ln.jobs) >= p.eng.cfg.WorkQueue {
		p.stats.busy.inc()
		return false, ErrBusy
	}
	ln.jobs = append(ln.jobs, j)
	p.queued++
	return len(ln.jobs) > p.eng.cfg.WorkQueue/2, nil
}

// start gives a job a worker. It needs the lock.
func (p *pool) start(j *job) {
	if s := p.eng.sim; s != nil {
		s.works = append(s.works, j)
		return
	}
	go p.serve(j)
}

// begin needs the lock.
func (p *pool) begin(j *job) {
	j.began = p.eng.clock()
	p.running[j] = struct{}{}
	p.stats.waitSeconds.observe(uint64(j.began - j.queued))
}

// serve is a worker: it does a job, and those that wait.
func (p *pool) serve(j *job) {
	defer func() {
		if j == nil {
			return
		}
		// Run has called runtime.Goexit, which no recover stops: another
		// goroutine goes on.
		j.err = panicError("runtime.Goexit was called")
		if next := p.finish(j); next != nil {
			go p.serve(next)
		}
	}()
	for j != nil {
		j.do()
		j = p.finish(j)
	}
}

// finish hands a job's result to its loop, and returns the next job.
func (p *pool) finish(j *job) (next *job) {
	if !j.state.CompareAndSwap(jobRunning, jobReturned) {
		return p.finishLate(j)
	}
	p.mu.Lock()
	delete(p.running, j)
	p.stats.done.inc()
	p.stats.runSeconds.observe(uint64(p.eng.clock() - j.began))
	next = p.take()
	p.mu.Unlock()
	if !j.conn.loop.post(task{kind: taskWork, conn: j.conn, work: j}) {
		j.drop(j.conn.error("work", ErrStopped))
	}
	return next
}

// take is the job whose turn it is, and nil if none waits. It needs the lock.
func (p *pool) take() *job {
	if len(p.turns) == 0 {
		if p.closed && len(p.running) == 0 {
			close(p.idle)
		}
		return nil
	}
	ln := p.turns[0]
	j := ln.jobs[0]
	ln.jobs[0] = nil
	ln.jobs = ln.jobs[1:]
	p.turns[0] = nil
	p.turns = p.turns[1:]
	if len(ln.jobs) > 0 {
		p.turns = append(p.turns, ln)
	} else {
		delete(p.lanes, ln.ns)
	}
	p.queued--
	p.begin(j)
	return j
}

// finishLate is finish for a job that was given up on. Its worker ends if it was
// replaced.
func (p *pool) finishLate(j *job) (next *job) {
	p.mu.Lock()
	p.stuck--
	if _, kept := p.running[j]; kept {
		delete(p.running, j)
		next = p.take()
	}
	p.mu.Unlock()
	j.drop(j.conn.error("work", ErrWorkStuck))
	if j.InNamespace {
		j.conn.loop.post(task{kind: taskLoop, run: func(*loop) { j.conn.ep.cell.inside.dec() }})
	}
	return next
}

// giveUp looks for work that goes on for too long after its time was up. At most
// as many workers as Config.Workers are replaced; then the pool stays short of them.
func (p *pool) giveUp() {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.eng.clock()
	for j := range p.running {
		if now < later(j.due, int64(p.eng.cfg.StallAfter)) || !j.state.CompareAndSwap(jobRunning, jobStuck) {
			continue
		}
		p.stats.stuck.inc()
		p.stuck++
		p.eng.log.Error("work does not end; its connection is closed", "netns", j.conn.Namespace().Name(),
			"port", j.conn.Port(), "for", time.Duration(now-j.began).Round(time.Millisecond))
		j.conn.loop.post(task{kind: taskWork, conn: j.conn, work: j})
		if p.stuck > p.eng.cfg.Workers {
			continue
		}
		delete(p.running, j)
		if next := p.take(); next != nil {
			go p.serve(next)
		}
	}
}

// stop refuses further work, drops what waits, and waits until nothing runs or
// the context ends. It returns how many go on.
func (p *pool) stop(ctx context.Context) (left int) {
	p.mu.Lock()
	p.closed = true
	var waiting []*job
	for _, ln := range p.turns {
		waiting = append(waiting, ln.jobs...)
	}
	p.turns, p.queued = nil, 0
	clear(p.lanes)
	if len(p.running) == 0 {
		close(p.idle)
	}
	p.mu.Unlock()
	for _, j := range waiting {
		j.drop(j.conn.error("work", ErrStopped))
	}
	select {
	case <-p.idle:
	case <-ctx.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.running) + p.stuck
}

// WorkStats is what the engine's pool has done; see [Conn.Go].
type WorkStats struct {
	Workers int // how many may run at once: Config.Workers
	Running int // works running now
	Waiting int // works waiting now
	Stuck   int // works that were given up on and still go on

	Done    uint64 // works that have returned
	Busy    uint64 // works not taken because too many of their namespace waited
	GivenUp uint64 // works that were given up on

	// WaitSeconds is the distribution of the time from Go to Run.
	WaitSeconds Histogram
	// RunSeconds is the distribution of the time that Run takes.
	RunSeconds Histogram
}

func (p *pool) snapshot() WorkStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return WorkStats{
		Workers: p.eng.cfg.Workers, Running: len(p.running), Waiting: p.queued, Stuck: p.stuck,
		Done: p.stats.done.load(), Busy: p.stats.busy.load(), GivenUp: p.stats.stuck.load(),
		WaitSeconds: p.stats.waitSeconds.snapshot(), RunSeconds: p.stats.runSeconds.snapshot(),
	}
}
