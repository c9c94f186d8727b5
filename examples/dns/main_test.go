package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/nsreactor/nsreactor/examples/internal/programtest"
	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

func TestMain(m *testing.M) { programtest.Main(m, main) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// upstream is a server in home, whose answers are the test's to give.
type upstream struct {
	t    *testing.T
	conn net.PacketConn
}

func newUpstream(t *testing.T) upstream {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	must(t, conn.SetDeadline(time.Now().Add(programtest.Patience)))
	return upstream{t, conn}
}

func (u upstream) addr() string { return u.conn.LocalAddr().String() }

// asked is a query that has come to the upstream.
type asked struct {
	dns.Msg
	upstream
	from net.Addr
}

func (u upstream) next() asked {
	u.t.Helper()
	b := make([]byte, 1<<16)
	n, from, err := u.conn.ReadFrom(b)
	must(u.t, err)
	a := asked{upstream: u, from: from}
	must(u.t, a.Unpack(b[:n]))
	return a
}

// answer answers with a text, and with changes.
func (a asked) answer(text string, changes ...func(*dns.Msg)) {
	a.t.Helper()
	var m dns.Msg
	m.SetReply(&a.Msg)
	m.Answer = []dns.RR{&dns.TXT{
		Hdr: dns.RR_Header{Name: a.Question[0].Name, Rrtype: dns.TypeTXT, Class: dns.ClassINET}, Txt: []string{text},
	}}
	for _, change := range changes {
		change(&m)
	}
	b, err := m.Pack()
	must(a.t, err)
	a.send(b)
}

func (a asked) send(b []byte) {
	a.t.Helper()
	_, err := a.conn.WriteTo(b, a.from)
	must(a.t, err)
}

// client is somebody in a tenant who asks, always with one id.
type client struct {
	t *testing.T
	dns.Conn
}

const clientID = 7

func newClient(t *testing.T, conn net.Conn, err error) *client {
	t.Helper()
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	must(t, conn.SetDeadline(time.Now().Add(programtest.Patience)))
	return &client{t, dns.Conn{Conn: conn}}
}

func dial(t *testing.T, tenant *nstest.Tenant, network string) *client {
	t.Helper()
	conn, err := tenant.Dial(t.Context(), network, 53)
	return newClient(t, conn, err)
}

func (c *client) ask(name string) {
	c.t.Helper()
	var m dns.Msg
	m.SetQuestion(name, dns.TypeTXT)
	m.Id = clientID
	must(c.t, c.WriteMsg(&m))
}

func (c *client) read() *dns.Msg {
	c.t.Helper()
	m, err := c.ReadMsg()
	must(c.t, err)
	if m.Id != clientID || !m.Response {
		c.t.Errorf("no answer to what was asked: %v", m)
	}
	return m
}

// hears wants an answer with a text next.
func (c *client) hears(name, text string) {
	c.t.Helper()
	m := c.read()
	if m.Question[0].Name != name || len(m.Answer) != 1 || m.Answer[0].(*dns.TXT).Txt[0] != text {
		c.t.Fatalf("want the answer %q about %s, got %v", text, name, m)
	}
}

// fails wants to be told next that there is no answer.
func (c *client) fails(name string) {
	c.t.Helper()
	if m := c.read(); m.Rcode != dns.RcodeServerFailure || m.Question[0].Name != name || !m.RecursionDesired {
		c.t.Fatalf("want a failure about %s, got %v", name, m)
	}
}

// start runs the program in a lab with two tenants of one address.
func start(t *testing.T, u upstream, args ...string) (p *programtest.Program, red, blue *nstest.Tenant) {
	t.Helper()
	lab := nstest.New(t)
	red, blue = lab.MustAdd(t, "red"), lab.MustAdd(t, "blue")
	p = programtest.Launch(t, run, append([]string{"-netns-dir", lab.Dir(), "-upstream", u.addr()}, args...)...)
	p.Await(t, "msg=ready")
	return p, red, blue
}

// Two tenants with one address ask the same with one id at a time, and each gets its answer.
func TestTenantsAskAtOnce(t *testing.T) {
	u := newUpstream(t)
	p, red, blue := start(t, u)
	inRed, inBlue := dial(t, red, "udp4"), dial(t, blue, "udp6")
	inRed.ask("same.example.")
	first := u.next()
	inBlue.ask("same.example.")
	second := u.next()
	if first.from.String() == second.from.String() {
		t.Error("both are asked from one socket")
	}
	second.answer("second")
	first.answer("first")
	inRed.hears("same.example.", "first")
	inBlue.hears("same.example.", "second")

	inRed.ask("late.example.")
	late := u.next()
	id := red.NS.ID()
	must(t, red.Delete())
	p.Await(t, fmt.Sprintf(`"namespace released" netns=red id=%v`, id))
	late.answer("nobody is there")
	inBlue.ask("blue.example.")
	u.next().answer("still here")
	inBlue.hears("blue.example.", "still here")
	p.Stop()
	p.Wait(t, 0)
}

// One who asks much with one id is told apart by the forwarder's.
func TestIDsAreRestored(t *testing.T) {
	u := newUpstream(t)
	_, red, _ := start(t, u)
	c := dial(t, red, "udp4")
	var all []asked
	ids := make(map[string]bool)
	for i := range 100 {
		c.ask(fmt.Sprintf("n%d.example.", i))
		a := u.next()
		if key := fmt.Sprint(a.from, a.Id); ids[key] {
			t.Fatalf("%s asks twice at a time", key)
		} else {
			ids[key] = true
		}
		all = append(all, a)
	}
	for i, a := range slices.Backward(all) {
		a.answer(fmt.Sprint(i))
		c.hears(fmt.Sprintf("n%d.example.", i), fmt.Sprint(i))
	}
}

// A client takes an answer from the address that it has asked, and from no other.
func TestAnswersFromTheAddressAsked(t *testing.T) {
	u := newUpstream(t)
	_, red, _ := start(t, u)
	conn, err := nstest.DialIn(t.Context(), red.NS, "udp", netip.MustParseAddrPort("127.0.0.5:53"))
	c := newClient(t, conn, err)
	c.ask("x.example.")
	u.next().answer("yes")
	c.hears("x.example.", "yes")
}

// What is no query goes nowhere.
func TestGarbageIsIgnored(t *testing.T) {
	u := newUpstream(t)
	_, red, _ := start(t, u)
	c := dial(t, red, "udp4")
	var m dns.Msg
	m.SetQuestion("x.example.", dns.TypeA)
	query, err := m.Pack()
	must(t, err)
	answer := append([]byte(nil), query...)
	answer[2] |= answerBit
	two := append([]byte(nil), query...)
	two[5] = 2
	for _, b := range [][]byte{nil, {0}, []byte("not a message, but long enough for one"), query[:len(query)-1], query[:12], answer, two} {
		_, err := c.Write(b)
		must(t, err)
	}
	c.ask("query.example.")
	a := u.next()
	if a.Question[0].Name != "query.example." {
		t.Errorf("the upstream was asked %v", a.Question)
	}

	// And so does what is no answer to what waits.
	a.answer("other id", func(m *dns.Msg) { m.Id++ })
	a.answer("other question", func(m *dns.Msg) { m.Question[0].Name = "other.example." })
	a.answer("no answer", func(m *dns.Msg) { m.Response = false })
	a.send([]byte("not a message, but long enough for one"))
	a.send(nil)
	stranger := newUpstream(t)
	asked{Msg: a.Msg, upstream: stranger, from: a.from}.answer("from a stranger")
	a.answer("right", func(m *dns.Msg) { m.Question[0].Name = "QUERY.example." })
	a.answer("again")
	c.hears("QUERY.example.", "right")
	c.ask("next.example.")
	u.next().answer("next")
	c.hears("next.example.", "next")
}

// Who has waited for too long is told, and hears nothing of it later.
func TestTimeout(t *testing.T) {
	u := newUpstream(t)
	_, red, _ := start(t, u, "-timeout", "50ms")
	c := dial(t, red, "udp4")
	c.ask("slow.example.")
	slow := u.next()
	c.fails("slow.example.")
	slow.answer("too late")
	for { // until the machine is quick enough
		c.ask("quick.example.")
		u.next().answer("quick")
		if m := c.read(); m.Question[0].Name != "quick.example." {
			t.Fatalf("got %v", m)
		} else if m.Rcode == dns.RcodeSuccess {
			return
		}
	}
}

// A tenant that asks much more than is answered is told so, and memory is bounded.
func TestTooManyWait(t *testing.T) {
	u := newUpstream(t)
	_, red, blue := start(t, u, "-timeout", "1h")
	c := dial(t, red, "udp4")
	come := make(chan asked)
	go func() {
		b := make([]byte, 1<<16)
		for {
			_, _, err := u.conn.ReadFrom(b)
			if err != nil {
				return
			}
			come <- asked{}
		}
	}()
	failed := make(chan struct{})
	go func() {
		defer close(failed)
		c.fails("x.example.")
	}()
	waiting := 0
	for told := false; !told; {
		c.ask("x.example.")
		select {
		case <-come:
			waiting++
		case <-failed:
			told = true
		}
	}
	if most := maxAsked * runtime.NumCPU(); waiting < maxAsked || waiting > most {
		t.Errorf("%d wait, not %d to %d", waiting, maxAsked, most)
	}
	dial(t, blue, "udp4").ask("blue.example.")
	<-come
}

// What is too long for UDP says so, and comes by TCP.
func TestTCP(t *testing.T) {
	u := newUpstream(t)
	listener, err := net.Listen("tcp", u.addr())
	must(t, err)
	defer listener.Close()
	_, red, _ := start(t, u)
	c := dial(t, red, "udp4")
	c.ask("long.example.")
	u.next().answer("", func(m *dns.Msg) { m.Truncated, m.Answer = true, nil })
	if m := c.read(); !m.Truncated {
		t.Errorf("got %v", m)
	}
	c = dial(t, red, "tcp4")
	c.ask("long.example.")
	conn, err := listener.Accept()
	must(t, err)
	defer conn.Close()
	server := dns.Conn{Conn: conn}
	query, err := server.ReadMsg()
	must(t, err)
	var m dns.Msg
	m.SetReply(query)
	m.Answer = []dns.RR{&dns.TXT{
		Hdr: dns.RR_Header{Name: "long.example.", Rrtype: dns.TypeTXT, Class: dns.ClassINET}, Txt: []string{"long"},
	}}
	must(t, server.WriteMsg(&m))
	c.hears("long.example.", "long")
	_ = c.Close()
	if _, err := server.ReadMsg(); err == nil {
		t.Error("the client's end is not passed on")
	}
}

func TestSignal(t *testing.T) {
	lab := nstest.New(t)
	red := lab.MustAdd(t, "red")
	u := newUpstream(t)
	p := programtest.Spawn(t, false, "-netns-dir", lab.Dir(), "-upstream", u.addr(), "-admin", "127.0.0.1:0")
	p.Await(t, "msg=ready")
	dial(t, red, "udp4").ask("x.example.")
	u.next()
	p.Stop()
	p.Wait(t, 0)
}

func TestWrongCallsAreSaid(t *testing.T) {
	for _, test := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"-prot", "7"}, 2, "not defined: -prot"},
		{[]string{"-timeout", "0"}, 2, "less than 1ms"},
		{[]string{"-port", "70000", "-upstream", "::1"}, 2, "70000 is not within"},
		{[]string{"-netns", "[", "-upstream", "::1"}, 2, "syntax error in pattern"},
		{[]string{"-admin", "nowhere", "-upstream", "::1"}, 2, "neither a loopback"},
		{[]string{"-upstream", "dns.example"}, 2, `-upstream: "dns.example" is neither`},
		{[]string{"9.9.9.9"}, 2, `"9.9.9.9" is not a flag`},
		{[]string{"-h"}, 0, "-netns-dir directory"},
	} {
		p := programtest.Launch(t, run, test.args...)
		p.Wait(t, test.code)
		p.Await(t, regexp.QuoteMeta(test.want))
	}
	p := programtest.Spawn(t, true, "-upstream", "::1")
	p.Wait(t, 1)
	p.Await(t, "^dns: needs CAP_SYS_ADMIN")
}

func TestUpstream(t *testing.T) {
	for given, want := range map[string]string{
		"9.9.9.9": "9.9.9.9:53", "9.9.9.9:54": "9.9.9.9:54", "2620:fe::fe": "[2620:fe::fe]:53",
		"[2620:fe::fe]:54": "[2620:fe::fe]:54", "fe80::1%eth0": "[fe80::1%eth0]:53", "::ffff:9.9.9.9": "9.9.9.9:53",
	} {
		if got, err := findUpstream(given, ""); err != nil || got.String() != want {
			t.Errorf("%s: %v, %v", given, got, err)
		}
	}
	for _, given := range []string{"dns.example", "9.9.9.9:", "9.9.9.9:70000", "9.9.9.9:0", "[::1]"} {
		if got, err := findUpstream(given, ""); !errors.Is(err, errUsage) {
			t.Errorf("%s: %v, %v", given, got, err)
		}
	}
	file := filepath.Join(t.TempDir(), "resolv.conf")
	if got, err := findUpstream("", file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v, %v", got, err)
	}
	for content, want := range map[string]string{
		"": "no nameserver", "nameserver none": "neither an address",
		"search example\nnameserver 192.0.2.1\nnameserver 192.0.2.2": "192.0.2.1:53",
	} {
		must(t, os.WriteFile(file, []byte(content), 0o600))
		if got, err := findUpstream("", file); !strings.Contains(fmt.Sprint(got, err), want) || err != nil && !strings.Contains(err.Error(), "-upstream") {
			t.Errorf("%q: %v, %v", content, got, err)
		}
	}
}

// What is taken for a question is one.
func FuzzQuestion(f *testing.F) {
	var m dns.Msg
	m.SetQuestion("www.example.", dns.TypeAAAA)
	query, err := m.Pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(query)
	f.Add(query[:len(query)-1])
	f.Add(append(query[:headerSize:headerSize], 0xc0, 12, 0, 1, 0, 1))
	f.Fuzz(func(t *testing.T, b []byte) {
		question, ok := questionOf(b)
		if !ok {
			return
		}
		header := []byte{0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0}
		var m dns.Msg
		if err := m.Unpack(append(header, question...)); err != nil || len(m.Question) != 1 {
			t.Errorf("%x: %v", question, err)
		}
	})
}
