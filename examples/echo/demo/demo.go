package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/nsctx"
	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

// Config is what a demonstration is to show.
type Config struct {
	// Tenants is how many namespaces to make, at least 1.
	Tenants int
	// Port is served in all of them; 0 is one that the kernel chooses in each.
	Port int
	// Anywhere registers the handler with engine.AnyNamespace.
	Anywhere bool
	// Mode is what the report calls the way in which the engine switches.
	Mode string
	// Load is for how long there is load before the rebirth, and again after it.
	// Default: 1.5 s.
	Load time.Duration
	// Report gets the tables and the verdict, Progress a line now and then.
	Report, Progress io.Writer
}

// ErrInterrupted is the error of a demonstration that was ended early.
var ErrInterrupted = errors.New("interrupted")

// limit bounds what takes milliseconds: a namespace being served, one being let
// go of, the engine's end.
const limit = 30 * time.Second

// show is a demonstration while it runs.
type show struct {
	Config
	eng     *engine.Engine
	handler *responder
	began   time.Time

	dir     string
	lab     *nstest.Lab
	tenants []*nstest.Tenant
	crowds  []*crowd // one for each namespace, the reborn one after its predecessor
	rebirth rebirth

	namespaces map[nsctx.ID]engine.NamespaceStats // when the load was over
	loops      []engine.LoopStats                 // when the engine had stopped
}

// Run gives a demonstration with an engine that is fresh, and shuts it down. It
// needs the privilege to make namespaces, see [nstest.Reexec], and leaves none of
// them behind, also when ctx ends early. The error is nil if everything was as it
// should be; the report's last line says so too.
func Run(ctx context.Context, eng *engine.Engine, cfg Config) error {
	if cfg.Load == 0 {
		cfg.Load = 1500 * time.Millisecond
	}
	s := &show{Config: cfg, eng: eng, handler: newResponder(cfg.Anywhere), began: time.Now()}
	err := s.play(ctx)
	left := s.cleanUp()
	if ctx.Err() != nil {
		err = ErrInterrupted
		if left == nil {
			err = fmt.Errorf("%w; everything is cleaned up", err)
		}
	}
	err = errors.Join(err, left)
	s.report(err)
	return err
}

// play is the demonstration proper.
func (s *show) play(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer s.awaitCrowds()
	defer cancel() // before that: it ends the clients that an error leaves talking
	for _, act := range []func(context.Context) error{
		s.makeTenants, s.serve, s.gatherCrowds, s.watchLoad, s.replaceOne, s.watchLoad,
	} {
		if err := act(ctx); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	s.endLoad()
	return s.verify()
}

func (s *show) makeTenants(ctx context.Context) (err error) {
	if s.dir, err = makeDir(); err != nil {
		return err
	}
	s.say("making %s in %s, all with address 10.77.0.1", count(s.Tenants, "namespace"), s.dir)
	if s.lab, err = nstest.NewLab(s.dir); err != nil {
		return err
	}
	for i := range s.Tenants {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		t, err := s.lab.Add(fmt.Sprintf("tenant-%d", i+1))
		if err != nil {
			return err
		}
		s.tenants = append(s.tenants, t)
	}
	return nil
}

// makeDir prefers /run: where the program runs in a user namespace of its own,
// that is a file system of its own too, and goes with it however it ends.
func makeDir() (string, error) {
	const pattern = "nsreactor-demo-"
	if dir, err := os.MkdirTemp("/run", pattern); err == nil {
		return dir, nil
	}
	return os.MkdirTemp("", pattern)
}

func (s *show) serve(context.Context) error {
	var options []engine.HandleOption
	if s.Anywhere {
		options = append(options, engine.AnyNamespace)
	}
	if err := s.eng.Handle("tcp", s.Port, s.handler, options...); err != nil {
		return err
	}
	if err := s.eng.Watch(s.dir); err != nil {
		return err
	}
	s.say("serving port %d in all of them with %s, mode %s", s.Port, count(len(s.eng.Stats().Loops), "event loop"), s.Mode)
	return nil
}

// gatherCrowds connects to several tenants at once, until one can't be reached.
func (s *show) gatherCrowds(ctx context.Context) error {
	var (
		crowds  = make([]*crowd, len(s.tenants))
		errs    = make([]error, len(s.tenants))
		next    atomic.Int64
		failed  atomic.Bool
		dialing sync.WaitGroup
	)
	for range runtime.GOMAXPROCS(0) {
		dialing.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(crowds)) && !failed.Load(); i = next.Add(1) - 1 {
				if crowds[i], errs[i] = s.gather(ctx, s.tenants[i]); errs[i] != nil {
					failed.Store(true)
				}
			}
		})
	}
	dialing.Wait()
	if failed.Load() {
		return errors.Join(errs...) // ctx will end, and with it all connections
	}
	s.crowds = crowds
	for _, c := range crowds {
		c.begin(ctx)
	}
	s.say("talking over %s, each to the other end of its own veth pair", count(s.Tenants*s.crowdSize(), "connection"))
	return nil
}

// crowdSize keeps several connections on every loop, and their number in all in
// bounds.
func (s *show) crowdSize() int { return min(max(64/s.Tenants, 2), 8) }

// gather makes a tenant's crowd as soon as the tenant is served.
func (s *show) gather(ctx context.Context, t *nstest.Tenant) (*crowd, error) {
	ns, err := s.awaitServed(ctx, t.NS.ID())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t.Name, err)
	}
	return gather(ctx, t, s.crowdSize(), ns.Port("tcp", s.Port), s.Anywhere)
}

// awaitServed waits for a namespace to be attached and its port to be bound.
func (s *show) awaitServed(ctx context.Context, id nsctx.ID) (*engine.Namespace, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		if ns := s.attached(id); ns != nil && ns.Port("tcp", s.Port) != 0 {
			return ns, nil
		}
		select {
		case <-time.After(time.Millisecond): // who attaches tells nobody
		case <-ctx.Done():
			return nil, fmt.Errorf("namespace %v is not served: %w", id, ctx.Err())
		}
	}
}

func (s *show) attached(id nsctx.ID) *engine.Namespace {
	all := s.eng.Namespaces()
	if i := slices.IndexFunc(all, func(ns *engine.Namespace) bool { return ns.ID() == id }); i >= 0 {
		return all[i]
	}
	return nil
}

// watchLoad lets the clients talk, and says now and then how far they are.
func (s *show) watchLoad(ctx context.Context) error {
	end := time.After(s.Load)
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.say("%s messages verified, %s", grouped(s.messages()), count(s.failures(), "error"))
		case <-end:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *show) messages() (n uint64) {
	for _, c := range s.crowds {
		n += c.messages.Load()
	}
	return n
}

func (s *show) failures() (n int) {
	for _, c := range s.crowds {
		n += len(c.failures())
	}
	return n
}

// endLoad has all clients end in order, and takes down what the engine has
// counted for their namespaces.
func (s *show) endLoad() {
	for _, c := range s.crowds {
		close(c.stop)
	}
	s.awaitCrowds()
	s.namespaces = make(map[nsctx.ID]engine.NamespaceStats)
	for _, ns := range s.eng.Stats().Namespaces {
		s.namespaces[ns.ID] = ns
	}
}

func (s *show) awaitCrowds() {
	for _, c := range s.crowds {
		c.talking.Wait()
	}
}

// cleanUp is for a demonstration that was ended anywhere.
func (s *show) cleanUp() error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	err := s.eng.Shutdown(ctx)
	s.loops = s.eng.Stats().Loops
	if s.lab != nil {
		err = errors.Join(err, s.lab.Close())
	}
	if s.dir == "" {
		return err
	}
	// The lab has removed the directory, unless something is left in it.
	if e := os.Remove(s.dir); !errors.Is(e, os.ErrNotExist) {
		err = errors.Join(err, fmt.Errorf("something is left in %s: %w", s.dir, e))
	}
	return err
}

// say is a line of progress.
func (s *show) say(format string, args ...any) {
	fmt.Fprintf(s.Progress, "%5.1f s  %s\n", time.Since(s.began).Seconds(), fmt.Sprintf(format, args...))
}
