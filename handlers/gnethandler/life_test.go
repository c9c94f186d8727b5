package gnethandler_test

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/panjf2000/gnet/v2"
	gneterrors "github.com/panjf2000/gnet/v2/pkg/errors"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/handlers/gnethandler"
	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

// events is a handler made of functions.
type events struct {
	gnet.BuiltinEventEngine
	boot     func(gnet.Engine) gnet.Action
	shutdown func(gnet.Engine)
	open     func(gnet.Conn) ([]byte, gnet.Action)
	traffic  func(gnet.Conn) gnet.Action
	close    func(gnet.Conn, error) gnet.Action
	tick     func() (time.Duration, gnet.Action)
}

func (e *events) OnBoot(eng gnet.Engine) gnet.Action {
	if e.boot != nil {
		return e.boot(eng)
	}
	return gnet.None
}

func (e *events) OnShutdown(eng gnet.Engine) {
	if e.shutdown != nil {
		e.shutdown(eng)
	}
}

func (e *events) OnOpen(c gnet.Conn) ([]byte, gnet.Action) {
	if e.open != nil {
		return e.open(c)
	}
	return nil, gnet.None
}

func (e *events) OnTraffic(c gnet.Conn) gnet.Action {
	if e.traffic != nil {
		return e.traffic(c)
	}
	return gnet.None
}

func (e *events) OnClose(c gnet.Conn, err error) gnet.Action {
	if e.close != nil {
		return e.close(c, err)
	}
	return gnet.None
}

func (e *events) OnTick() (time.Duration, gnet.Action) { return e.tick() }

// wait receives, or ends the test if nothing comes.
func wait[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

func TestBootAndShutdownGetTheEmptyEngine(t *testing.T) {
	var booted, ended int
	check := func(e gnet.Engine) {
		_, err := e.Dup()
		if !errors.Is(errors.Join(e.Validate(), err, e.Stop(t.Context())), gneterrors.ErrEmptyEngine) || e.CountConnections() != -1 {
			t.Error("not the empty engine")
		}
	}
	h, err := gnethandler.New(&events{
		boot:     func(e gnet.Engine) gnet.Action { booted++; check(e); return gnet.None },
		shutdown: func(e gnet.Engine) { ended++; check(e) },
	}, gnethandler.Config{})
	if err != nil || booted != 1 {
		t.Fatalf("%v, booted %d times", err, booted)
	}
	h.Close()
	h.Close()
	if ended != 1 {
		t.Errorf("OnShutdown called %d times", ended)
	}
}

func TestNewRefuses(t *testing.T) {
	refuses := &events{boot: func(gnet.Engine) gnet.Action { return gnet.Shutdown }}
	for _, h := range []gnet.EventHandler{nil, refuses} {
		if _, err := gnethandler.New(h, gnethandler.Config{}); !errors.Is(err, gnethandler.ErrNotServed) {
			t.Errorf("got %v", err)
		}
	}
}

func TestTicksUntilClose(t *testing.T) {
	ticks, shut := make(chan int, 1), make(chan bool)
	n := 0
	h, err := gnethandler.New(&events{tick: func() (time.Duration, gnet.Action) {
		n++
		select {
		case ticks <- n:
		default:
		}
		return time.Millisecond, gnet.Shutdown
	}}, gnethandler.Config{Ticker: true, Shutdown: func() { close(shut) }}) // a second close would panic
	if err != nil {
		t.Fatal(err)
	}
	wait(t, shut)
	for n := 0; n < 3; {
		n = wait(t, ticks)
	}
	h.Close() // and the leak check sees that nothing ticks any more
}

// OnShutdown finds no OnTick under way.
func TestCloseWaitsForTick(t *testing.T) {
	started, release := make(chan bool), make(chan bool)
	ended := false
	h, err := gnethandler.New(&events{
		tick: func() (time.Duration, gnet.Action) {
			started <- true
			<-release
			ended = true
			return time.Hour, gnet.None
		},
		shutdown: func(gnet.Engine) {
			if !ended {
				t.Error("OnTick has not returned")
			}
		},
	}, gnethandler.Config{Ticker: true})
	if err != nil {
		t.Fatal(err)
	}
	wait(t, started)
	time.AfterFunc(time.Millisecond, func() { close(release) })
	h.Close()
}

// The action Shutdown closes the connection, and does what the program wants
// done, once.
func TestShutdownAction(t *testing.T) {
	lab := nstest.New(t)
	tenant := lab.MustAdd(t, "a")
	closed := make(chan error, 2)
	shut := make(chan bool, 2)
	serve(t, lab, &events{
		traffic: func(gnet.Conn) gnet.Action { return gnet.Shutdown },
		close:   func(_ gnet.Conn, err error) gnet.Action { closed <- err; return gnet.Shutdown },
	}, gnethandler.Config{Shutdown: func() { shut <- true }})
	for range 2 {
		c := dial(t, tenant, enginePort)
		if _, err := c.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if err := wait(t, closed); err != nil {
			t.Errorf("closed with %v", err)
		}
		if b, err := io.ReadAll(c); err != nil || len(b) > 0 {
			t.Errorf("read %q, %v", b, err)
		}
	}
	wait(t, shut)
	if len(shut) > 0 {
		t.Error("shut down twice")
	}
}

// The same on gnet, so that what is compared to is what gnet does.
func TestShutdownActionOnGnet(t *testing.T) {
	tenant := nstest.New(t).MustAdd(t, "a")
	closed := make(chan error, 1)
	ended := serveByGnet(t, "tcp", tenant, &events{
		traffic: func(gnet.Conn) gnet.Action { return gnet.Shutdown },
		close:   func(_ gnet.Conn, err error) gnet.Action { closed <- err; return gnet.None },
	})
	c := dial(t, tenant, gnetPort)
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := wait(t, closed); err != nil {
		t.Errorf("closed with %v", err)
	}
	wait(t, ended)
}

// One handler value serves tenants that have the same address, each connection
// in its own namespace, and can tell them apart.
func TestNamespaces(t *testing.T) {
	lab := nstest.New(t)
	tenants := []*nstest.Tenant{lab.MustAdd(t, "a"), lab.MustAdd(t, "b")}
	names := make(chan string, len(tenants))
	serve(t, lab, &events{open: func(c gnet.Conn) ([]byte, gnet.Action) {
		if err := gnethandler.Enter(c); err != nil {
			t.Error(err)
		}
		names <- gnethandler.Namespace(c).Name()
		return []byte(gnethandler.Namespace(c).Name()), gnet.Close
	}}, gnethandler.Config{})
	for _, tenant := range tenants {
		b, err := io.ReadAll(dial(t, tenant, enginePort))
		if got := wait(t, names); err != nil || got != tenant.Name || string(b) != got {
			t.Errorf("%s: served as %s, read %q, %v", tenant.Name, got, b, err)
		}
	}
	if ns, err := gnethandler.Namespace(nil), gnethandler.Enter(nil); ns != nil || err == nil {
		t.Errorf("a foreign Conn is in %v, and entering it gives %v", ns, err)
	}
}

// A drain closes connections as gnet's shutdown does, after the replies.
func TestDrainCloses(t *testing.T) {
	lab := nstest.New(t)
	tenant := lab.MustAdd(t, "a")
	closed := make(chan error, 1)
	eng := serve(t, lab, &events{close: func(c gnet.Conn, err error) gnet.Action {
		_, _ = c.Write([]byte("gone"))
		closed <- err
		return gnet.None
	}}, gnethandler.Config{})
	c := dial(t, tenant, enginePort)
	accepted(t, eng)
	detached := detach(t, eng)
	if err := wait(t, closed); err != nil {
		t.Errorf("closed with %v", err)
	}
	if b, err := io.ReadAll(c); err != nil || string(b) != "gone" {
		t.Errorf("read %q, %v", b, err)
	}
	_ = c.Close()
	if err := wait(t, detached); err != nil {
		t.Error(err)
	}
}

// accepted waits until the only tenant has a connection.
func accepted(t *testing.T, eng *engine.Engine) {
	t.Helper()
	for deadline := time.Now().Add(patience); eng.Stats().Namespaces[0].Conns == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("no connection")
		}
	}
}

// detach drains the only tenant meanwhile.
func detach(t *testing.T, eng *engine.Engine) <-chan error {
	t.Helper()
	detached := make(chan error, 1)
	ns := eng.Namespaces()[0]
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		detached <- eng.Detach(ctx, ns)
	}()
	return detached
}

// patient finishes what it is at.
type patient struct{ events }

func (patient) OnDrain(c gnet.Conn) gnet.Action {
	_, _ = c.Write([]byte("one moment"))
	return gnet.None
}

func TestDrainerFinishes(t *testing.T) {
	lab := nstest.New(t)
	tenant := lab.MustAdd(t, "a")
	eng := serve(t, lab, &patient{events{traffic: func(c gnet.Conn) gnet.Action {
		_, _ = c.Next(-1)
		_, _ = c.Write([]byte(", done"))
		return gnet.Close
	}}}, gnethandler.Config{})
	c := dial(t, tenant, enginePort)
	accepted(t, eng)
	detached := detach(t, eng)
	got := make([]byte, 10)
	if _, err := io.ReadFull(c, got); err != nil || string(got) != "one moment" {
		t.Fatalf("read %q, %v", got, err)
	}
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(c); err != nil || string(b) != ", done" {
		t.Errorf("read %q, %v", b, err)
	}
	_ = c.Close()
	if err := wait(t, detached); err != nil {
		t.Error(err)
	}
}

// A reply that the write buffer has no room for ends the connection as a failed
// write does on gnet: OnClose at once, a reset for the peer, and no OnTraffic
// for what has arrived meanwhile.
func TestOverflowResets(t *testing.T) {
	lab := nstest.New(t)
	tenant := lab.MustAdd(t, "a")
	var calls []string
	done := make(chan bool)
	serveWith(t, lab, engine.Config{Loops: 1, WriteHighWater: 4, WriteBufferMax: 4}, &events{
		traffic: func(c gnet.Conn) gnet.Action {
			calls = append(calls, "traffic")
			if err := c.Wake(func(gnet.Conn, error) error { close(done); return nil }); err != nil {
				t.Error(err)
			}
			for range 2 {
				if _, err := c.Write([]byte("too long")); !errors.Is(err, engine.ErrOverflow) && !errors.Is(err, net.ErrClosed) {
					t.Errorf("write: %v", err)
				}
			}
			if n := c.InboundBuffered(); n != 0 {
				t.Errorf("%d bytes can still be read", n)
			}
			return gnet.None
		},
		close: func(c gnet.Conn, err error) gnet.Action {
			if !errors.Is(err, engine.ErrOverflow) {
				t.Errorf("closed with %v", err)
			}
			calls = append(calls, "close")
			return gnet.None
		},
	}, gnethandler.Config{})
	c := dial(t, tenant, enginePort)
	if _, err := c.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(c); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("read: %v; want a reset", err)
	}
	wait(t, done)
	if len(calls) != 2 || calls[1] != "close" {
		t.Errorf("calls: %v", calls)
	}
}

// A panic costs its connection, which gnet's users are not used to, and OnClose
// says so.
func TestPanicCloses(t *testing.T) {
	lab := nstest.New(t)
	tenant := lab.MustAdd(t, "a")
	closed := make(chan error, 1)
	serve(t, lab, &events{
		traffic: func(gnet.Conn) gnet.Action { panic("oops") },
		close:   func(_ gnet.Conn, err error) gnet.Action { closed <- err; return gnet.None },
	}, gnethandler.Config{})
	if _, err := dial(t, tenant, enginePort).Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := wait(t, closed); !errors.Is(err, engine.ErrPanic) {
		t.Errorf("closed with %v", err)
	}
}

// The engine calls OnData again for what was left when a slow peer has made
// room; gnet's OnTraffic is for new bytes only.
func TestNoTrafficWithoutNewBytes(t *testing.T) {
	lab := nstest.New(t)
	tenant := lab.MustAdd(t, "a")
	const size = 8 << 20 // more than the kernel takes
	var calls atomic.Int32
	serve(t, lab, &events{traffic: func(c gnet.Conn) gnet.Action {
		if calls.Add(1) == 1 {
			_, _ = c.Write(make([]byte, size))
		}
		return gnet.None // and leaves the byte
	}}, gnethandler.Config{})
	c := dial(t, tenant, enginePort)
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if n, err := io.CopyN(io.Discard, c, size); err != nil {
		t.Fatalf("read %d: %v", n, err)
	}
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(c); err != nil {
		t.Fatal(err)
	}
	if n := calls.Load(); n != 1 {
		t.Errorf("%d calls of OnTraffic for one byte", n)
	}
}

// What gnet declares safe from any goroutine is, while the connection ends; the
// race detector watches, and every callback comes.
func TestAnyGoroutine(t *testing.T) {
	lab := nstest.New(t)
	tenant := lab.MustAdd(t, "a")
	conns := make(chan gnet.Conn, 1)
	serve(t, lab, &events{open: func(c gnet.Conn) ([]byte, gnet.Action) { conns <- c; return nil, gnet.None }}, gnethandler.Config{})
	for range 20 {
		client := dial(t, tenant, enginePort)
		c := wait(t, conns)
		var all sync.WaitGroup
		called := func(gnet.Conn, error) error { all.Done(); return nil }
		for i := range 8 {
			all.Add(4)
			all.Go(func() {
				err := errors.Join(c.AsyncWrite([]byte("x"), called), c.AsyncWritev([][]byte{{'y'}}, called), c.Wake(called))
				if i == 4 {
					_ = client.Close()
				}
				_, _, _ = c.LocalAddr(), c.RemoteAddr(), c.Fd()
				for _, e := range []error{c.SetNoDelay(true), c.SetLinger(-1), c.SetReadBuffer(1 << 16)} {
					if e != nil && !errors.Is(e, net.ErrClosed) {
						t.Error(e)
					}
				}
				if err := errors.Join(err, c.CloseWithCallback(called)); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	}
}

// A Conn that is kept beyond the engine's end says so.
func TestAfterTheEngine(t *testing.T) {
	lab := nstest.New(t)
	tenant := lab.MustAdd(t, "a")
	conns := make(chan gnet.Conn, 1)
	eng := serve(t, lab, &events{open: func(c gnet.Conn) ([]byte, gnet.Action) { conns <- c; return nil, gnet.Close }}, gnethandler.Config{})
	client := dial(t, tenant, enginePort)
	c := wait(t, conns)
	if _, err := io.ReadAll(client); err != nil {
		t.Fatal(err)
	}
	_ = client.Close()
	if err := eng.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	never := func(gnet.Conn, error) error { t.Error("called back"); return nil }
	idle := gnet.RunnableFunc(func(context.Context) error { t.Error("executed"); return nil })
	for _, err := range []error{
		c.AsyncWrite(nil, never), c.AsyncWritev(nil, never), c.Wake(never), c.Close(), c.CloseWithCallback(never),
		c.EventLoop().Execute(t.Context(), idle),
	} {
		if !errors.Is(err, gneterrors.ErrEngineInShutdown) {
			t.Errorf("got %v", err)
		}
	}
	if err := c.SetNoDelay(true); !errors.Is(err, net.ErrClosed) || c.Fd() != -1 {
		t.Errorf("set an option: %v; descriptor %d", err, c.Fd())
	}
}
