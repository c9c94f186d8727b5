package handlers_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/handlers"
	"github.com/nsreactor/nsreactor/nsctx"
	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

// peerAddress is where a tenant finds its peer's backend.
const peerAddress = "10.77.0.2:9"

// nobody is an address of no host: dialing it takes seconds.
const nobody = "10.77.0.99:9"

// backend serves port 9 of a namespace, a goroutine a connection, until the test
// ends.
func backend(t *testing.T, ns *nsctx.Namespace, serve func(*net.TCPConn)) {
	t.Helper()
	var listener net.Listener
	if err := ns.Do(func() (err error) {
		listener, err = net.Listen("tcp", ":9")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			conns.Go(func() {
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(patience))
				serve(conn.(*net.TCPConn))
			})
		}
	})
	t.Cleanup(conns.Wait)
	t.Cleanup(func() { _ = listener.Close() })
}

// proxied is a rig with a proxy to the tenant's peer, where serve is the backend.
func proxied(t *testing.T, cfg engine.Config, serve func(*net.TCPConn)) rig {
	t.Helper()
	r := serveProxy(t, cfg, handlers.Proxy{Address: peerAddress})
	backend(t, r.tenant.Peer, serve)
	return r
}

func serveProxy(t *testing.T, cfg engine.Config, p handlers.Proxy) rig {
	t.Helper()
	return serve(t, cfg, p, engine.AnyNamespace)
}

// mirror is a backend that sends back what it gets.
func mirror(conn *net.TCPConn) { copyAll(conn, conn) }

// copyAll is io.Copy without splice(2), whose pipes linger.
func copyAll(to io.Writer, from io.Reader) { _, _ = io.Copy(struct{ io.Writer }{to}, from) }

// trickle reads and writes in pieces of random sizes, with a pause now and then.
type trickle struct {
	net.Conn
	rng *rand.Rand
}

func (c trickle) Read(p []byte) (int, error) {
	c.dawdle()
	return c.Conn.Read(p[:min(len(p), 1+c.rng.IntN(30<<10))])
}

func (c trickle) Write(p []byte) (int, error) {
	for n := 0; n < len(p); {
		c.dawdle()
		m, err := c.Conn.Write(p[n:min(len(p), n+1+c.rng.IntN(30<<10))])
		n += m
		if err != nil {
			return n, err
		}
	}
	return len(p), nil
}

func (c trickle) dawdle() {
	if c.rng.IntN(20) == 0 {
		time.Sleep(time.Millisecond)
	}
}

// What goes in comes out, whoever is slow and whatever the marks are.
func TestProxyIsExact(t *testing.T) {
	for name, cfg := range map[string]engine.Config{
		"defaults":   {},
		"low marks":  {WriteHighWater: 1, ReadChunk: 4 << 10, ReadBufferMax: 4 << 10},
		"one window": {WriteHighWater: 16 << 10, ReadChunk: 4 << 10},
	} {
		for i, slow := range []string{"nobody", "client", "backend"} {
			t.Run(name+", "+slow+" is slow", func(t *testing.T) {
				r := proxied(t, cfg, func(conn *net.TCPConn) {
					if slow == "backend" {
						copyAll(trickle{conn, rand.New(rand.NewPCG(1, uint64(i)))}, conn)
						return
					}
					mirror(conn)
				})
				conn := r.dial(t)
				var client net.Conn = conn
				if slow == "client" {
					client = trickle{conn, rand.New(rand.NewPCG(2, uint64(i)))}
				}
				sent := noise(1<<20 + 17)
				var sending sync.WaitGroup
				sending.Go(func() {
					if _, err := (trickle{conn, rand.New(rand.NewPCG(3, uint64(i)))}).Write(sent); err != nil {
						t.Error(err)
					}
					if err := conn.CloseWrite(); err != nil {
						t.Error(err)
					}
				})
				got, err := io.ReadAll(client)
				sending.Wait()
				if err != nil || !bytes.Equal(got, sent) {
					t.Errorf("%d bytes came back of %d, or others; err %v", len(got), len(sent), err)
				}
			})
		}
	}
}

// The directions are independent: a peer that does not listen until it has said
// everything is listened to. One that waited for the other, as an engine's
// connection does by itself, would wait for ever.
func TestProxyDirectionsAreIndependent(t *testing.T) {
	const size = 16 << 20 // more than all the buffers on the way
	fromClient, fromBackend := noise(size), noise(size+1)
	received := make(chan []byte, 1)
	r := proxied(t, engine.Config{}, func(conn *net.TCPConn) {
		if _, err := conn.Write(fromBackend); err != nil {
			t.Error(err)
		}
		_ = conn.CloseWrite()
		b, err := io.ReadAll(conn)
		if err != nil {
			t.Error(err)
		}
		received <- b
	})
	conn := r.dial(t)
	var sending sync.WaitGroup
	sending.Go(func() {
		if _, err := conn.Write(fromClient); err != nil {
			t.Error(err)
		}
		_ = conn.CloseWrite()
	})
	got, err := io.ReadAll(conn)
	if err != nil || !bytes.Equal(got, fromBackend) {
		t.Errorf("the client got %d bytes of %d, or others; err %v", len(got), len(fromBackend), err)
	}
	sending.Wait()
	if got := <-received; !bytes.Equal(got, fromClient) {
		t.Errorf("the backend got %d bytes of %d, or others", len(got), len(fromClient))
	}
}

// Either side may be the first to have said all.
func TestProxyHalfClose(t *testing.T) {
	ask, answer := noise(100<<10), noise(200<<10)
	exchange := func(conn *net.TCPConn, first bool, say, hear []byte) error {
		speak := func() error {
			_, err := conn.Write(say)
			return errors.Join(err, conn.CloseWrite())
		}
		listen := func() error {
			b, err := io.ReadAll(conn)
			if err == nil && !bytes.Equal(b, hear) {
				err = errors.New("other bytes")
			}
			return err
		}
		if first {
			return errors.Join(speak(), listen())
		}
		return errors.Join(listen(), speak())
	}
	for _, clientFirst := range []bool{true, false} {
		r := proxied(t, engine.Config{}, func(conn *net.TCPConn) {
			if err := exchange(conn, !clientFirst, answer, ask); err != nil {
				t.Errorf("backend, the client being first %v: %v", clientFirst, err)
			}
		})
		if err := exchange(r.dial(t), clientFirst, ask, answer); err != nil {
			t.Errorf("client, being first %v: %v", clientFirst, err)
		}
	}
}

// A reset is passed on as one, in both directions, also to a peer that is not
// being read.
func TestProxyPassesResets(t *testing.T) {
	for name, stuff := range map[string]int{"idle": 0, "flooded": 8 << 20} {
		t.Run("from the client, "+name, func(t *testing.T) {
			ended := make(chan error, 1)
			greeted := make(chan struct{})
			r := proxied(t, engine.Config{}, func(conn *net.TCPConn) {
				_, _ = conn.Write([]byte("hello"))
				if _, err := conn.Write(make([]byte, stuff)); err != nil {
					ended <- err
					return
				}
				close(greeted)
				_, err := io.Copy(io.Discard, conn)
				ended <- err
			})
			conn := r.dial(t)
			if _, err := io.ReadFull(conn, make([]byte, 5)); err != nil {
				t.Fatal(err)
			}
			if stuff == 0 {
				<-greeted
			}
			_ = conn.SetLinger(0)
			_ = conn.Close()
			if err := <-ended; !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
				t.Errorf("the backend got %v", err)
			}
		})
		t.Run("from the backend, "+name, func(t *testing.T) {
			r := proxied(t, engine.Config{}, func(conn *net.TCPConn) {
				_, _ = io.ReadFull(conn, make([]byte, 5))
				_ = conn.SetLinger(0)
			})
			conn := r.dial(t)
			_, err := conn.Write([]byte("hello"))
			if err == nil && stuff > 0 {
				_, err = conn.Write(make([]byte, stuff))
			}
			if err == nil {
				_, err = io.Copy(io.Discard, conn)
			}
			if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
				t.Errorf("the client got %v", err)
			}
		})
	}
}

// wantReset wants a connection to be reset, whatever comes before.
func wantReset(t *testing.T, conn *net.TCPConn) {
	t.Helper()
	if n, err := io.Copy(io.Discard, conn); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("received %d bytes, then %v; want a reset", n, err)
	}
}

// refused wants what connects to be reset, be it before the client has noticed
// that it is connected.
func refused(t *testing.T, r rig) {
	t.Helper()
	conn, err := r.tenant.Dial(t.Context(), "tcp", 7)
	if err == nil {
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(patience))
		_, err = io.Copy(io.Discard, conn)
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v, want a reset", err)
	}
}

// Where there is no backend, the client is told at once, and it is counted.
func TestProxyBackendRefuses(t *testing.T) {
	r := serveProxy(t, engine.Config{}, handlers.Proxy{Address: peerAddress})
	refused(t, r)
	if s := r.stats(t); s.Errors[engine.ErrorDial] != 1 || s.Dialed != 0 {
		t.Errorf("%d failures, %d dialed", s.Errors[engine.ErrorDial], s.Dialed)
	}
	r = serveProxy(t, engine.Config{}, handlers.Proxy{Address: "nonsense"})
	refused(t, r)
}

// A backend that does not answer costs the client the timeout.
func TestProxyBackendHangs(t *testing.T) {
	r := serveProxy(t, engine.Config{}, handlers.Proxy{Address: nobody, Timeout: 20 * time.Millisecond})
	refused(t, r)
	if n := r.stats(t).Errors[engine.ErrorDialTimeout]; n != 1 {
		t.Errorf("%d timeouts", n)
	}
}

// What a client sends before there is a backend is held, but not all of it.
func TestProxyHoldsLittle(t *testing.T) {
	const high, chunk = 8 << 10, 4 << 10
	r := serveProxy(t, engine.Config{WriteHighWater: high, ReadChunk: chunk}, handlers.Proxy{Address: nobody, Timeout: patience})
	for i := range uint64(3) {
		conn := r.dial(t)
		if _, err := conn.Write(make([]byte, 32<<10)); err != nil {
			t.Fatal(err)
		}
		for r.stats(t).BytesIn <= (i+1)*high {
			time.Sleep(time.Millisecond)
		}
		if got := r.stats(t).BytesIn; got > (i+1)*(high+chunk) {
			t.Errorf("%d bytes are held of %d clients", got, i+1)
		}
	}
}

// A client that goes while its backend is being dialed ends the dial.
func TestProxyClientLeavesBeforeBackend(t *testing.T) {
	r := serveProxy(t, engine.Config{}, handlers.Proxy{Address: nobody, Timeout: patience})
	conn := r.dial(t)
	for r.stats(t).Conns != 2 {
		time.Sleep(time.Millisecond)
	}
	_ = conn.SetLinger(0)
	_ = conn.Close()
	for r.stats(t).Conns != 0 {
		time.Sleep(time.Millisecond)
	}
}

// Thousands of connections, one after the other on several loops, leave nothing.
func TestProxyLeavesNothing(t *testing.T) {
	const clients, each = 4, 500
	r := proxied(t, engine.Config{Loops: 2}, mirror)
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() {
			for j := range each {
				conn, err := r.tenant.Dial(t.Context(), "tcp", 7)
				if err != nil {
					t.Error(err)
					return
				}
				_ = conn.SetDeadline(time.Now().Add(patience))
				word := []byte{byte(i), byte(j), byte(j >> 8)}
				got := make([]byte, len(word))
				if _, err = conn.Write(word); err == nil {
					_, err = io.ReadFull(conn, got)
				}
				if err != nil || !bytes.Equal(got, word) {
					t.Errorf("sent %v, got %v, %v", word, got, err)
				}
				if j%3 == 0 {
					_ = conn.(*net.TCPConn).SetLinger(0)
				}
				_ = conn.Close()
			}
		})
	}
	all.Wait()
	for r.stats(t).Conns != 0 {
		time.Sleep(time.Millisecond)
	}
	if s := r.stats(t); s.Accepted != clients*each || s.Dialed != clients*each {
		t.Errorf("accepted %d, dialed %d", s.Accepted, s.Dialed)
	}
}

// Tenants with the same addresses have proxies to one backend in home.
func TestProxyToHome(t *testing.T) {
	lab := nstest.New(t)
	tenants := []*nstest.Tenant{lab.MustAdd(t, "a"), lab.MustAdd(t, "b")}
	home, err := nsctx.Home().Open()
	if err != nil {
		t.Fatal(err)
	}
	defer home.Close()
	backend(t, home, mirror)
	eng, err := engine.New(engine.Config{CheckThread: true, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	r := rig{eng: eng}
	defer r.shutdown(t)
	from, err := eng.Home()
	if err != nil {
		t.Fatal(err)
	}
	if err := eng.Handle("tcp", 7, handlers.Proxy{Address: "127.0.0.1:9", In: from}); err != nil {
		t.Fatal(err)
	}
	if err := eng.Watch(lab.Dir()); err != nil {
		t.Fatal(err)
	}
	for _, r.tenant = range tenants {
		conn := r.dial(t)
		if err := send(conn, []byte(r.tenant.Name)); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(conn); err != nil || string(got) != r.tenant.Name {
			t.Errorf("%s got %q, %v", r.tenant.Name, got, err)
		}
	}
}

// A drain leaves a pair its time, and resets it then: half a stream must not look
// like a whole one.
func TestProxyDrain(t *testing.T) {
	started := make(chan struct{}, 2)
	r := proxied(t, engine.Config{DrainTimeout: patience}, func(conn *net.TCPConn) {
		started <- struct{}{}
		mirror(conn)
	})
	quick, slow := r.dial(t), r.dial(t)
	<-started
	<-started
	ns := r.eng.Namespaces()[0]
	ended := make(chan error, 1)
	go func() { ended <- r.eng.Detach(t.Context(), ns) }()
	for ns.State() != engine.StateDraining {
		time.Sleep(time.Millisecond)
	}
	if err := send(quick, []byte("to the end")); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(quick); err != nil || string(got) != "to the end" {
		t.Errorf("got %q, %v", got, err)
	}
	short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	_ = r.eng.Detach(short, ns) // it need not be over when that is
	wantReset(t, slow)
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// Only what lives on one loop can be joined, and once.
func TestJoinRefuses(t *testing.T) {
	checked := make(chan error, 1)
	r := serve(t, engine.Config{}, joiner{checked: checked})
	r.dial(t)
	if err := <-checked; err != nil {
		t.Error(err)
	}
}

type joiner struct {
	handlers.Joined
	checked chan error
}

func (j joiner) OnOpen(c *engine.Conn) {
	other, err := c.Dial("tcp", nobody, handlers.Joined{})
	switch {
	case err != nil:
	case !errors.Is(handlers.Join(c, c), handlers.ErrJoin):
		err = errors.New("joined with itself")
	case handlers.Join(c, other) != nil:
		err = errors.New("not joined")
	case !errors.Is(handlers.Join(c, other), handlers.ErrJoin):
		err = errors.New("joined twice")
	}
	j.checked <- err
	c.Close()
}
