package engine_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/nsctx"
	"github.com/nsreactor/nsreactor/nsctx/nstest"
	"github.com/nsreactor/nsreactor/nsctx/resolver"
)

// The addresses of every tenant's peer, and one that nobody has.
const (
	peer4, peer6 = "10.77.0.2", "fd77::2"
	nowhere      = "10.77.0.99:9"
)

// backend listens on port 9 of a namespace, and tells whoever connects a name,
// then sends back what comes.
func backend(t testing.TB, ns *nsctx.Namespace, name string) { backendAt(t, ns, ":9", name) }

// backendAt is backend with another address, and returns the port.
func backendAt(t testing.TB, ns *nsctx.Namespace, address, name string) (port int) {
	t.Helper()
	var listener net.Listener
	must(t, ns.Do(func() (err error) {
		listener, err = net.Listen("tcp", address)
		return err
	}))
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			conns.Go(func() {
				_, _ = io.WriteString(conn, name+"\n")
				_, _ = io.Copy(struct{ io.Writer }{conn}, conn) // without splice(2), whose pipes linger
				_ = conn.Close()
			})
		}
	})
	t.Cleanup(conns.Wait)
	t.Cleanup(func() { _ = listener.Close() })
	return listener.Addr().(*net.TCPAddr).Port
}

// asker is a handler that dials for its peers. A line "4", "6" or "home" asks
// for what the first line is that the tenant's peer or home says; "where" is
// where the thread is after a Dial.
type asker struct {
	engine.BaseHandler
	t    testing.TB
	home *engine.Namespace
	port int // of the backend in home
}

func (a asker) OnData(c *engine.Conn) {
	b, _ := c.Next(c.Buffered())
	var out *engine.Conn
	var err error
	switch word := strings.TrimSpace(string(b)); word {
	case "4":
		out, err = c.Dial("tcp", peer4+":9", relay{t: a.t, to: c})
	case "6":
		out, err = c.Dial("tcp", "["+peer6+"]:9", relay{t: a.t, to: c})
	case "home":
		out, err = c.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", a.port), relay{t: a.t, to: c}, engine.InNamespace(a.home))
	case "nowhere":
		out, err = c.Dial("tcp", "192.0.2.1:9", relay{t: a.t, to: c})
	}
	if err != nil {
		_, _ = fmt.Fprintln(c, err)
		return
	}
	if at := here(); at != c.Namespace().ID() {
		a.t.Errorf("after Dial the thread is in %v", at)
	}
	if out.Loop() != c.Loop() {
		a.t.Errorf("dialed on loop %d, not %d", out.Loop(), c.Loop())
	}
}

// relay passes the first line on, with where it is.
type relay struct {
	engine.BaseHandler
	t  testing.TB
	to *engine.Conn
}

func (r relay) OnOpen(c *engine.Conn) { r.check(c) }
func (r relay) OnData(c *engine.Conn) {
	r.check(c)
	b, _ := c.Next(c.Buffered())
	_, _ = r.to.Write(b)
	c.Close()
}

func (r relay) OnClose(c *engine.Conn, err error) {
	r.check(c)
	if err != nil {
		_, _ = fmt.Fprintln(r.to, err)
	}
}

func (r relay) check(c *engine.Conn) {
	if at := here(); at != c.Namespace().ID() {
		r.t.Errorf("a callback of a connection dialed in %v is in %v", c.Namespace().ID(), at)
	}
}

// serveAsker serves an asker in the tenants of a lab.
func serveAsker(t testing.TB, lab *nstest.Lab, cfg engine.Config, port int) *engine.Engine {
	t.Helper()
	eng := tameEngine(t, cfg)
	home, err := eng.Home()
	must(t, err)
	must(t, eng.Handle("tcp", lifePort, asker{t: t, home: home, port: port}))
	must(t, eng.Watch(lab.Dir()))
	return eng
}

// Tenants with the same addresses dial the same address, and each reaches its own
// peer; home is reached from all of them.
func TestDialReachesTheRightPeer(t *testing.T) {
	lab := nstest.New(t)
	tenants := []*nstest.Tenant{lab.MustAdd(t, "a"), lab.MustAdd(t, "b"), lab.MustAdd(t, "c")}
	for _, tenant := range tenants {
		backend(t, tenant.Peer, "peer of "+tenant.Name)
	}
	home, err := nsctx.Home().Open()
	must(t, err)
	defer home.Close()
	port := backendAt(t, home, "127.0.0.1:0", "home") // home is the machine's: which ports are free there nobody knows
	for _, policy := range []engine.SwitchPolicy{engine.SwitchOnChange, engine.SwitchAlways} {
		eng := serveAsker(t, lab, engine.Config{Loops: 2, Switch: policy}, port)
		var askers sync.WaitGroup
		for _, tenant := range tenants {
			for range 4 {
				c := call(t, tenant, "tcp")
				askers.Go(func() {
					for range 10 {
						for question, want := range map[string]string{"4": "peer of " + tenant.Name, "6": "peer of " + tenant.Name, "home": "home"} {
							if got, err := c.try(question); err != nil || got != want {
								t.Errorf("%s asks %s: %q, %v", tenant.Name, question, got, err)
							}
						}
					}
					_ = c.Close()
				})
			}
		}
		askers.Wait()
		for _, tenant := range tenants {
			for _, s := range eng.Stats().Namespaces {
				if s.ID == tenant.NS.ID() && s.Dialed != 80 {
					t.Errorf("%s: %d dialed, not 80", tenant.Name, s.Dialed)
				}
			}
		}
		must(t, eng.Shutdown(hanging(t)))
	}
}

// Engine.Dial goes out from a namespace too, and a link-local address is told by
// the name that the namespace has for its interface.
func TestEngineDialInTenant(t *testing.T) {
	lab := nstest.New(t)
	tenant := lab.MustAdd(t, "a")
	backend(t, tenant.Peer, "peer")
	eng := tameEngine(t, engine.Config{})
	ns, err := eng.Attach(nsctx.ByPath(tenant.Path))
	must(t, err)
	for _, address := range []string{peer4 + ":9", linkLocal(t, tenant) + ":9"} {
		lines := make(chan string, 1)
		_, err := eng.Dial(ns, "tcp", address, firstLine{lines: lines})
		must(t, err)
		if got := <-lines; got != "peer\n" {
			t.Errorf("%s: %q", address, got)
		}
	}
}

// firstLine passes on what comes first, or the error.
type firstLine struct {
	engine.BaseHandler
	lines chan string
	peers chan netip.AddrPort // nil if nobody asks
}

func (f firstLine) OnData(c *engine.Conn) {
	b, _ := c.Next(c.Buffered())
	f.lines <- string(b)
	if f.peers != nil {
		f.peers <- c.RemoteAddr()
	}
	c.Close()
}

func (f firstLine) OnClose(_ *engine.Conn, err error) {
	if err != nil {
		f.lines <- err.Error()
	}
}

// linkLocal is the link-local address of a tenant's peer, with the zone that it
// has in the tenant.
func linkLocal(t testing.TB, tenant *nstest.Tenant) string {
	t.Helper()
	zone, addr := "", ""
	must(t, tenant.NS.Do(func() error {
		interfaces, err := net.Interfaces()
		for _, i := range interfaces {
			if i.Flags&net.FlagLoopback == 0 && i.Flags&net.FlagUp != 0 {
				zone = i.Name
			}
		}
		return err
	}))
	eventually(t, "the peer has a link-local address", func() bool {
		must(t, tenant.Peer.Do(func() error {
			addrs, err := net.InterfaceAddrs()
			for _, a := range addrs {
				if p, e := netip.ParsePrefix(a.String()); e == nil && p.Addr().Is6() && p.Addr().IsLinkLocalUnicast() {
					addr = p.Addr().String()
				}
			}
			return err
		}))
		return addr != ""
	})
	return "[" + addr + "%" + zone + "]"
}

// A name is what the namespace's own configuration says.
func TestDialNameInTenant(t *testing.T) {
	lab := nstest.New(t)
	tenants := map[string]*nstest.Tenant{peer4: lab.MustAdd(t, "a"), peer6: lab.MustAdd(t, "b")}
	netns := t.TempDir()
	for addr, tenant := range tenants {
		must(t, os.Mkdir(filepath.Join(netns, tenant.Name), 0o700))
		must(t, os.WriteFile(filepath.Join(netns, tenant.Name, "hosts"), []byte(addr+" backend\n"), 0o600))
		backend(t, tenant.Peer, "peer of "+tenant.Name)
	}
	eng := tameEngine(t, engine.Config{Resolver: resolver.New(resolver.Config{NetnsDir: netns})})
	must(t, eng.Watch(lab.Dir()))
	for addr, tenant := range tenants {
		lines, peers := make(chan string, 1), make(chan netip.AddrPort, 1)
		_, err := eng.Dial(attached(t, eng, tenant.NS.ID()), "tcp", "backend:9", firstLine{lines: lines, peers: peers})
		must(t, err)
		if got := <-lines; got != "peer of "+tenant.Name+"\n" {
			t.Errorf("%s: %q", tenant.Name, got)
		} else if peer := <-peers; peer.Addr().String() != addr {
			t.Errorf("%s: connected to %v", tenant.Name, peer)
		}
	}
}

// A dial does not keep its namespace: it ends when the namespace is drained,
// which is then released by the kernel's word, with a dial under way and with a
// name that is looked up.
func TestDialEndsWithNamespace(t *testing.T) {
	lab := nstest.New(t)
	tenant := lab.MustAdd(t, "a")
	eng := tameEngine(t, engine.Config{Resolver: patient{}})
	must(t, eng.Watch(lab.Dir()))
	ns := attached(t, eng, tenant.NS.ID())
	lines := make(chan string, 2)
	for _, address := range []string{nowhere, "never.example:80"} {
		_, err := eng.Dial(ns, "tcp", address, firstLine{lines: lines})
		must(t, err)
	}
	eventually(t, "both are under way", func() bool {
		for _, s := range eng.Stats().Namespaces {
			if s.ID == ns.ID() {
				return s.Holds.Conns == 2 && s.Holds.Lookups == 1
			}
		}
		return false
	})
	must(t, tenant.Delete())
	for range 2 {
		if got := <-lines; !strings.Contains(got, engine.ErrDraining.Error()) {
			t.Errorf("OnClose got %q", got)
		}
	}
	select {
	case <-ns.Released():
	case <-hanging(t).Done():
		t.Fatal("the namespace is not released")
	}
	if s := eng.Stats(); s.Released != 1 || s.Gone.Errors[engine.ErrorDial] != 2 {
		t.Errorf("%d released, %d dials ended", s.Released, s.Gone.Errors[engine.ErrorDial])
	}
	if _, err := eng.Dial(ns, "tcp", nowhere, firstLine{}); !errors.Is(err, engine.ErrDraining) {
		t.Errorf("a dial afterwards: %v", err)
	}
}

// patient is a Resolver that gets no answers.
type patient struct{}

func (patient) LookupNetIP(ctx context.Context, _ *nsctx.Namespace, _, _ string) ([]netip.Addr, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// A dialed connection is told of a drain as an accepted one is.
func TestDialedConnectionIsDrained(t *testing.T) {
	lab := nstest.New(t)
	tenant := lab.MustAdd(t, "a")
	backend(t, tenant.Peer, "peer")
	eng := tameEngine(t, engine.Config{})
	ns, err := eng.Attach(nsctx.ByPath(tenant.Path))
	must(t, err)
	w := &witness{}
	opened := make(chan *engine.Conn, 1)
	_, err = eng.Dial(ns, "tcp", peer4+":9", stayer{witness: w, opened: opened})
	must(t, err)
	<-opened
	must(t, eng.Detach(hanging(t), ns))
	if n := w.count("OnDrain", ns.ID()); n != 1 {
		t.Errorf("OnDrain was called %d times", n)
	}
	w.check(t)
}

// stayer tells when it is connected.
type stayer struct {
	*witness
	opened chan *engine.Conn
}

func (s stayer) OnOpen(c *engine.Conn) { s.witness.OnOpen(c); s.opened <- c }
func (s stayer) OnData(c *engine.Conn) { c.Discard(c.Buffered()) }

// What the kernel says of an address without a route arrives.
func TestDialNowhere(t *testing.T) {
	lab := nstest.New(t)
	tenant := lab.MustAdd(t, "a")
	serveAsker(t, lab, engine.Config{Loops: 1}, 0)
	c := call(t, tenant, "tcp")
	if got := c.ask(t, "nowhere"); !strings.Contains(got, unix.ENETUNREACH.Error()) || !strings.Contains(got, "192.0.2.1:9") {
		t.Errorf("%q", got)
	}
}
