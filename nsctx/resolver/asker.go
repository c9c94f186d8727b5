package resolver

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"github.com/nsreactor/nsreactor/nsctx"
)

// asker asks the servers of one resolv.conf for one namespace, remembers what
// they answer, and asks nothing twice at the same time.
type asker struct {
	conf      *resolvConf
	cacheSize int
	maxTTL    time.Duration
	grace     time.Duration

	rotation atomic.Uint32 // where the next question begins, if conf says rotate

	mu      sync.Mutex
	answers map[dns.Question]remembered
	queries map[queryKey]*query
}

type remembered struct {
	answer
	until time.Time
}

// queryKey has the Namespace and not its ID, so that nobody depends on how long
// another caller's descriptor stays open.
type queryKey struct {
	ns       *nsctx.Namespace
	question dns.Question
}

// query is a question under way, for all who wait for its answer.
type query struct {
	key     queryKey
	cancel  context.CancelFunc
	waiters int // the asker's mu guards it

	done chan struct{} // closed when the rest is set
	answer
	err error // why there is no answer
}

// result is an answer or the reason for none. The zero result is that of a query
// still under way.
type result struct {
	answer
	err error
}

func newAsker(conf *resolvConf, c Config) *asker {
	return &asker{
		conf: conf, cacheSize: c.CacheSize, maxTTL: c.MaxTTL, grace: c.FamilyGrace,
		answers: make(map[dns.Question]remembered),
		queries: make(map[queryKey]*query),
	}
}

// join returns a query that is done or that the caller is a waiter of, until leave.
func (a *asker) join(ns *nsctx.Namespace, question dns.Question) *query {
	a.mu.Lock()
	defer a.mu.Unlock()
	if known, ok := a.answers[question]; ok && time.Now().Before(known.until) {
		return &query{done: closed, answer: known.answer}
	}
	key := queryKey{ns, question}
	q := a.queries[key]
	if q == nil {
		// Not a caller's context: the first may leave before the others.
		ctx, cancel := context.WithCancel(context.Background())
		q = &query{key: key, cancel: cancel, done: make(chan struct{})}
		a.queries[key] = q
		go a.run(ctx, q)
	}
	q.waiters++
	return q
}

// leave ends a query that nobody waits for any more, and returns when it has
// ended: a lookup leaves nothing behind.
func (a *asker) leave(q *query) {
	if q.done == closed {
		return
	}
	a.mu.Lock()
	q.waiters--
	last := q.waiters == 0
	if last && a.queries[q.key] == q {
		delete(a.queries, q.key)
	}
	a.mu.Unlock()
	if last {
		q.cancel()
		<-q.done
	}
}

// run is the query's goroutine.
func (a *asker) run(ctx context.Context, q *query) {
	defer close(q.done)
	q.answer, q.err = a.ask(ctx, q.key.ns, q.key.question)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.queries[q.key] == q {
		delete(a.queries, q.key)
	}
	if q.err == nil {
		a.remember(q.key.question, q.answer)
	}
}

// remember needs mu.
func (a *asker) remember(question dns.Question, ans answer) {
	limit := a.maxTTL
	if ans.missing != nil {
		limit /= 10
	}
	ttl := min(ans.ttl, limit)
	if ttl <= 0 || a.cacheSize <= 0 {
		return
	}
	if _, ok := a.answers[question]; !ok && len(a.answers) >= a.cacheSize {
		a.makeRoom()
	}
	a.answers[question] = remembered{ans, time.Now().Add(ttl)}
}

// makeRoom looks at a few answers and drops those that have expired, or else the
// last one looked at. A map begins anywhere. It needs mu.
func (a *asker) makeRoom() {
	const few = 8
	now, looked := time.Now(), 0
	for question, known := range a.answers {
		looked++
		if looked == few || !now.Before(known.until) {
			delete(a.answers, question)
		}
		if looked == few {
			return
		}
	}
	if len(a.answers) >= a.cacheSize { // fewer than few, none expired
		dropAny(a.answers)
	}
}

func (q *query) result() result {
	select {
	case <-q.done:
		return result{q.answer, q.err}
	default:
		return result{}
	}
}

// closed is the done of queries that were answered before.
var closed = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()
