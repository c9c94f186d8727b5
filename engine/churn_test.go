package engine_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/nsctx"
	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

// The promise: while namespaces come and go, fifty a second for half a minute,
// with connections into them, everybody is served in the right namespace, those
// that stay lose nothing, and in the end the kernel confirms that all that
// went are gone.
func TestChurn(t *testing.T) {
	const births, living, enough = 1500, 32, time.Minute // a slow machine makes fewer
	lab := nstest.New(t)
	eng := tameEngine(t, engine.Config{Loops: 2})
	w := new(witness)
	must(t, eng.Handle("tcp", lifePort, w))
	var stable []*nstest.Tenant
	for _, name := range []string{"stable-a", "stable-b", "stable-c", "stable-d"} {
		stable = append(stable, lab.MustAdd(t, name))
	}
	must(t, eng.Watch(lab.Dir()))
	var stops []func() int
	for i := range stable {
		stops = append(stops, load(t, stable[i]), load(t, stable...))
	}
	stopVisits := visit(t, stable)

	ch := &churn{lab: lab}
	var lives sync.WaitGroup
	slots := make(chan struct{}, living)
	ticker := time.NewTicker(time.Second / 50)
	defer ticker.Stop()
	start := time.Now()
	born := 0
	for ; born < births && time.Since(start) < enough && !t.Failed(); born++ {
		<-ticker.C
		slots <- struct{}{}
		i := born
		lives.Go(func() {
			defer func() { <-slots }()
			if err := ch.live(i); err != nil {
				t.Errorf("life %d: %v", i, err)
			}
		})
	}
	lives.Wait()
	took := time.Since(start)
	answers, visits := 0, stopVisits()
	for _, stop := range stops {
		answers += stop()
	}
	t.Logf("%d namespaces in %v, %.1f a second; %d answers and %d visits elsewhere meanwhile",
		born, took.Round(time.Millisecond), float64(born)/took.Seconds(), answers, visits)
	if answers == 0 || visits == 0 {
		t.Error("no load")
	}
	for _, r := range ch.releases {
		if err := r.Wait(hanging(t)); err != nil {
			t.Fatal(err)
		}
		_ = r.Close()
	}
	eventually(t, "only the stable are left", func() bool { return len(eng.Namespaces()) == len(stable) })
	s := eng.Stats()
	if s.Released < uint64(ch.served) || s.Released > uint64(len(ch.releases)) || s.Abandoned != 0 {
		t.Errorf("%d released and %d abandoned, of %d that were served and %d in all",
			s.Released, s.Abandoned, ch.served, len(ch.releases))
	}
	for _, ns := range s.Namespaces {
		for kind, n := range ns.Errors {
			if kind := engine.ErrorKind(kind); n > 0 {
				t.Errorf("%v: %d errors of kind %v", ns.Names, n, kind)
			}
		}
		if ns.Rejected > 0 {
			t.Errorf("%v: %d rejected", ns.Names, ns.Rejected)
		}
	}
	w.check(t)
	must(t, eng.Shutdown(hanging(t)))
	for _, l := range eng.Stats().Loops {
		if l.Conns != 0 || l.Listeners != 0 || l.Mailbox != 0 || l.Namespace != "" {
			t.Errorf("left over: %+v", l)
		}
	}
}

// visit makes one short connection after the other to tenants, until it is
// stopped.
func visit(t *testing.T, tenants []*nstest.Tenant) (stop func() (visits int)) {
	ctx, cancel := context.WithCancel(context.Background())
	var visitor sync.WaitGroup
	visits := 0
	visitor.Go(func() {
		for ; ctx.Err() == nil; visits++ {
			tenant := tenants[visits%len(tenants)]
			network := []string{"tcp4", "tcp6"}[visits/len(tenants)%2]
			if err := ask(tenant, network); err != nil {
				t.Errorf("visit %d to %s: %v", visits, tenant.Name, err)
				return
			}
		}
	})
	return func() int {
		cancel()
		visitor.Wait()
		return visits
	}
}

// ask makes a connection to a tenant for one question.
func ask(tenant *nstest.Tenant, network string) error {
	conn, err := tenant.Dial(context.Background(), network, lifePort)
	if err != nil {
		return err
	}
	defer conn.Close()
	return who(newCaller(conn), tenant.NS.ID())
}

func who(c *caller, id nsctx.ID) error {
	got, err := c.try("who")
	if err != nil {
		return err
	}
	if got != id.String()+" " {
		return fmt.Errorf("served by %q instead of %v", got, id)
	}
	return nil
}

// churn is what short-lived namespaces leave behind.
type churn struct {
	lab *nstest.Lab

	mu       sync.Mutex
	releases []*nsctx.Release
	served   int // of them
}

// live is the life of a namespace, of one of several kinds.
func (ch *churn) live(i int) (err error) {
	tenant, err := ch.lab.AddBare(fmt.Sprintf("short-%d", i))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, tenant.Delete()) }()
	if err := ch.track(tenant, i%5 != 0); err != nil {
		return err
	}
	switch i % 5 {
	case 0: // gone before anybody need have seen it
		return tenant.Delete()
	case 1: // the client leaves first
		return ch.visitAndLeave(tenant)
	case 2: // the namespace is deleted under the connection
		return ch.deleted(tenant, "", "drain\n")
	case 3: // and the handler does not care
		return ch.deleted(tenant, "stay", "")
	default: // the name comes back at once
		if err := ch.visitAndLeave(tenant); err != nil {
			return err
		}
		if err := tenant.Recreate(); err != nil {
			return err
		}
		return errors.Join(ch.track(tenant, true), ch.visitAndLeave(tenant))
	}
}

func (ch *churn) track(tenant *nstest.Tenant, served bool) error {
	release, err := tenant.NS.Track()
	if err != nil {
		return err
	}
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.releases = append(ch.releases, release)
	if served {
		ch.served++
	}
	return nil
}

// enter connects to a namespace as soon as it is served.
func (ch *churn) enter(tenant *nstest.Tenant) (*caller, error) {
	for deadline := time.Now().Add(hang); ; time.Sleep(time.Millisecond) {
		conn, err := tenant.Dial(context.Background(), "tcp", lifePort)
		if err == nil {
			return newCaller(conn), nil
		}
		if !errors.Is(err, syscall.ECONNREFUSED) || time.Now().After(deadline) {
			return nil, err
		}
	}
}

func (ch *churn) visitAndLeave(tenant *nstest.Tenant) error {
	c, err := ch.enter(tenant)
	if err != nil {
		return err
	}
	defer c.Close()
	for range 3 {
		if err := who(c, tenant.NS.ID()); err != nil {
			return err
		}
	}
	return nil
}

func (ch *churn) deleted(tenant *nstest.Tenant, line, farewell string) error {
	c, err := ch.enter(tenant)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := who(c, tenant.NS.ID()); err != nil {
		return err
	}
	if line != "" {
		if _, err := c.try(line); err != nil {
			return err
		}
	}
	id := tenant.NS.ID()
	if err := tenant.Delete(); err != nil {
		return err
	}
	if farewell == "" {
		return who(c, id)
	}
	if rest, err := c.rest(); rest != farewell || err != nil {
		return fmt.Errorf("at the end: %q, %w", rest, err)
	}
	return nil
}
