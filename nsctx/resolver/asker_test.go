package resolver

import (
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func testAsker(c Config) *asker { return newAsker(noResolvConf, c.withDefaults()) }

func question(i int) dns.Question {
	return dns.Question{Name: fmt.Sprintf("host%d.example.", i), Qtype: dns.TypeA, Qclass: dns.ClassINET}
}

func TestMemoryIsBounded(t *testing.T) {
	for _, size := range []int{1, 5, 100} {
		a := testAsker(Config{CacheSize: size})
		for i := range 10 * size {
			a.remember(question(i), answer{ttl: time.Minute})
			if _, ok := a.answers[question(i)]; !ok || len(a.answers) > size {
				t.Fatalf("size %d: %d answers, the newest among them: %t", size, len(a.answers), ok)
			}
		}
	}
}

// What has expired goes before what has not.
func TestExpiredAnswersMakeRoom(t *testing.T) {
	a := testAsker(Config{CacheSize: 4})
	for i := range 3 {
		a.remember(question(i), answer{ttl: time.Nanosecond})
	}
	a.remember(question(3), answer{ttl: time.Hour})
	a.remember(question(4), answer{ttl: time.Hour})
	if _, ok := a.answers[question(3)]; !ok || len(a.answers) != 2 {
		t.Errorf("%d answers are left, the one that has not expired among them: %t", len(a.answers), ok)
	}
}

func TestTimeToLiveIsLimited(t *testing.T) {
	a := testAsker(Config{MaxTTL: time.Minute})
	a.remember(question(0), answer{ttl: time.Hour})
	a.remember(question(1), answer{ttl: time.Hour, missing: ErrNotFound})
	a.remember(question(2), answer{ttl: time.Second})
	for i, limit := range []time.Duration{time.Minute, 6 * time.Second, time.Second} {
		if left := time.Until(a.answers[question(i)].until); left <= 0 || left > limit {
			t.Errorf("answer %d is remembered for another %v, want up to %v", i, left, limit)
		}
	}
	a.remember(question(3), answer{ttl: 0})
	if _, ok := a.answers[question(3)]; ok {
		t.Error("an answer without a time to live is remembered")
	}
	if got := seconds(math.MaxInt32 + 1); got != 0 {
		t.Errorf("a time to live with its highest bit set is %v, want 0", got)
	}
}

// An answer that has expired is not given any more, though it is still there.
func TestExpiredAnswerIsAskedForAgain(t *testing.T) {
	a := testAsker(Config{})
	a.answers[question(0)] = remembered{answer{missing: ErrNotFound}, time.Now().Add(time.Hour)}
	a.answers[question(1)] = remembered{answer{missing: ErrNotFound}, time.Now()}
	// A query under way, for join to find.
	key := queryKey{nil, question(1)}
	asked := &query{key: key, waiters: 1, done: make(chan struct{})}
	a.queries[key] = asked
	if q := a.join(nil, question(0)); !errors.Is(q.result().missing, ErrNotFound) {
		t.Error("what is known is asked for")
	}
	if q := a.join(nil, question(1)); q != asked || q.waiters != 2 {
		t.Error("what has expired is not asked for")
	}
}

// Nobody can join a query that its last waiter has left, since it is about to fail;
// and leave returns when it has ended.
func TestLastWaiterEndsTheQuery(t *testing.T) {
	a := testAsker(Config{})
	q := &query{key: queryKey{nil, question(0)}, waiters: 2, done: make(chan struct{})}
	a.queries[q.key] = q
	cancelled := false
	q.cancel = func() {
		if a.queries[q.key] != nil {
			t.Error("it is cancelled and can still be joined")
		}
		go func() {
			time.Sleep(10 * time.Millisecond)
			cancelled = true
			close(q.done)
		}()
	}
	a.leave(q)
	if a.queries[q.key] != q {
		t.Error("it ends before its last waiter leaves")
	}
	a.leave(q)
	if !cancelled {
		t.Error("leave returns before the query has ended")
	}
}

// RFC 2308, section 5: the smaller of the record's own time and of what it says.
func TestNegativeTTL(t *testing.T) {
	for record, want := range map[string]time.Duration{
		"example. 30 SOA ns.example. admin.example. 1 60 60 60 90": 30 * time.Second,
		"example. 90 SOA ns.example. admin.example. 1 60 60 60 30": 30 * time.Second,
		"example. 90 NS ns.example.":                               0,
	} {
		rr, err := dns.NewRR(record)
		if err != nil {
			t.Fatal(err)
		}
		if got := negativeTTL(&dns.Msg{Ns: []dns.RR{rr}}); got != want {
			t.Errorf("%s: %v, want %v", record, got, want)
		}
	}
}

// An answer with thousands of addresses is cut.
func TestAddressesAreLimited(t *testing.T) {
	reply := new(dns.Msg).SetQuestion("db.example.", dns.TypeA)
	for i := range 1000 {
		rr, err := dns.NewRR(fmt.Sprintf("db.example. 60 A 10.0.%d.%d", i/256, i%256))
		if err != nil {
			t.Fatal(err)
		}
		reply.Answer = append(reply.Answer, rr)
	}
	ans, err := readAnswer(reply, reply.Question[0])
	if err != nil || len(ans.addrs) != maxAddrs {
		t.Errorf("%d addresses, %v; want %d", len(ans.addrs), err, maxAddrs)
	}
}
