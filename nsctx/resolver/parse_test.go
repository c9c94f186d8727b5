package resolver

import (
	"bytes"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// What is accepted as a host goes into a question and comes out as it was.
func FuzzCheckHost(f *testing.F) {
	for _, host := range []string{"", ".", "db.example.", "a..b", `a\.b`, "_sip._tcp", strings.Repeat("a.", 127), "bücher", "A-1"} {
		f.Add(host)
	}
	f.Fuzz(func(t *testing.T, host string) {
		if checkHost(host) != nil {
			return
		}
		if len(hostKey(host)) > maxName || strings.ContainsAny(host, "\\\"()@$; \t\n") {
			t.Fatalf("%q was accepted", host)
		}
		data, err := newQuery(dns.Question{Name: dns.CanonicalName(host), Qtype: dns.TypeA, Qclass: dns.ClassINET}).Pack()
		if err != nil {
			t.Fatalf("%q was accepted, but: %v", host, err)
		}
		var back dns.Msg
		if err := back.Unpack(data); err != nil || back.Question[0].Name != hostKey(host)+"." {
			t.Fatalf("%q comes out as %q, %v", host, back.Question[0].Name, err)
		}
	})
}

// A table that is written as a file and read again is the same.
func FuzzHosts(f *testing.F) {
	for _, text := range []string{
		"127.0.0.1 localhost\n::1 localhost ip6-localhost\n", "10.0.0.1\ta b # c\n10.0.0.2 a", "fe80::1%eth0 a\r\n", "::ffff:10.0.0.1 a\n# 1.2.3.4 x",
		"10.0.0.1 a.\n10.0.0.1 A", "x y\n\n \n#", "10.0.0.1 \x00", "10.0.0.1\va",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		table, err := parseHosts(data)
		if err != nil {
			t.Fatal(err)
		}
		var text strings.Builder
		for name, addrs := range table {
			if checkHost(name) != nil || name != hostKey(name) || len(addrs) == 0 || !slices.IsSortedFunc(addrs, byFamily) {
				t.Fatalf("%q has %v", name, addrs)
			}
			for _, addr := range addrs {
				fmt.Fprintln(&text, addr, name)
			}
		}
		again, err := parseHosts([]byte(text.String()))
		if err != nil || !reflect.DeepEqual(table, again) {
			t.Fatalf("%v became %v, %v", table, again, err)
		}
	})
}

// Whatever a resolv.conf says, there is somebody to ask, something to ask for, and an
// end to it.
func FuzzResolvConf(f *testing.F) {
	for _, text := range []string{
		"nameserver 10.0.0.1\nsearch a b.\noptions ndots:2 timeout:3 attempts:4 rotate", "nameserver fe80::1%eth0", "nameserver ::1\nnameserver ::2\nnameserver ::3\nnameserver ::4", "nameserver x",
		"options timeout:99999999999999999999 attempts:-1 ndots:x", "domain a\nsearch", "search . .. a..b " + strings.Repeat("a", 64),
	} {
		f.Add([]byte(text), "db")
	}
	f.Fuzz(func(t *testing.T, data []byte, host string) {
		conf, err := parseResolvConf(data)
		if err != nil || checkHost(host) != nil {
			return
		}
		if n := len(conf.servers); n < 1 || n > maxServers {
			t.Fatalf("%d servers", n)
		}
		if conf.timeout < time.Second || conf.timeout > maxTimeout*time.Second || conf.attempts < 1 || conf.attempts > maxAttempts {
			t.Fatalf("%v, %d times", conf.timeout, conf.attempts)
		}
		names := conf.names(host)
		if !slices.Contains(names, dns.Fqdn(host)) {
			t.Fatalf("%q is not among %q", host, names)
		}
		for _, name := range names {
			if checkHost(name) != nil || !dns.IsFqdn(name) {
				t.Fatalf("asks for %q", name)
			}
		}
	})
}

// Any bytes from a server give an answer with addresses of the right family, or none
// for a reason.
func FuzzReply(f *testing.F) {
	query := newQuery(dns.Question{Name: "db.example.", Qtype: dns.TypeA, Qclass: dns.ClassINET})
	query.Id = 0x1234
	for _, record := range []string{"db.example. 60 A 10.0.0.1", "db.example. 60 CNAME db.example.", "db.example. 60 AAAA fd00::1"} {
		reply := new(dns.Msg).SetReply(query)
		rr, err := dns.NewRR(record)
		if err != nil {
			f.Fatal(err)
		}
		reply.Answer = []dns.RR{rr, rr}
		data, err := reply.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
		f.Add(data[:len(data)-2])
		f.Add(bytes.Replace(data, []byte{0, 4}, []byte{0, 0}, 1))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		reply := parseReply(data, query)
		if reply == nil {
			return
		}
		ans, err := readAnswer(reply, query.Question[0])
		reasons := 0
		for _, reason := range []bool{err != nil, ans.missing != nil, len(ans.addrs) > 0} {
			if reason {
				reasons++
			}
		}
		if reasons != 1 || len(ans.addrs) > maxAddrs || slices.ContainsFunc(ans.addrs, netip.Addr.Is6) || ans.ttl < 0 {
			t.Fatalf("%+v, %v", ans, err)
		}
	})
}
