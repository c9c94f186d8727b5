package middleware_test

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/handlers/handlertest"
	"github.com/nsreactor/nsreactor/handlers/middleware"
)

// The parts of headers of version 2.
const (
	signature = "\r\n\r\n\x00\r\nQUIT\n"
	addresses = "\xc6\x33\x64\x07\xc0\x00\x02\x01\x30\x39\x01\xbb" // 198.51.100.7:12345, 192.0.2.1:443
	line      = "PROXY TCP4 198.51.100.7 192.0.2.1 12345 443\r\n"
)

// v2 is a header of version 2 with a command, a family and a rest.
func v2(command, family byte, rest string) string {
	size := binary.BigEndian.AppendUint16(nil, uint16(len(rest)))
	return signature + string([]byte{0x20 | command, family}) + string(size) + rest
}

func always(p middleware.ProxyPolicy) func(*engine.Conn) middleware.ProxyPolicy {
	return func(*engine.Conn) middleware.ProxyPolicy { return p }
}

// whois answers with the client's address first.
var whois = hooks{open: func(c *engine.Conn) { _, _ = c.Write([]byte(middleware.ClientAddr(c).String() + " ")) }}

// Every header that is one is read, in whatever pieces it comes, and what follows it is the
// handler's.
func TestProxyHeaders(t *testing.T) {
	tlv := "\x02\x00\x0bexample.org"
	for name, test := range map[string]struct{ header, client string }{
		"version 1":             {line, "198.51.100.7:12345"},
		"version 1, IPv6":       {"PROXY TCP6 2001:db8::7 2001:db8::1 1 65535\r\n", "[2001:db8::7]:1"},
		"version 1, mapped":     {"PROXY TCP6 ::ffff:198.51.100.7 ::ffff:192.0.2.1 1 2\r\n", "198.51.100.7:1"},
		"version 1, unknown":    {"PROXY UNKNOWN\r\n", "10.0.0.1:1"},
		"version 1, longest":    {"PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n", "10.0.0.1:1"},
		"version 2":             {v2(1, 0x11, addresses), "198.51.100.7:12345"},
		"version 2, with more":  {v2(1, 0x11, addresses+tlv), "198.51.100.7:12345"},
		"version 2, IPv6":       {v2(1, 0x21, strings.Repeat("\x20\x01\x0d\xb8\x00\x00\x00\x00", 4)+"\x00\x01\x00\x02"), "[2001:db8::2001:db8:0:0]:1"},
		"version 2, local":      {v2(0, 0x00, ""), "10.0.0.1:1"},
		"version 2, local lies": {v2(0, 0x11, addresses), "10.0.0.1:1"},
		"version 2, unknown":    {v2(1, 0x00, ""), "10.0.0.1:1"},
		"version 2, unix":       {v2(1, 0x31, strings.Repeat("/tmp/sock", 24)), "10.0.0.1:1"},
		"version 2, longest":    {v2(1, 0x11, addresses+"\x04\x0f\xf1"+strings.Repeat("x", 4096-15)), "198.51.100.7:12345"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, after := range []string{"", "hello"} {
				for _, piece := range []int{1, 5, 7, 16, 10_000} {
					var sizes []int
					for range len(test.header+after) / piece {
						sizes = append(sizes, piece)
					}
					proxy := &middleware.ProxyProtocol{Trusted: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
					lp := handlertest.New(t, proxy.Wrap(whois))
					c := lp.Connect(from("a", "10.0.0.1:1"))
					c.SendPieces(test.header+after, sizes...)
					c.Expect(test.client + " " + after)
					if s := proxy.Stats(); s.Accepted != 1 {
						t.Errorf("stats: %+v", s)
					}
					lp.Advance(time.Hour) // the header's timeout is over
					c.Send("!")
					c.Expect("!")
				}
			}
		})
	}
}

// What is no header, or comes from where none may, ends the connection in one way.
func TestProxyRefusals(t *testing.T) {
	for name, test := range map[string]struct {
		policy middleware.ProxyPolicy
		send   string
		err    error
		stats  middleware.ProxyStats
	}{
		"other bytes":         {middleware.ProxyRequired, "GET / HTTP/1.1\r\n", middleware.ErrProxyMissing, middleware.ProxyStats{Missing: 1}},
		"nearly":              {middleware.ProxyRequired, "PROXI", middleware.ErrProxyMissing, middleware.ProxyStats{Missing: 1}},
		"nearly version 2":    {middleware.ProxyRequired, "\r\n\r\n\x00\r\nQUIT\r", middleware.ErrProxyMissing, middleware.ProxyStats{Missing: 1}},
		"no end":              {middleware.ProxyRequired, "PROXY TCP4 " + strings.Repeat("1", 96), middleware.ErrProxyHeader, middleware.ProxyStats{Bad: 1}},
		"bare LF":             {middleware.ProxyRequired, strings.Replace(line, "\r\n", "\n", 1), middleware.ErrProxyHeader, middleware.ProxyStats{Bad: 1}},
		"bad address":         {middleware.ProxyRequired, "PROXY TCP4 1.2.3.256 1.2.3.4 1 2\r\n", middleware.ErrProxyHeader, middleware.ProxyStats{Bad: 1}},
		"bad port":            {middleware.ProxyRequired, "PROXY TCP4 1.2.3.5 1.2.3.4 1 65536\r\n", middleware.ErrProxyHeader, middleware.ProxyStats{Bad: 1}},
		"wrong family":        {middleware.ProxyRequired, "PROXY TCP4 ::1 ::2 1 2\r\n", middleware.ErrProxyHeader, middleware.ProxyStats{Bad: 1}},
		"version 3":           {middleware.ProxyRequired, signature + "\x31\x11\x00\x0c" + addresses, middleware.ErrProxyHeader, middleware.ProxyStats{Bad: 1}},
		"bad command":         {middleware.ProxyRequired, v2(2, 0x11, addresses), middleware.ErrProxyHeader, middleware.ProxyStats{Bad: 1}},
		"bad family":          {middleware.ProxyRequired, v2(1, 0x41, addresses), middleware.ErrProxyHeader, middleware.ProxyStats{Bad: 1}},
		"too short":           {middleware.ProxyRequired, v2(1, 0x11, addresses[:11]), middleware.ErrProxyHeader, middleware.ProxyStats{Bad: 1}},
		"too long":            {middleware.ProxyRequired, signature + "\x21\x11\x10\x01", middleware.ErrProxyHeader, middleware.ProxyStats{Bad: 1}},
		"bad TLV":             {middleware.ProxyRequired, v2(1, 0x11, addresses+"\x01\x00\x05abc"), middleware.ErrProxyHeader, middleware.ProxyStats{Bad: 1}},
		"forbidden":           {middleware.ProxyForbidden, line, middleware.ErrProxyForbidden, middleware.ProxyStats{Forbidden: 1}},
		"forbidden 2":         {middleware.ProxyForbidden, v2(0, 0, ""), middleware.ErrProxyForbidden, middleware.ProxyStats{Forbidden: 1}},
		"forbidden and bad":   {middleware.ProxyForbidden, "PROXY TCP5 " + strings.Repeat("1", 96), middleware.ErrProxyForbidden, middleware.ProxyStats{Forbidden: 1}},
		"denied":              {middleware.ProxyDenied, "", middleware.ErrProxyDenied, middleware.ProxyStats{Denied: 1}},
		"optional and bad":    {middleware.ProxyOptional, "PROXY TCP5 \r\n", middleware.ErrProxyHeader, middleware.ProxyStats{Bad: 1}},
		"two headers, though": {middleware.ProxyRequired, "PROXY " + line, middleware.ErrProxyHeader, middleware.ProxyStats{Bad: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			inside, around := &diary{}, &diary{}
			proxy := &middleware.ProxyProtocol{Policy: always(test.policy)}
			lp := handlertest.New(t, around.around(proxy.Wrap(inside)))
			c := lp.Connect()
			if test.send != "" {
				c.Send(test.send)
			}
			c.ExpectEnd(test.err)
			if !c.WasReset() || len(c.Received()) > 0 {
				t.Errorf("received %q, and a reset: %v", c.Received(), c.WasReset())
			}
			inside.expect(t, "")
			if e := new(engine.Error); !errors.As(around.err, &e) || e.Namespace != "a" {
				t.Errorf("OnClose got %v", around.err)
			}
			if s := proxy.Stats(); s != test.stats {
				t.Errorf("stats: %+v", s)
			}
			if n := lp.Stats().Namespaces[0].Errors[engine.ErrorHandler]; n != 1 {
				t.Errorf("the engine counts %d", n)
			}
		})
	}
}

// A header that stalls is given up on; where none is due, nothing is waited for that has not
// begun.
func TestProxyTimeout(t *testing.T) {
	for name, test := range map[string]struct {
		policy middleware.ProxyPolicy
		send   string
		err    error
		late   string
	}{
		"silence":           {middleware.ProxyRequired, "", middleware.ErrProxyTimeout, ""},
		"stalls":            {middleware.ProxyRequired, line[:20], middleware.ErrProxyTimeout, ""},
		"version 2 stalls":  {middleware.ProxyOptional, v2(1, 0x11, addresses)[:20], middleware.ErrProxyTimeout, ""},
		"forbidden, begun":  {middleware.ProxyForbidden, "PR", middleware.ErrProxyTimeout, ""},
		"optional, silence": {middleware.ProxyOptional, "", nil, "10.0.0.1:1 "},
		"speaks first":      {middleware.ProxyForbidden, "", nil, "10.0.0.1:1 "},
	} {
		t.Run(name, func(t *testing.T) {
			proxy := &middleware.ProxyProtocol{Policy: always(test.policy), Timeout: time.Second}
			lp := handlertest.New(t, proxy.Wrap(whois))
			c := lp.Connect(from("a", "10.0.0.1:1"))
			if test.send != "" {
				c.Send(test.send)
			}
			lp.Advance(999 * time.Millisecond)
			c.Expect("")
			if _, ended := c.Ended(); ended {
				t.Fatal("ended early")
			}
			lp.Advance(time.Millisecond)
			c.Expect(test.late)
			if test.err != nil {
				c.ExpectEnd(test.err)
				c.ExpectEnd(engine.ErrDeadline)
			}
		})
	}
}

// The end of the input while a header is waited for.
func TestProxyAndEnds(t *testing.T) {
	for name, test := range map[string]struct {
		policy      middleware.ProxyPolicy
		send, reply string
		calls       string
		err         error
	}{
		"required, nothing": {middleware.ProxyRequired, "", "", "", middleware.ErrProxyMissing},
		"required, a part":  {middleware.ProxyRequired, line[:20], "", "", middleware.ErrProxyMissing},
		"required, all":     {middleware.ProxyRequired, line, "", "oec", nil},
		"required, more":    {middleware.ProxyRequired, line + "hello", "hello", "odec", nil},
		"optional, nothing": {middleware.ProxyOptional, "", "", "oec", nil},
		"optional, a part":  {middleware.ProxyOptional, "PRO", "PRO", "odec", nil},
		"forbidden, other":  {middleware.ProxyForbidden, "hello", "hello", "odec", nil},
	} {
		t.Run(name, func(t *testing.T) {
			d := &diary{}
			proxy := &middleware.ProxyProtocol{Policy: always(test.policy)}
			lp := handlertest.New(t, proxy.Wrap(d))
			c := lp.Connect()
			lp.Together(func() {
				if test.send != "" {
					c.Send(test.send)
				}
				c.CloseWrite()
			})
			c.Expect(test.reply)
			c.Close()
			c.ExpectEnd(test.err)
			d.expect(t, test.calls)
		})
	}
	t.Run("drain", func(t *testing.T) {
		d := &diary{}
		lp := handlertest.New(t, new(middleware.ProxyProtocol).Wrap(d))
		c := lp.Connect()
		c.Send("P")
		lp.Drain()
		c.Close()
		c.ExpectEnd(nil)
		d.expect(t, "")
	})
}

// Where a handler speaks first, a peer that may not send a header is its from the start.
func TestProxySpeaksFirst(t *testing.T) {
	proxy := &middleware.ProxyProtocol{SpeaksFirst: true, Trusted: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
	lp := handlertest.New(t, proxy.Wrap(whois))
	direct, proxied := lp.Connect(from("a", "192.168.0.1:1")), lp.Connect(from("a", "10.0.0.1:1"))
	direct.Expect("192.168.0.1:1 ")
	proxied.Expect("")
	direct.Send(line)
	direct.Expect(line)
	proxied.Send(line)
	proxied.Expect("198.51.100.7:12345 ")
}

// Policies may go by namespace; what a header declares is what limits and logs go by.
func TestProxyPolicyByNamespace(t *testing.T) {
	proxy := &middleware.ProxyProtocol{Policy: func(c *engine.Conn) middleware.ProxyPolicy {
		if c.Namespace().Name() == "a" {
			return middleware.ProxyRequired
		}
		return middleware.ProxyForbidden
	}}
	limits := &middleware.Limits{PerPeer: 1}
	lp := handlertest.New(t, middleware.Chain(whois, proxy.Wrap, limits.Wrap), handlertest.Namespaces("a", "b"))
	one, two := lp.Connect(from("a", "10.0.0.1:1")), lp.Connect(from("a", "10.0.0.1:2"))
	one.Send(line)
	one.Expect("198.51.100.7:12345 ")
	two.Send(strings.Replace(line, "198.51.100.7", "198.51.100.8", 1))
	two.Expect("198.51.100.8:12345 ")
	three := lp.Connect(from("a", "10.0.0.1:3"))
	three.Send(strings.Replace(line, "12345", "12346", 1))
	three.ExpectEnd(middleware.ErrTooManyOfPeer)
	direct := lp.Connect(from("b", "10.0.0.1:4"))
	direct.Send("hello")
	direct.Expect("10.0.0.1:4 hello")
}

// TLVs are there for whoever knows them.
func TestProxyHeaderIsThere(t *testing.T) {
	var got []proxyproto.TLV
	var in *proxyproto.Header
	proxy := &middleware.ProxyProtocol{Policy: always(middleware.ProxyRequired)}
	lp := handlertest.New(t, proxy.Wrap(hooks{closed: func(c *engine.Conn, _ error) {
		in = middleware.ProxyHeader(c)
		got, _ = in.TLVs()
	}}))
	c := lp.Connect()
	c.Send(v2(1, 0x11, addresses+"\x02\x00\x0bexample.org"))
	c.Close()
	if in.Version != 2 || len(got) != 1 || got[0].Type != proxyproto.PP2_TYPE_AUTHORITY || string(got[0].Value) != "example.org" {
		t.Errorf("got %+v, %v", in, got)
	}
}

// What is sent can be read, of both versions.
func TestSendProxyHeader(t *testing.T) {
	v4, v6 := netip.MustParseAddrPort("198.51.100.7:1"), netip.MustParseAddrPort("[2001:db8::7]:2")
	zoned := netip.MustParseAddrPort("[fe80::1%eth0]:3")
	for _, test := range []struct {
		version     int
		source, to  netip.AddrPort
		client, raw string
		tlvs        []proxyproto.TLV
	}{
		{1, v4, v4, v4.String(), "PROXY TCP4 198.51.100.7 198.51.100.7 1 1\r\n", nil},
		{1, v6, v6, v6.String(), "PROXY TCP6 2001:db8::7 2001:db8::7 2 2\r\n", nil},
		{1, v4, v6, v4.String(), "PROXY TCP6 ::ffff:198.51.100.7 2001:db8::7 1 2\r\n", nil},
		{1, zoned, v6, "[fe80::1]:3", "", nil},
		{1, netip.AddrPort{}, v4, "10.0.0.1:1", "PROXY UNKNOWN\r\n", nil},
		{2, v4, v4, v4.String(), "", []proxyproto.TLV{{Type: proxyproto.PP2_TYPE_AUTHORITY, Value: []byte("example.org")}}},
		{2, v6, v4, v6.String(), "", nil},
		{2, netip.AddrPort{}, netip.AddrPort{}, "10.0.0.1:1", v2(0, 0, ""), nil},
	} {
		sender := handlertest.New(t, hooks{open: func(c *engine.Conn) {
			if err := middleware.SendProxyHeader(c, test.version, test.source, test.to, test.tlvs...); err != nil {
				t.Error(err)
			}
		}}).Connect()
		raw := string(sender.Take())
		if test.raw != "" && raw != test.raw {
			t.Errorf("sent %q, want %q", raw, test.raw)
		}
		proxy := &middleware.ProxyProtocol{Policy: always(middleware.ProxyRequired)}
		c := handlertest.New(t, proxy.Wrap(whois)).Connect(from("a", "10.0.0.1:1"))
		c.Send(raw + "x")
		c.Expect(test.client + " x")
	}
	handlertest.New(t, hooks{open: func(c *engine.Conn) {
		if err := middleware.SendProxyHeader(c, 3, v4, v4); !errors.Is(err, proxyproto.ErrUnknownProxyProtocolVersion) {
			t.Errorf("version 3: %v", err)
		}
	}}).Connect().Expect("")
}

// A proxy of a proxy hands on what it was told.
func TestProxyFor(t *testing.T) {
	var source, destination netip.AddrPort
	proxy := &middleware.ProxyProtocol{Policy: always(middleware.ProxyOptional)}
	lp := handlertest.New(t, proxy.Wrap(hooks{open: func(c *engine.Conn) { source, destination = middleware.ProxyFor(c) }}))
	lp.Connect().Send(line)
	if source.String() != "198.51.100.7:12345" || destination.String() != "192.0.2.1:443" {
		t.Errorf("from %v to %v", source, destination)
	}
	lp.Connect(from("a", "10.0.0.1:1")).Send("x")
	if source.String() != "10.0.0.1:1" || destination.String() != "192.0.2.1:7000" {
		t.Errorf("from %v to %v", source, destination)
	}
}

// In any pieces the outcome is that of one piece: the same header and rest, or the same
// refusal. Nothing is read that does not belong to the header.
func FuzzProxyHeader(f *testing.F) {
	for _, s := range []string{
		line + "hello", "hello", v2(1, 0x11, addresses+"\x01\x00\x01x") + "hello", v2(0, 0, ""), "PROXY UNKNOWN x\r\n", "PROXY TCP4", signature,
		"PROXY TCP6 ::1 ::2 1 2\r\n\r\n", signature + "\x21\x31\xff\xff", strings.Repeat("PROXY ", 30),
	} {
		f.Add([]byte(s), uint64(1), uint8(1))
		f.Add([]byte(s), uint64(0x5555), uint8(0))
	}
	f.Fuzz(func(t *testing.T, input []byte, splits uint64, policy uint8) {
		if len(input) > 8<<10 {
			return
		}
		run := func(sizes ...int) (outcome string) {
			proxy := &middleware.ProxyProtocol{Policy: always(middleware.ProxyPolicy(policy % 3))}
			lp := handlertest.New(t, proxy.Wrap(whois))
			c := lp.Connect(from("a", "10.0.0.1:1"))
			lp.Together(func() {
				if len(input) > 0 {
					c.SendPieces(string(input), sizes...)
				}
				c.CloseWrite()
			})
			err, _ := c.Ended()
			return middleware.Kind(err) + "|" + string(c.Received())
		}
		var sizes []int
		for i := range 64 {
			sizes = append(sizes, 1+int(splits>>i&1)*(i+1))
		}
		one, many := run(), run(sizes...)
		if one != many {
			t.Errorf("in one piece %q, in several %q", one, many)
		}
	})
}
