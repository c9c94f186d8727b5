package engine

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nsreactor/nsreactor/nsctx"
	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

// medley is a handler each of whose messages has it do something else, at random, so
// that all that a connection can have under way meets all that can end it.
type medley struct {
	BaseHandler
	begun, ended   atomic.Int64 // calls that are answered once, and their answers
	opened, closed atomic.Int64
}

func (m *medley) OnOpen(c *Conn) { m.opened.Add(1) }

func (m *medley) OnClose(c *Conn, _ error) {
	if c.Context() != dialedContext {
		m.closed.Add(1)
	}
}

const dialedContext = "dialed"

// dialedMedley is what medley dials with.
type dialedMedley struct {
	BaseHandler
	*medley
}

func (d dialedMedley) OnOpen(c *Conn)       { _, _ = c.Write([]byte("hello")) }
func (d dialedMedley) OnData(c *Conn)       { c.Discard(c.Buffered()); c.Close() }
func (d dialedMedley) OnReadEOF(c *Conn)    { c.Close() }
func (d dialedMedley) OnWritable(*Conn)     {}
func (d dialedMedley) OnWake(*Conn)         {}
func (d dialedMedley) OnTimer(*Conn)        {}
func (d dialedMedley) OnDrain(c *Conn)      { c.Close() }
func (d dialedMedley) OnClose(*Conn, error) { d.ended.Add(1) }

func (m *medley) OnData(c *Conn) {
	if rand.IntN(2) == 0 {
		c.Discard(c.Buffered())
	}
	for range 1 + rand.IntN(3) {
		m.act(c)
	}
	_, _ = c.Write([]byte("k"))
}

func (m *medley) act(c *Conn) {
	switch rand.IntN(14) {
	case 0, 1:
		m.begun.Add(1)
		err := c.Go(Work{
			Run: func(ctx context.Context) error {
				select {
				case <-ctx.Done():
				case <-time.After(time.Duration(rand.IntN(2000)) * time.Microsecond):
				}
				return nil
			},
			Done:    func(c *Conn, _ error) { m.ended.Add(1); _, _ = c.Write([]byte("w")) },
			Dropped: func(error) { m.ended.Add(1) },
			InOrder: rand.IntN(2) == 0, InNamespace: rand.IntN(3) == 0,
		})
		if err != nil {
			m.ended.Add(1)
		}
	case 2:
		c.AfterFunc(time.Duration(rand.IntN(3))*time.Millisecond, func(c *Conn) { m.act(c) })
	case 3:
		c.Pause()
		c.AfterFunc(time.Millisecond, (*Conn).Resume)
	case 4:
		c.ReadInto(make([]byte, rand.IntN(4)), func(c *Conn) { _, _ = c.Write([]byte("r")) })
	case 5:
		m.begun.Add(1)
		d, err := c.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(labPort)), dialedMedley{medley: m}, WithContext(dialedContext))
		if err != nil {
			m.ended.Add(1)
			return
		}
		if rand.IntN(4) == 0 {
			d.Close()
		}
	case 6:
		m.begun.Add(1)
		c.AsyncWrite([]byte("a"), func(error) { m.ended.Add(1) })
	case 7:
		if nc, err := c.Detach(); err == nil {
			m.begun.Add(1)
			go func() {
				defer m.ended.Add(1)
				_, _ = nc.Write([]byte("detached"))
				_ = nc.SetReadDeadline(time.Now().Add(time.Millisecond))
				_, _ = io.Copy(io.Discard, nc)
				_ = nc.Close()
			}()
		}
	case 8:
		c.Close()
	case 9:
		c.CloseWith(io.ErrNoProgress)
	case 10:
		c.CloseNow()
	case 11:
		p, err := c.OpenPacket(c.Namespace(), 0, BasePacketHandler{})
		if err == nil {
			_ = p.Send(PacketPath{Remote: netip.MustParseAddrPort("127.0.0.1:9")}, []byte("x"))
			p.Close()
		}
	case 12:
		c.SetFilter(&touchy{on: 'r', mishap: func() { panic("filter") }})
	case 13:
		c.Hold()
		m.begun.Add(1)
		c.Call(func(c *Conn) { c.Release(); m.ended.Add(1) })
	}
}

// Whatever is under way when a connection, its namespace or the engine ends, each thing
// that was begun is answered once, each connection gets its OnClose, no total falls and
// (see TestMain) no descriptor stays.
func TestEverythingMeetsEveryEnd(t *testing.T) {
	for name, cfg := range map[string]Config{
		"on change": {Loops: 2},
		"always":    {Loops: 2, Switch: SwitchAlways, Workers: 1, WorkQueue: 4, MaxConnsPerNamespace: 8},
	} {
		t.Run(name, func(t *testing.T) {
			lab := nstest.New(t)
			m := &medley{}
			cfg.CheckThread, cfg.Logger = true, slog.New(slog.DiscardHandler)
			eng, err := New(cfg)
			unitMust(t, err)
			stopped := sync.OnceFunc(func() {
				ctx, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
				defer cancel()
				if err := eng.Shutdown(ctx); err != nil && !errors.Is(err, ErrDrained) {
					t.Error(err)
				}
			})
			defer stopped()
			unitMust(t, eng.Handle("tcp", labPort, m))
			tenants := []*nstest.Tenant{lab.MustAdd(t, "a"), lab.MustAdd(t, "b"), lab.MustAdd(t, "c")}
			for _, tenant := range tenants {
				_, err := eng.Attach(nsctx.ByPath(tenant.Path))
				unitMust(t, err)
			}
			stop := make(chan struct{})
			var clients, others sync.WaitGroup
			for i := range 12 {
				clients.Go(func() {
					for range 60 {
						beMedleyClient(tenants[i%len(tenants)])
					}
				})
			}
			others.Go(func() { watchTotals(t, eng, stop) })
			others.Go(func() { detachAndAttach(eng, tenants[2], stop) })
			clients.Wait()
			half := make(chan struct{})
			others.Go(func() { defer close(half); beMedleyClient(tenants[0]) })
			close(stop)
			stopped()
			<-half
			others.Wait()
			awaitUntil(t, "all that was begun is answered", func() bool { return m.begun.Load() == m.ended.Load() })
			if m.opened.Load() != m.closed.Load() {
				t.Errorf("%d connections were opened, %d closed", m.opened.Load(), m.closed.Load())
			}
			if w := eng.Stats().Work; w.Running != 0 || w.Waiting != 0 || w.Stuck != 0 {
				t.Errorf("work at the end: %+v", w)
			}
		})
	}
}

// beMedleyClient says a few things, hears something, and leaves in one of several ways.
func beMedleyClient(tenant *nstest.Tenant) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := tenant.Dial(ctx, "tcp", labPort)
	if err != nil {
		return // the namespace is between two attachments, or the engine is stopping
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Millisecond))
	for range 1 + rand.IntN(5) {
		_, _ = conn.Write([]byte("some"))
		if rand.IntN(2) == 0 {
			_, _ = conn.Read(make([]byte, 64))
		}
	}
	tcp, ok := conn.(*net.TCPConn)
	switch rand.IntN(3) {
	case 0:
		if ok {
			_ = tcp.CloseWrite()
			_, _ = io.Copy(io.Discard, conn)
		}
	case 1:
		if ok {
			_ = tcp.SetLinger(0)
		}
	}
}

// watchTotals fails the test if one of them falls.
func watchTotals(t *testing.T, eng *Engine, stop <-chan struct{}) {
	var last Totals
	for {
		s := eng.Stats()
		now := s.Gone
		for i := range s.Namespaces {
			now.Add(&s.Namespaces[i])
		}
		if now.Accepted < last.Accepted || now.Dialed < last.Dialed || now.Rejected < last.Rejected ||
			now.BytesIn < last.BytesIn || now.BytesOut < last.BytesOut || now.Packets.Out < last.Packets.Out {
			t.Errorf("a total fell from\n%+v to\n%+v", last, now)
		}
		last = now
		select {
		case <-stop:
			return
		case <-time.After(time.Millisecond):
		}
	}
}

// detachAndAttach has a tenant go and come back.
func detachAndAttach(eng *Engine, tenant *nstest.Tenant, stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-time.After(5 * time.Millisecond):
		}
		ns, err := eng.Attach(nsctx.ByPath(tenant.Path))
		if err != nil {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		now, cut := context.WithTimeout(ctx, 2*time.Millisecond)
		_ = eng.Detach(now, ns)
		select {
		case <-ns.Released():
		case <-ctx.Done():
			panic("a namespace is not let go of")
		}
		cut()
		cancel()
	}
}
