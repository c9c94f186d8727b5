package resolver_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"

	"github.com/nsreactor/nsreactor/nsctx"
	"github.com/nsreactor/nsreactor/nsctx/nstest"
	"github.com/nsreactor/nsreactor/nsctx/resolver"
)

// patience bounds what must happen some time; no test depends on how soon.
const patience = 30 * time.Second

// house is a lab with one tenant, directories of configuration, and a resolver that
// reads them.
type house struct {
	t      testing.TB
	lab    *nstest.Lab
	tenant *nstest.Tenant
	config resolver.Config
	*resolver.Resolver
}

// newHouse makes a tenant "a" with nothing but a loopback.
func newHouse(t *testing.T) *house {
	t.Helper()
	t.Parallel()
	return build(t, resolver.Config{FamilyGrace: patience})
}

func build(t testing.TB, c resolver.Config) *house {
	t.Helper()
	dir := t.TempDir()
	h := &house{t: t, lab: nstest.New(t)}
	h.tenant = h.lab.MustAddBare(t, "a")
	c.NetnsDir, c.EtcDir = filepath.Join(dir, "netns"), filepath.Join(dir, "etc")
	h.configure(c)
	return h
}

func (h *house) configure(c resolver.Config) {
	h.config, h.Resolver = c, resolver.New(c)
}

// write makes a file under a name's directory of configuration, or in etc if the
// name is "".
func (h *house) write(name, file string, lines ...string) {
	h.t.Helper()
	dir := filepath.Join(h.config.NetnsDir, name)
	if name == "" {
		dir = h.config.EtcDir
	}
	check(h.t, os.MkdirAll(dir, 0o755))
	check(h.t, os.WriteFile(filepath.Join(dir, file), []byte(strings.Join(lines, "\n")+"\n"), 0o644))
}

func (h *house) lookup(host string) ([]netip.Addr, error) {
	h.t.Helper()
	return h.lookupIn(h.tenant, host)
}

func (h *house) lookupIn(tenant *nstest.Tenant, host string) ([]netip.Addr, error) {
	h.t.Helper()
	return h.LookupNetIP(patient(h.t), tenant.NS, tenant.Name, host)
}

// want looks host up and compares.
func (h *house) want(host string, addrs ...string) {
	h.t.Helper()
	got, err := h.lookup(host)
	check(h.t, err)
	wantAddrs(h.t, got, addrs...)
}

func (h *house) wantErr(host string, cause error) {
	h.t.Helper()
	_ = h.failure(host, cause)
}

// failure looks host up and expects an *Error with that cause.
func (h *house) failure(host string, cause error) *resolver.Error {
	h.t.Helper()
	addrs, err := h.lookup(host)
	e, ok := errors.AsType[*resolver.Error](err)
	if !ok || !errors.Is(err, cause) || addrs != nil {
		h.t.Fatalf("look up %s: %v, %v; want an *Error with %v", host, addrs, err, cause)
	}
	if e.Host != host || e.Namespace != "a" {
		h.t.Errorf("the error is of %q in %q, want %q in a", e.Host, e.Namespace, host)
	}
	return e
}

// server is a name server, and remembers what it was asked.
type server struct {
	mu    sync.Mutex
	asked []string // as in "udp A db.example."
}

// serve runs a name server in the namespace, over UDP and TCP.
func serve(t testing.TB, ns *nsctx.Namespace, addr string, handler dns.HandlerFunc) *server {
	t.Helper()
	s := serveUDP(t, ns, addr, handler)
	var listener net.Listener
	check(t, ns.Do(func() (err error) {
		var lc net.ListenConfig
		listener, err = lc.Listen(t.Context(), "tcp", net.JoinHostPort(addr, "53"))
		return err
	}))
	s.run(t, &dns.Server{Listener: listener, Handler: s.noting("tcp", handler)})
	return s
}

func serveUDP(t testing.TB, ns *nsctx.Namespace, addr string, handler dns.HandlerFunc) *server {
	t.Helper()
	var packets net.PacketConn
	check(t, ns.Do(func() (err error) {
		var lc net.ListenConfig
		packets, err = lc.ListenPacket(t.Context(), "udp", net.JoinHostPort(addr, "53"))
		return err
	}))
	s := &server{}
	s.run(t, &dns.Server{PacketConn: packets, Handler: s.noting("udp", handler)})
	return s
}

// listenFull listens for TCP on the name service's port, with a backlog that is full:
// whoever connects waits.
func listenFull(t *testing.T, ns *nsctx.Namespace, addr string) {
	t.Helper()
	at := netip.AddrPortFrom(netip.MustParseAddr(addr), 53)
	check(t, ns.Do(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		t.Cleanup(func() { check(t, unix.Close(fd)) })
		return errors.Join(
			unix.Bind(fd, &unix.SockaddrInet4{Addr: at.Addr().As4(), Port: int(at.Port())}),
			unix.Listen(fd, 0))
	}))
	conn, err := nstest.DialIn(patient(t), ns, "tcp", at)
	check(t, err)
	t.Cleanup(func() { conn.Close() })
}

func (s *server) run(t testing.TB, d *dns.Server) {
	started := make(chan struct{})
	d.NotifyStartedFunc = func() { close(started) }
	done := make(chan error, 1)
	go func() { done <- d.ActivateAndServe() }()
	<-started
	t.Cleanup(func() {
		check(t, d.Shutdown())
		check(t, <-done)
	})
}

func (s *server) noting(network string, handler dns.HandlerFunc) dns.HandlerFunc {
	return func(w dns.ResponseWriter, query *dns.Msg) {
		q := query.Question[0]
		s.mu.Lock()
		s.asked = append(s.asked, fmt.Sprintf("%s %s %s", network, dns.TypeToString[q.Qtype], q.Name))
		s.mu.Unlock()
		handler(w, query)
	}
}

// questions returns what the server was asked, sorted, as those of one name come in
// any order; and forgets it.
func (s *server) questions() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := s.asked
	s.asked = nil
	slices.Sort(asked)
	return asked
}

func (s *server) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.asked)
}

func (s *server) wantAsked(t *testing.T, want ...string) {
	t.Helper()
	slices.Sort(want)
	for deadline := time.Now().Add(patience); s.count() < len(want) && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond) // the last ones may still be in its socket
	}
	if got := s.questions(); !slices.Equal(got, want) {
		t.Errorf("the server was asked %q, want %q", got, want)
	}
}

// zone answers from records in zone file form; names without any do not exist.
func zone(records ...string) dns.HandlerFunc {
	rrs := parse(records...)
	return func(w dns.ResponseWriter, query *dns.Msg) { reply(w, answerFrom(rrs, query)) }
}

// answerFrom gives all records of the name and type, and the authority.
func answerFrom(rrs []dns.RR, query *dns.Msg) *dns.Msg {
	m := new(dns.Msg).SetReply(query)
	m.RecursionAvailable = true
	m.Rcode = dns.RcodeNameError
	for _, rr := range rrs {
		switch {
		case rr.Header().Rrtype == dns.TypeSOA:
			m.Ns = append(m.Ns, rr)
			continue
		case rr.Header().Name != query.Question[0].Name:
			continue
		}
		m.Rcode = dns.RcodeSuccess
		if rr.Header().Rrtype == query.Question[0].Qtype {
			m.Answer = append(m.Answer, rr)
		}
	}
	return m
}

func parse(records ...string) []dns.RR {
	rrs := make([]dns.RR, len(records))
	for i, record := range records {
		rr, err := dns.NewRR(record)
		if err != nil {
			panic(err)
		}
		rrs[i] = rr
	}
	return rrs
}

func rcode(code int) dns.HandlerFunc {
	return func(w dns.ResponseWriter, query *dns.Msg) {
		m := new(dns.Msg).SetRcode(query, code)
		if code > 15 { // which takes EDNS0 to say
			m.SetEdns0(512, false)
		}
		reply(w, m)
	}
}

func silent(dns.ResponseWriter, *dns.Msg) {}

// reply ignores errors, as the asker may have left.
func reply(w dns.ResponseWriter, m *dns.Msg) { _ = w.WriteMsg(m) }

func patient(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func wantAddrs(t testing.TB, got []netip.Addr, want ...string) {
	t.Helper()
	texts := make([]string, len(got))
	for i, addr := range got {
		texts[i] = addr.String()
	}
	if !slices.Equal(texts, want) {
		t.Errorf("addresses %v, want %v", texts, want)
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
