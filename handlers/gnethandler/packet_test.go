package gnethandler_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/panjf2000/gnet/v2"
	gneterrors "github.com/panjf2000/gnet/v2/pkg/errors"

	"github.com/nsreactor/nsreactor/handlers/gnethandler"
	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

// datagrams does what each datagram names, and notes what comes of it.
type datagrams struct {
	gnet.BuiltinEventEngine
	*journal
}

func (d *datagrams) OnTraffic(c gnet.Conn) gnet.Action {
	d.note("from %v to %v, context %v", ip(c.RemoteAddr()), ip(c.LocalAddr()), c.Context())
	c.SetContext("mine")
	d.note("context %v", c.Context())
	word, _, _ := strings.Cut(d.all(c.Peek(0)), " ")
	if do, known := onDatagram[word]; known {
		return do(d, c)
	}
	b, _ := c.Next(-1)
	n, err := c.Write(bytes.ToUpper(b))
	d.note("%d written, %v", n, err)
	return gnet.None
}

// all notes what a call that reads has returned.
func (d *datagrams) all(b []byte, err error) string {
	d.note("%s, %v", abridged(b), err)
	return string(b)
}

func (d *datagrams) called(what string) gnet.AsyncCallback {
	return func(c gnet.Conn, err error) error {
		d.note("%s: connection %t, %v", what, c != nil, err)
		return nil
	}
}

var onDatagram = map[string]func(*datagrams, gnet.Conn) gnet.Action{
	"reads": func(d *datagrams, c gnet.Conn) gnet.Action {
		p := make([]byte, 4)
		d.all(c.Peek(3))
		d.all(c.Peek(1000))
		d.all(c.Next(2))
		d.all(c.Next(1000))
		n, err := c.Read(p)
		d.all(p[:n], err)
		n, err = c.Discard(1)
		d.note("discarded %d, %v, %d left", n, err, c.InboundBuffered())
		w := &narrow{room: 2}
		m, err := c.WriteTo(w)
		d.note("written %d, %q, %v", m, w.String(), err)
		n, err = c.Discard(0) // all
		d.note("discarded %d, %v, %d left", n, err, c.InboundBuffered())
		n, err = c.Read(p)
		d.all(p[:n], err)
		d.all(c.Next(0))
		return gnet.None
	},
	"discards": func(d *datagrams, c gnet.Conn) gnet.Action {
		n, err := c.Discard(100)
		d.note("discarded %d, %v, %d left", n, err, c.InboundBuffered())
		return gnet.None
	},
	"writes": func(d *datagrams, c gnet.Conn) gnet.Action {
		n, err := c.Write([]byte("first"))
		m, err2 := c.SendTo([]byte("second"), c.RemoteAddr())
		d.note("%d, %d, %s", n, m, errs(err, err2, c.Flush()))
		n, err = c.Writev([][]byte{[]byte("x")})
		m, err2 = c.SendTo([]byte("x"), nil)
		d.note("%d, %d, %s %d unsent", n, m, errs(err, err2), c.OutboundBuffered())
		n, err = c.Write(make([]byte, 70_000))
		d.note("%d, %s", n, errs(err))
		return gnet.Close // which does nothing to a socket that is everybody's
	},
	"asynchronously": func(d *datagrams, c gnet.Conn) gnet.Action {
		b := []byte("first")
		err := c.AsyncWrite(b, d.called("written"))
		copy(b, "mine again")
		d.note("%s", errs(err, c.AsyncWritev([][]byte{b}, d.called("never")), c.Close(), c.EventLoop().Close(c)))
		err = c.EventLoop().Execute(context.Background(), gnet.RunnableFunc(func(context.Context) error {
			return c.AsyncWrite([]byte("second"), nil) // after OnTraffic
		}))
		d.note("%s", errs(err, c.Wake(d.called("woken")), c.CloseWithCallback(d.called("closed"))))
		return gnet.None
	},
	"unsupported": func(d *datagrams, c gnet.Conn) gnet.Action {
		d.note("%s", errs(c.SetKeepAlivePeriod(1e9), c.SetKeepAlive(true, 1e9, 1e9, 1), c.SetNoDelay(true),
			c.EventLoop().Execute(context.Background(), nil), c.EventLoop().Schedule(context.Background(), nil, 0)))
		return gnet.None
	},
	"options": func(d *datagrams, c gnet.Conn) gnet.Action {
		d.note("%s", errs(c.SetReadBuffer(50_000), c.SetWriteBuffer(60_000)))
		dup, err := c.Dup()
		d.noteOption(c.Fd(), "SO_RCVBUF")
		d.noteOption(dup, "SO_SNDBUF")
		d.note("%s", errs(err, closeFD(dup)))
		return gnet.None
	},
}

// The same datagrams have the same replies, and the same calls the same results,
// on gnet and here.
func TestPacketsAreEqual(t *testing.T) {
	lab := nstest.New(t)
	tenant := lab.MustAdd(t, "a")
	j := newJournal()
	w := witness{&datagrams{journal: j}, j}
	serveByGnet(t, "udp", tenant, w)
	serve(t, lab, w, gnethandler.Config{})
	for _, s := range []struct {
		send    string
		replies int
		last    string // what the journal's last line begins with
	}{
		{"hello", 1, "traffic"},
		{"", 1, "traffic"},
		{strings.Repeat("long ", 13_000), 1, "traffic"},
		{"reads of a long datagram", 0, "traffic"},
		{"discards", 0, "traffic"},
		{"writes", 2, "traffic"},
		{"asynchronously", 2, "closed"},
		{"unsupported", 0, "traffic"},
		{"options", 0, "traffic"},
	} {
		t.Run(abridged([]byte(s.send)), func(t *testing.T) {
			run := func(port int) []string {
				client := dialPackets(t, tenant, port)
				if _, err := client.Write([]byte(s.send)); err != nil {
					t.Fatal(err)
				}
				var lines []string
				for b := make([]byte, 1<<16); len(lines) < s.replies; {
					n, err := client.Read(b)
					if err != nil {
						t.Fatal(err)
					}
					lines = append(lines, abridged(b[:n]))
				}
				j.await(t, s.last, 1)
				return append(j.take(), lines...)
			}
			want, got := run(gnetPort), run(enginePort)
			if !slices.Equal(want, got) {
				t.Errorf("on gnet:\n\t%s\nhere:\n\t%s", strings.Join(want, "\n\t"), strings.Join(got, "\n\t"))
			}
		})
	}
}

// Datagrams of tenants with the same addresses are told apart, and answered from
// where they came, also later and by other goroutines.
func TestPacketsOfNamespaces(t *testing.T) {
	lab := nstest.New(t)
	tenants := []*nstest.Tenant{lab.MustAdd(t, "a"), lab.MustAdd(t, "b")}
	kept := make(chan gnet.Conn, len(tenants))
	eng := serve(t, lab, &events{traffic: func(c gnet.Conn) gnet.Action {
		if err := gnethandler.Enter(c); err != nil {
			t.Error(err)
		}
		kept <- c
		return gnet.None
	}}, gnethandler.Config{})
	var conns []gnet.Conn
	for _, tenant := range tenants {
		client := dialPackets(t, tenant, enginePort)
		if _, err := client.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		c := wait(t, kept)
		conns = append(conns, c)
		name := gnethandler.Namespace(c).Name()
		if err := c.AsyncWrite([]byte(name), nil); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 10)
		n, err := client.Read(got)
		if err != nil || string(got[:n]) != tenant.Name || name != tenant.Name {
			t.Errorf("%s: served as %s, read %q, %v", tenant.Name, name, got[:n], err)
		}
		if want := fmt.Sprintf("%v:%d", tenant.Addr4, enginePort); c.LocalAddr().String() != want || c.RemoteAddr().String() != client.LocalAddr().String() {
			t.Errorf("to %v, want %s; from %v, want %v", c.LocalAddr(), want, c.RemoteAddr(), client.LocalAddr())
		}
	}
	if err := eng.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, c := range conns {
		never := func(gnet.Conn, error) error { t.Error("called back"); return nil }
		if err := c.CloseWithCallback(never); !errors.Is(err, gneterrors.ErrEngineInShutdown) {
			t.Errorf("close after the engine's end: %v", err)
		}
		if err := c.SetReadBuffer(1 << 16); !errors.Is(err, net.ErrClosed) || c.Fd() != -1 {
			t.Errorf("set an option: %v; descriptor %d", err, c.Fd())
		}
		if err := c.AsyncWrite([]byte("x"), nil); err != nil {
			t.Errorf("write after the engine's end: %v", err) // a datagram may be lost anyway
		}
	}
}

// The action Shutdown is one for datagrams too, and ReadFrom sends one.
func TestPacketShutdownAndReadFrom(t *testing.T) {
	lab := nstest.New(t)
	tenant := lab.MustAdd(t, "a")
	shut := make(chan bool, 1)
	serve(t, lab, &events{traffic: func(c gnet.Conn) gnet.Action {
		n, err := c.ReadFrom(io.MultiReader(strings.NewReader("one "), strings.NewReader("datagram")))
		if n != 12 || err != nil {
			t.Errorf("read from: %d, %v", n, err)
		}
		return gnet.Shutdown
	}}, gnethandler.Config{Shutdown: func() { shut <- true }})
	client := dialPackets(t, tenant, enginePort)
	if _, err := client.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 20)
	if n, err := client.Read(got); err != nil || string(got[:n]) != "one datagram" {
		t.Errorf("read %q, %v", got[:n], err)
	}
	wait(t, shut)
}
