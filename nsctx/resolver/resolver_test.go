package resolver_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/nsreactor/nsreactor/nsctx"
	"github.com/nsreactor/nsreactor/nsctx/nstest"
	"github.com/nsreactor/nsreactor/nsctx/resolver"
)

// Two tenants have the same addresses, and so have their servers. A question that
// went through the wrong network would get an answer.
func TestEachNamespaceAsksItsOwnServer(t *testing.T) {
	h := newHouse(t)
	h.write("", "resolv.conf", "nameserver 10.77.0.2")
	b, c := h.lab.MustAdd(t, "b"), h.lab.MustAdd(t, "c")
	serve(t, b.Peer, "10.77.0.2", zone("db.example. 60 A 10.0.0.11", "db.example. 60 AAAA fd00::b"))
	serve(t, c.Peer, "10.77.0.2", zone("db.example. 60 A 10.0.0.12", "db.example. 60 AAAA fd00::c"))
	for range 3 { // also from memory
		addrs, err := h.lookupIn(b, "db.example")
		check(t, err)
		wantAddrs(t, addrs, "fd00::b", "10.0.0.11")
		addrs, err = h.lookupIn(c, "db.example")
		check(t, err)
		wantAddrs(t, addrs, "fd00::c", "10.0.0.12")
	}
}

func TestNamespacesFilesComeFirst(t *testing.T) {
	h := newHouse(t)
	h.write("", "resolv.conf", "nameserver 127.0.0.1")
	h.write("", "hosts", "10.0.0.1 printer")
	h.write("b", "resolv.conf", "nameserver 127.0.0.2")
	h.write("b", "hosts", "10.0.0.2 other")
	serve(t, h.tenant.NS, "127.0.0.1", zone("db.example. 60 A 10.1.0.1"))
	serve(t, h.tenant.NS, "127.0.0.2", zone("db.example. 60 A 10.2.0.1"))

	for name, want := range map[string]string{"a": "10.1.0.1", "": "10.1.0.1", "b": "10.2.0.1"} {
		addrs, err := h.LookupNetIP(patient(t), h.tenant.NS, name, "db.example")
		check(t, err)
		wantAddrs(t, addrs, want)
	}
	h.want("printer", "10.0.0.1")
	// ip netns exec mounts b's file over /etc/hosts, which hides it.
	if _, err := h.LookupNetIP(patient(t), h.tenant.NS, "b", "printer"); !errors.Is(err, resolver.ErrNotFound) {
		t.Errorf("printer in b: %v, want ErrNotFound", err)
	}
}

func TestWithoutFilesTheServerIsLoopback(t *testing.T) {
	h := newHouse(t)
	serve(t, h.tenant.NS, "127.0.0.1", zone("db.example. 60 A 10.1.0.1"))
	h.want("db.example", "10.1.0.1")
}

func TestAddressesAndLocalhostAreNotAskedFor(t *testing.T) {
	var r resolver.Resolver
	for host, want := range map[string][]string{
		"10.0.0.1":         {"10.0.0.1"},
		"fd00::1":          {"fd00::1"},
		"fe80::1%eth0":     {"fe80::1%eth0"},
		"::ffff:10.0.0.1":  {"10.0.0.1"},
		"localhost":        {"::1", "127.0.0.1"},
		"LocalHost.":       {"::1", "127.0.0.1"},
		"db.localhost":     {"::1", "127.0.0.1"},
		"x.db.LOCALHOST..": nil,
	} {
		// Without a namespace: no socket can be made.
		addrs, err := r.LookupNetIP(patient(t), nil, "../..", host)
		if want == nil {
			if !errors.Is(err, resolver.ErrInvalidHost) {
				t.Errorf("%s: %v, want ErrInvalidHost", host, err)
			}
			continue
		}
		check(t, err)
		wantAddrs(t, addrs, want...)
	}
}

func TestInvalidHosts(t *testing.T) {
	h := newHouse(t)
	s := serve(t, h.tenant.NS, "127.0.0.1", rcode(dns.RcodeNameError))
	for _, host := range []string{
		"", ".", "a..b", ".a", "a b", "a\x00", `a\.b`, "bücher.example", "a/b", "[::1]", "10.0.0.1:53",
		strings.Repeat("a", 64) + ".example", strings.Repeat("a.", 126) + "bb",
	} {
		h.wantErr(host, resolver.ErrInvalidHost)
	}
	for _, host := range []string{strings.Repeat("a", 63) + ".example", strings.Repeat("a.", 126) + "b", "_x-1.example.", "notlocalhost"} {
		h.wantErr(host, resolver.ErrNotFound)
	}
	if n := len(s.questions()); n != 8 {
		t.Errorf("the server was asked %d questions, want two for each valid host", n)
	}
}

func TestNoNamespaceAtAll(t *testing.T) {
	var r resolver.Resolver
	if _, err := r.LookupNetIP(patient(t), nil, "a", "db.example"); !errors.Is(err, nsctx.ErrInvalidRef) {
		t.Errorf("%v, want ErrInvalidRef", err)
	}
}

func TestClosedNamespace(t *testing.T) {
	h := newHouse(t)
	serve(t, h.tenant.NS, "127.0.0.1", zone("db.example. 60 A 10.1.0.1"))
	ns, err := nsctx.ByPath(h.tenant.Path).Open()
	check(t, err)
	check(t, ns.Close())
	_, err = h.LookupNetIP(patient(t), ns, "a", "db.example")
	if !errors.Is(err, nsctx.ErrClosed) || strings.Contains(err.Error(), "127.0.0.1") { // which is not at fault
		t.Errorf("%v, want ErrClosed, and no server", err)
	}
	h.want("db.example", "10.1.0.1") // nothing of it sticks
}

// A namespace that is closed while a server takes its time makes the next socket
// fail, and not come from elsewhere.
func TestNamespaceClosedMeanwhile(t *testing.T) {
	h := newHouse(t)
	h.write("a", "resolv.conf", "nameserver 127.0.0.1", "nameserver 127.0.0.2", "options timeout:1")
	ns, err := nsctx.ByPath(h.tenant.Path).Open()
	check(t, err)
	serve(t, h.tenant.NS, "127.0.0.1", func(w dns.ResponseWriter, query *dns.Msg) {
		_ = ns.Close()
		rcode(dns.RcodeServerFailure)(w, query)
	})
	second := serve(t, h.tenant.NS, "127.0.0.2", zone("db.example. 60 A 10.1.0.1"))
	if _, err := h.LookupNetIP(patient(t), ns, "a", "db.example"); !errors.Is(err, nsctx.ErrClosed) {
		t.Errorf("%v, want ErrClosed", err)
	}
	second.wantAsked(t)
}

func TestNamesThatLeadOut(t *testing.T) {
	h := newHouse(t)
	for _, name := range []string{"..", ".", "../etc", "a/b", "/etc", "a\x00"} {
		if _, err := h.LookupNetIP(patient(t), h.tenant.NS, name, "db.example"); !errors.Is(err, resolver.ErrConfig) {
			t.Errorf("name %q: %v, want ErrConfig", name, err)
		}
	}
}

// The files of /etc must not stand in for one that is there and cannot be used.
func TestUnusableConfigurationFailsClosed(t *testing.T) {
	h := newHouse(t)
	s := serve(t, h.tenant.NS, "127.0.0.1", zone("db.example. 60 A 10.1.0.1"))
	h.write("", "resolv.conf", "nameserver 127.0.0.1")
	h.write("", "hosts", "10.0.0.1 printer")
	path := func(file string) string { return filepath.Join(h.config.NetnsDir, "a", file) }

	check(t, os.MkdirAll(path("resolv.conf"), 0o755))
	h.wantErr("db.example", resolver.ErrConfig)
	check(t, os.Remove(path("resolv.conf")))

	check(t, unix.Mkfifo(path("resolv.conf"), 0o644))
	h.wantErr("db.example", resolver.ErrConfig) // and does not wait for a writer
	check(t, os.Remove(path("resolv.conf")))

	h.write("a", "resolv.conf", "nameserver ns1.example", "nameserver 10.0.0.0.1")
	h.wantErr("db.example", resolver.ErrConfig)

	h.write("a", "resolv.conf", "# "+strings.Repeat("x", 64<<10), "nameserver 127.0.0.2")
	h.wantErr("db.example", resolver.ErrConfig)
	check(t, os.Remove(path("resolv.conf")))

	check(t, os.Mkdir(path("hosts"), 0o755))
	h.wantErr("printer", resolver.ErrConfig)
	check(t, os.Remove(path("hosts")))

	s.wantAsked(t)
	h.want("db.example", "10.1.0.1")
	h.want("printer", "10.0.0.1")
}

func TestConfigurationIsReadAgain(t *testing.T) {
	h := newHouse(t)
	h.write("a", "resolv.conf", "nameserver 127.0.0.1")
	serve(t, h.tenant.NS, "127.0.0.1", zone("db.example. 60 A 10.1.0.1"))
	serve(t, h.tenant.NS, "127.0.0.2", zone("db.example. 60 A 10.2.0.1"))
	h.want("db.example", "10.1.0.1")
	h.write("a", "resolv.conf", "nameserver 127.0.0.2") // in place, of the same size, and at once
	h.want("db.example", "10.2.0.1")

	path := filepath.Join(h.config.NetnsDir, "a", "resolv.conf")
	long := time.Now().Add(-time.Hour)
	check(t, os.Chtimes(path, long, long))
	h.want("db.example", "10.2.0.1")
	h.write("a", "new", "nameserver 127.0.0.1") // replaced, with the same time and size
	check(t, os.Rename(filepath.Join(filepath.Dir(path), "new"), path))
	check(t, os.Chtimes(path, long, long))
	h.want("db.example", "10.1.0.1")

	h.write("a", "hosts", "10.3.0.1 db.example")
	h.want("db.example", "10.3.0.1")
	check(t, os.Remove(filepath.Join(h.config.NetnsDir, "a", "hosts")))
	h.want("db.example", "10.1.0.1")
}

func TestHostsFile(t *testing.T) {
	h := newHouse(t)
	h.write("a", "hosts",
		"# comment", "10.0.0.1\tPrinter printer.example # inkjet", "fd00::1 printer", "10.0.0.2 printer", "10.0.0.1 printer",
		"nonsense here", "10.0.0.3", "", "fe80::1%eth0 link")
	h.want("printer", "fd00::1", "10.0.0.1", "10.0.0.2")
	h.want("PRINTER.example.", "10.0.0.1")
	h.want("link", "fe80::1%eth0")
	h.wantErr("inkjet", unix.ECONNREFUSED) // there is no server to ask for it
}

func TestTruncatedReplyIsAskedForOverTCP(t *testing.T) {
	h := newHouse(t)
	records := make([]string, 60) // 960 bytes, as A, with the names; too many for the limit below
	for i := range records {
		records[i] = fmt.Sprintf("db.example. 60 A 10.0.0.%d", i+1)
	}
	all := parse(records...)
	s := serve(t, h.tenant.NS, "127.0.0.1", func(w dns.ResponseWriter, query *dns.Msg) {
		m := answerFrom(all, query)
		if w.LocalAddr().Network() == "udp" {
			m.Truncate(512)
		}
		reply(w, m)
	})
	addrs, err := h.lookup("db.example")
	check(t, err)
	if len(addrs) != len(records) {
		t.Errorf("%d addresses, want %d", len(addrs), len(records))
	}
	s.wantAsked(t, "udp A db.example.", "tcp A db.example.", "udp AAAA db.example.")
}

// A server may cut its datagram anywhere, also within a record.
func TestReplyCutInARecordIsAskedForOverTCP(t *testing.T) {
	h := newHouse(t)
	rrs := parse("db.example. 60 A 10.1.0.1", "db.example. 60 A 10.1.0.2")
	serve(t, h.tenant.NS, "127.0.0.1", func(w dns.ResponseWriter, query *dns.Msg) {
		m := answerFrom(rrs, query)
		if w.LocalAddr().Network() == "tcp" || query.Question[0].Qtype == dns.TypeAAAA {
			reply(w, m)
			return
		}
		m.Truncated = true
		data, err := m.Pack()
		check(t, err)
		_, _ = w.Write(data[:len(data)-7])
	})
	h.want("db.example", "10.1.0.1", "10.1.0.2")
}

func TestBrokenTCPReplyIsAFailure(t *testing.T) {
	for name, over := range map[string]dns.HandlerFunc{
		"closed":    func(w dns.ResponseWriter, _ *dns.Msg) { _ = w.Close() },
		"garbage":   func(w dns.ResponseWriter, _ *dns.Msg) { _, _ = w.Write([]byte("HTTP/1.1 400 Bad Request")) },
		"truncated": func(w dns.ResponseWriter, query *dns.Msg) { reply(w, truncated(query)) },
		"wrong id":  func(w dns.ResponseWriter, query *dns.Msg) { query.Id++; reply(w, new(dns.Msg).SetReply(query)) },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			serve(t, h.tenant.NS, "127.0.0.1", func(w dns.ResponseWriter, query *dns.Msg) {
				if w.LocalAddr().Network() == "udp" {
					reply(w, truncated(query))
					return
				}
				over(w, query)
			})
			h.wantErr("db.example", resolver.ErrServerFailure)
		})
	}
}

func truncated(query *dns.Msg) *dns.Msg {
	m := new(dns.Msg).SetReply(query)
	m.Truncated, m.RecursionAvailable = true, true
	return m
}

func TestSilentServerIsPassedOver(t *testing.T) {
	h := newHouse(t)
	h.write("a", "resolv.conf", "nameserver 127.0.0.1", "nameserver 127.0.0.2", "options timeout:1 attempts:1")
	first := serve(t, h.tenant.NS, "127.0.0.1", silent)
	second := serve(t, h.tenant.NS, "127.0.0.2", zone("db.example. 60 A 10.2.0.1"))
	h.want("db.example", "10.2.0.1")
	first.wantAsked(t, "udp A db.example.", "udp AAAA db.example.")
	second.wantAsked(t, "udp A db.example.", "udp AAAA db.example.")
}

func TestNoServerAnswers(t *testing.T) {
	h := newHouse(t)
	h.write("a", "resolv.conf", "nameserver 127.0.0.1", "search one.example", "options timeout:1 attempts:2")
	s := serve(t, h.tenant.NS, "127.0.0.1", silent)
	if e := h.failure("db", resolver.ErrTimeout); !e.Timeout() {
		t.Error("Timeout() is false")
	}
	// Twice, and not db alone after that: whether db.one.example exists is not known.
	s.wantAsked(t, "udp A db.one.example.", "udp AAAA db.one.example.", "udp A db.one.example.", "udp AAAA db.one.example.")
}

func TestUnreachableServers(t *testing.T) {
	h := newHouse(t)
	h.write("a", "resolv.conf", "nameserver 127.0.0.1", "nameserver 192.0.2.1")
	e := h.failure("db.example", unix.ECONNREFUSED)
	if !errors.Is(e, unix.ENETUNREACH) || e.Timeout() { // each server's own
		t.Errorf("%v, want ENETUNREACH too, and no timeout", e)
	}
	const want = `resolver: look up "db.example" in a: 127.0.0.1: read: connection refused; 192.0.2.1: connect: network is unreachable`
	if e.Error() != want {
		t.Errorf("the error says\n%s\nwant\n%s", e, want)
	}
}

func TestServerFailureMovesOn(t *testing.T) {
	for _, code := range []int{dns.RcodeServerFailure, dns.RcodeRefused, dns.RcodeNotImplemented, dns.RcodeFormatError, dns.RcodeBadVers} {
		t.Run(dns.RcodeToString[code], func(t *testing.T) {
			h := newHouse(t)
			h.write("a", "resolv.conf", "nameserver 127.0.0.1", "nameserver ::1")
			serve(t, h.tenant.NS, "127.0.0.1", rcode(code))
			serve(t, h.tenant.NS, "::1", zone("db.example. 60 A 10.2.0.1"))
			h.want("db.example", "10.2.0.1")
			h.write("a", "resolv.conf", "nameserver 127.0.0.1")
			h.wantErr("db.example", resolver.ErrServerFailure)
		})
	}
}

func TestReferralIsNoAnswer(t *testing.T) {
	h := newHouse(t)
	serve(t, h.tenant.NS, "127.0.0.1", func(w dns.ResponseWriter, query *dns.Msg) {
		m := new(dns.Msg).SetReply(query)
		m.Ns = parse("example. 60 NS ns.example.")
		reply(w, m)
	})
	h.wantErr("db.example", resolver.ErrServerFailure)
}

// RFC 6891, section 7: a server may be too old for EDNS0.
func TestServerWithoutEDNS(t *testing.T) {
	h := newHouse(t)
	answer := zone("db.example. 60 A 10.1.0.1")
	serve(t, h.tenant.NS, "127.0.0.1", func(w dns.ResponseWriter, query *dns.Msg) {
		if query.IsEdns0() == nil {
			answer(w, query)
			return
		}
		m := &dns.Msg{} // nothing but a header
		m.Id, m.Response, m.Rcode = query.Id, true, dns.RcodeFormatError
		reply(w, m)
	})
	h.want("db.example", "10.1.0.1")
}

// What is no reply to the question is not taken for one, however it got past the
// kernel's check of the sender.
func TestForgedRepliesAreIgnored(t *testing.T) {
	h := newHouse(t)
	good, bad := parse("db.example. 60 A 10.1.0.1"), parse("db.example. 60 A 10.6.6.6", "other.example. 60 A 10.6.6.6")
	serve(t, h.tenant.NS, "127.0.0.1", func(w dns.ResponseWriter, query *dns.Msg) {
		forge := func(change func(*dns.Msg)) {
			m := answerFrom(bad, query)
			change(m)
			reply(w, m)
		}
		forge(func(m *dns.Msg) { m.Id++ })
		forge(func(m *dns.Msg) { m.Response = false })
		forge(func(m *dns.Msg) { m.Opcode = dns.OpcodeStatus })
		forge(func(m *dns.Msg) { m.Question[0].Name = "other.example." })
		forge(func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeMX })
		forge(func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS })
		forge(func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) })
		forge(func(m *dns.Msg) { m.Question = nil })
		for _, garbage := range []string{"", "x", "0123456789a", "0123456789ab", strings.Repeat("\xff", 1500)} {
			_, _ = w.Write([]byte(garbage))
		}
		m := answerFrom(good, query)
		m.Question[0].Name = "DB.eXample." // the same name
		reply(w, m)
	})
	h.want("db.example", "10.1.0.1")
}

func TestNotFoundAndNoData(t *testing.T) {
	h := newHouse(t)
	serve(t, h.tenant.NS, "127.0.0.1", zone("mail.example. 60 MX 10 mx.example.", "web.example. 60 AAAA fd00::1"))
	if e := h.failure("db.example", resolver.ErrNotFound); errors.Is(e, resolver.ErrNoData) {
		t.Error("ErrNotFound is ErrNoData too")
	}
	if e := h.failure("mail.example", resolver.ErrNoData); errors.Is(e, resolver.ErrNotFound) {
		t.Error("ErrNoData is ErrNotFound too")
	}
	h.want("web.example", "fd00::1")
}

func TestSearchAndNdots(t *testing.T) {
	h := newHouse(t)
	s := serve(t, h.tenant.NS, "127.0.0.1", zone("db.two.example. 60 A 10.1.0.1", "db.one.example. 60 MX 10 mx.example."))
	both := func(names ...string) (questions []string) {
		for _, name := range names {
			questions = append(questions, "udp A "+name, "udp AAAA "+name)
		}
		return questions
	}
	h.write("a", "resolv.conf", "search one.example . two.example. bad..name three.example")
	h.want("db", "10.1.0.1")
	s.wantAsked(t, both("db.one.example.", "db.two.example.")...)

	h.wantErr("no.such", resolver.ErrNotFound)
	s.wantAsked(t, both("no.such.", "no.such.one.example.", "no.such.two.example.", "no.such.three.example.")...)

	h.wantErr("db.", resolver.ErrNotFound) // absolute
	s.wantAsked(t, both("db.")...)

	h.write("a", "resolv.conf", "search one.example", "options ndots:2")
	h.wantErr("db", resolver.ErrNoData) // db.one.example exists
	s.wantAsked(t, both("db.one.example.", "db.")...)

	h.write("a", "resolv.conf", "search example", "options ndots:2")
	h.want("DB.two", "10.1.0.1")
	s.wantAsked(t, both("db.two.example.")...)
}

func TestRotate(t *testing.T) {
	h := newHouse(t)
	h.write("a", "resolv.conf", "nameserver 127.0.0.1", "nameserver 127.0.0.2", "options rotate")
	answer := zone("db.example. 0 A 10.1.0.1")
	first, second := serve(t, h.tenant.NS, "127.0.0.1", answer), serve(t, h.tenant.NS, "127.0.0.2", answer)
	for range 4 {
		h.want("db.example", "10.1.0.1")
	}
	if a, b := len(first.questions()), len(second.questions()); a != 4 || b != 4 {
		t.Errorf("asked %d and %d questions, want 4 each", a, b)
	}
}

func TestAliases(t *testing.T) {
	h := newHouse(t)
	serve(t, h.tenant.NS, "127.0.0.1", func(w dns.ResponseWriter, query *dns.Msg) {
		m := new(dns.Msg).SetReply(query)
		m.RecursionAvailable = true
		switch name := query.Question[0].Name; {
		case name == "loop.example.":
			m.Answer = parse("loop.example. 60 CNAME pool.example.", "pool.example. 60 CNAME loop.example.")
		case name == "dangling.example.":
			m.Answer = parse("dangling.example. 60 CNAME nowhere.example.", "other.example. 60 A 10.6.6.6")
			m.Rcode = dns.RcodeNameError
		case query.Question[0].Qtype == dns.TypeA:
			m.Answer = parse("c.example. 60 A 10.1.0.1", "B.example. 60 CNAME C.example.", "other.example. 60 A 10.6.6.6",
				"www.example. 60 CNAME b.example.", "c.example. 60 CH A 10.6.6.6")
		default:
			m.Answer = parse("www.example. 60 CNAME b.example.")
		}
		reply(w, m)
	})
	h.want("www.example", "10.1.0.1")
	h.wantErr("loop.example", resolver.ErrServerFailure)
	h.wantErr("dangling.example", resolver.ErrNotFound)
}

// Some servers never answer for one family.
func TestOneFamilyIsSilent(t *testing.T) {
	h := newHouse(t)
	h.config.FamilyGrace = time.Millisecond
	h.configure(h.config)
	h.write("a", "resolv.conf", "options timeout:30 attempts:2") // longer than the test's patience
	answer := zone("db.example. 60 A 10.1.0.1", "db.example. 60 AAAA fd00::1")
	var mute atomic.Uint32
	serve(t, h.tenant.NS, "127.0.0.1", func(w dns.ResponseWriter, query *dns.Msg) {
		if query.Question[0].Qtype != uint16(mute.Load()) {
			answer(w, query)
		}
	})
	mute.Store(uint32(dns.TypeAAAA))
	h.want("db.example", "10.1.0.1")
	h.Forget(h.tenant.NS.ID())
	mute.Store(uint32(dns.TypeA))
	h.want("db.example", "fd00::1")
}

// Only one that has addresses sets the other a limit.
func TestOneFamilyHasNothing(t *testing.T) {
	h := newHouse(t)
	h.config.FamilyGrace = time.Nanosecond
	h.configure(h.config)
	answer := zone("db.example. 60 AAAA fd00::1")
	four := make(chan struct{})
	serve(t, h.tenant.NS, "127.0.0.1", func(w dns.ResponseWriter, query *dns.Msg) {
		if query.Question[0].Qtype == dns.TypeAAAA {
			<-four
			time.Sleep(20 * time.Millisecond) // for the other answer to be there first, most often
		} else {
			defer close(four)
		}
		answer(w, query)
	})
	h.want("db.example", "fd00::1")
}

// One family's addresses do, whatever has become of the other, but that there are
// none takes an answer for both.
func TestOneFamilyFails(t *testing.T) {
	h := newHouse(t)
	answer := zone("db.example. 60 A 10.1.0.1")
	serve(t, h.tenant.NS, "127.0.0.1", func(w dns.ResponseWriter, query *dns.Msg) {
		if query.Question[0].Qtype == dns.TypeAAAA {
			rcode(dns.RcodeServerFailure)(w, query)
			return
		}
		answer(w, query)
	})
	h.want("db.example", "10.1.0.1")
	h.wantErr("no.example", resolver.ErrServerFailure)
}

func TestAnswersAreRemembered(t *testing.T) {
	h := newHouse(t)
	s := serve(t, h.tenant.NS, "127.0.0.1", zone(
		"db.example. 60 A 10.1.0.1", "db.example. 60 AAAA fd00::1",
		"brief.example. 0 A 10.1.0.2", "brief.example. 0 AAAA fd00::2",
		"example. 60 SOA ns.example. admin.example. 1 60 60 60 60"))
	lookups := func() {
		for range 2 {
			h.want("db.example", "fd00::1", "10.1.0.1")
			h.want("brief.example", "fd00::2", "10.1.0.2")
			h.wantErr("no.example", resolver.ErrNotFound)
		}
	}
	asked := []string{
		"udp A db.example.", "udp AAAA db.example.", "udp A no.example.", "udp AAAA no.example.",
		"udp A brief.example.", "udp AAAA brief.example.", "udp A brief.example.", "udp AAAA brief.example.",
	}
	lookups()
	s.wantAsked(t, asked...)
	h.Forget(h.tenant.NS.ID())
	lookups()
	s.wantAsked(t, asked...)

	h.config.CacheSize = -1
	h.configure(h.config)
	h.want("db.example", "fd00::1", "10.1.0.1")
	h.want("db.example", "fd00::1", "10.1.0.1")
	s.wantAsked(t, "udp A db.example.", "udp AAAA db.example.", "udp A db.example.", "udp AAAA db.example.")
}

// A caller may do with its slice as it likes.
func TestResultsAreTheCallers(t *testing.T) {
	h := newHouse(t)
	h.write("a", "hosts", "10.0.0.1 printer")
	serve(t, h.tenant.NS, "127.0.0.1", zone("four.example. 60 A 10.1.0.1", "six.example. 60 AAAA fd00::1"))
	for host, want := range map[string]string{"printer": "10.0.0.1", "four.example": "10.1.0.1", "six.example": "fd00::1"} {
		addrs, err := h.lookup(host)
		check(t, err)
		addrs[0] = netip.Addr{}
		h.want(host, want)
	}
}

// A name that comes back as another namespace starts with nothing.
func TestRebornNameIsAnother(t *testing.T) {
	h := newHouse(t)
	t.Run("before", func(t *testing.T) {
		serve(t, h.tenant.NS, "127.0.0.1", zone("db.example. 60 A 10.1.0.1"))
		h.want("db.example", "10.1.0.1")
	})
	check(t, h.tenant.Recreate())
	serve(t, h.tenant.NS, "127.0.0.1", zone("db.example. 60 A 10.2.0.1"))
	h.want("db.example", "10.2.0.1")
}

func TestEqualQuestionsAreAskedOnce(t *testing.T) {
	h := newHouse(t)
	release := make(chan struct{})
	answer := zone("db.example. 60 A 10.1.0.1", "db.example. 60 AAAA fd00::1")
	s := serve(t, h.tenant.NS, "127.0.0.1", func(w dns.ResponseWriter, query *dns.Msg) {
		<-release
		answer(w, query)
	})
	const callers = 20
	var started, done sync.WaitGroup
	started.Add(callers)
	for range callers {
		done.Go(func() {
			started.Done()
			h.want("db.example", "fd00::1", "10.1.0.1") // or later, from memory
		})
	}
	started.Wait()
	close(release)
	done.Wait()
	s.wantAsked(t, "udp A db.example.", "udp AAAA db.example.")
}

// The first of several to ask may leave; the others still get the answer.
func TestCancel(t *testing.T) {
	h := newHouse(t)
	asked, release := make(chan struct{}, 4), make(chan struct{})
	answer := zone("db.example. 60 A 10.1.0.1")
	serve(t, h.tenant.NS, "127.0.0.1", func(w dns.ResponseWriter, query *dns.Msg) {
		asked <- struct{}{}
		<-release
		answer(w, query)
	})
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error)
	go func() {
		_, err := h.LookupNetIP(ctx, h.tenant.NS, "a", "db.example")
		first <- err
	}()
	<-asked
	var others sync.WaitGroup
	others.Go(func() { h.want("db.example", "10.1.0.1") })
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) { // though the server is silent
		t.Errorf("%v, want context.Canceled", err)
	}
	close(release)
	others.Wait()

	_, err := h.LookupNetIP(ctx, h.tenant.NS, "a", "other.example")
	if !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that has ended: %v, want context.Canceled", err)
	}
}

func TestCancelWhileConnecting(t *testing.T) {
	h := newHouse(t)
	h.write("a", "resolv.conf", "options timeout:30")
	listenFull(t, h.tenant.NS, "127.0.0.1")
	ctx, cancel := context.WithCancel(patient(t))
	defer cancel()
	s := serveUDP(t, h.tenant.NS, "127.0.0.1", func(w dns.ResponseWriter, query *dns.Msg) { reply(w, truncated(query)) })
	go func() {
		s.wantAsked(t, "udp A db.example.", "udp AAAA db.example.")
		awaitSynSent(t, h.tenant.NS)
		cancel()
	}()
	ended := make(chan error, 1)
	go func() {
		_, err := h.LookupNetIP(ctx, h.tenant.NS, "a", "db.example")
		ended <- err
	}()
	select {
	case err := <-ended:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%v, want context.Canceled", err)
		}
	case <-time.After(patience * 2 / 3): // the server has 30 s
		t.Error("the lookup goes on after its context has ended")
	}
}

// awaitSynSent waits until a TCP connection of the namespace is on its way, by its
// state in /proc/net/tcp.
func awaitSynSent(t *testing.T, ns *nsctx.Namespace) {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		var table []byte
		err := ns.Do(func() (err error) {
			table, err = os.ReadFile("/proc/thread-self/net/tcp")
			return err
		})
		if err != nil {
			t.Error(err)
			return
		}
		if bytes.Contains(table, []byte(" 02 ")) {
			return
		}
	}
	t.Error("nobody connects")
}

// The zone of a link-local server is an interface of the namespace. Package net
// would look it up at home, and remember it for all namespaces.
func TestServerWithZone(t *testing.T) {
	h := newHouse(t)
	b := h.lab.MustAdd(t, "b")
	addLinkLocal(t, b.Peer, "fe80::53")
	addLinkLocal(t, b.NS, "fe80::54")
	serve(t, b.Peer, "::", zone("db.example. 60 A 10.1.0.1"))
	h.write("b", "resolv.conf", "nameserver fe80::53%eth0")
	addrs, err := h.lookupIn(b, "db.example")
	check(t, err)
	wantAddrs(t, addrs, "10.1.0.1")

	h.write("b", "resolv.conf", "nameserver fe80::53%nosuch")
	if _, err := h.lookupIn(b, "db.example"); !errors.Is(err, unix.ENODEV) {
		t.Errorf("%v, want ENODEV", err)
	}
}

func addLinkLocal(t *testing.T, ns *nsctx.Namespace, addr string) {
	t.Helper()
	check(t, ns.Do(func() error {
		handle, err := netlink.NewHandle(unix.NETLINK_ROUTE)
		if err != nil {
			return err
		}
		defer handle.Close()
		link, err := handle.LinkByName("eth0")
		if err != nil {
			return err
		}
		a, err := netlink.ParseAddr(addr + "/64")
		if err != nil {
			return err
		}
		a.Flags = unix.IFA_F_NODAD
		return handle.AddrAdd(link, a)
	}))
}

func TestManyAtOnce(t *testing.T) {
	h := newHouse(t)
	tenants := []*nstest.Tenant{h.tenant, h.lab.MustAddBare(t, "b"), h.lab.MustAddBare(t, "c")}
	for i, tenant := range tenants {
		rrs := parse(fmt.Sprintf("example. 60 A 10.0.0.%d", i))
		serve(t, tenant.NS, "127.0.0.1", func(w dns.ResponseWriter, query *dns.Msg) {
			m := new(dns.Msg).SetReply(query)
			m.RecursionAvailable = true
			if query.Question[0].Qtype == dns.TypeA {
				m.Answer = []dns.RR{dns.Copy(rrs[0])}
				m.Answer[0].Header().Name = query.Question[0].Name
			}
			reply(w, m)
		})
	}
	h.config.CacheSize = 20 // overflows
	h.configure(h.config)
	var wg sync.WaitGroup
	for i := range 300 {
		wg.Go(func() {
			addrs, err := h.lookupIn(tenants[i%3], fmt.Sprintf("host%d.example", i/6))
			if err != nil {
				t.Error(err)
				return
			}
			wantAddrs(t, addrs, fmt.Sprintf("10.0.0.%d", i%3))
			if i%50 == 0 {
				h.Forget(tenants[i%3].NS.ID())
			}
		})
	}
	wg.Wait()
}
