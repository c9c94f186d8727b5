package engine_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

// The promise: a thousand namespaces are attached by one Watch, which returns
// when all are served; all can be let go of again.
func TestThousandNamespaces(t *testing.T) {
	const count, clients = 1024, 8
	lab := nstest.New(t)
	var tenants []*nstest.Tenant
	start := time.Now()
	for i := range count {
		tenants = append(tenants, lab.MustAddBare(t, fmt.Sprintf("t%d", i)))
	}
	made := time.Since(start)
	eng := tameEngine(t, engine.Config{Loops: 2})
	w := new(witness)
	must(t, eng.Handle("tcp", lifePort, w))
	start = time.Now()
	must(t, eng.Watch(lab.Dir()))
	t.Logf("%d namespaces made in %v, attached in %v", count, made.Round(time.Millisecond), time.Since(start).Round(time.Millisecond))
	if n := len(eng.Namespaces()); n != count {
		t.Errorf("%d attached", n)
	}
	var asking sync.WaitGroup
	for i := range clients {
		asking.Go(func() {
			for j := i; j < count; j += clients {
				if err := ask(tenants[j], "tcp"); err != nil {
					t.Errorf("%s: %v", tenants[j].Name, err)
				}
			}
		})
	}
	asking.Wait()
	start = time.Now()
	for _, tenant := range tenants {
		must(t, tenant.Delete())
	}
	eventually(t, "all are released", func() bool { return len(eng.Namespaces()) == 0 })
	t.Logf("all deleted and released in %v", time.Since(start).Round(time.Millisecond))
	confirmed(t, eng, count)
	w.check(t)
}

// The promise: a namespace is served soon after it is there. How soon is only
// logged.
func TestServedSoonAfterCreation(t *testing.T) {
	lab := nstest.New(t)
	eng := tameEngine(t, engine.Config{Loops: 2})
	w := &openingWitness{opened: make(chan time.Time, 1)}
	must(t, eng.Handle("tcp", lifePort, w))
	must(t, eng.Watch(lab.Dir()))
	for _, kind := range []struct {
		name  string
		add   func(nstest.TB, string) *nstest.Tenant
		times int
	}{{"with a link", lab.MustAdd, 20}, {"bare", lab.MustAddBare, 50}} {
		var fromStart, fromEnd []time.Duration
		for range kind.times {
			start := time.Now()
			tenant := kind.add(t, "a")
			end := time.Now()
			c := callWhenServed(t, tenant, "tcp")
			opened := <-w.opened
			fromStart, fromEnd = append(fromStart, opened.Sub(start)), append(fromEnd, opened.Sub(end))
			c.expectWho(t, tenant.NS.ID())
			_ = c.Close()
			must(t, tenant.Delete())
		}
		t.Logf("%s: first accept %v after the name and its link were there, %v after their making began (medians of %d)",
			kind.name, median(fromEnd), median(fromStart), kind.times)
	}
	w.check(t)
}

// openingWitness says when a connection was opened.
type openingWitness struct {
	witness
	opened chan time.Time
}

func (w *openingWitness) OnOpen(c *engine.Conn) {
	w.opened <- time.Now()
	w.witness.OnOpen(c)
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2].Round(time.Microsecond)
}
