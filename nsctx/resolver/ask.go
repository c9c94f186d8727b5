package resolver

import (
	"context"
	"errors"
	"net/netip"
	"slices"

	"github.com/miekg/dns"

	"github.com/nsreactor/nsreactor/nsctx"
)

// udpSize is how large a datagram may be: what passes nearly everywhere without
// fragments, by the agreement of DNS Flag Day 2020.
const udpSize = 1232

// ask puts a question to the servers in turn, as often as resolv.conf says, until
// one answers it.
func (a *asker) ask(ctx context.Context, ns *nsctx.Namespace, question dns.Question) (answer, error) {
	servers := a.order()
	var failed serverErrors
	for range a.conf.attempts {
		for _, server := range servers {
			ans, err := a.askServer(ctx, ns, server, question)
			switch {
			case err == nil:
				return ans, nil
			case ctx.Err() != nil:
				return answer{}, ctx.Err()
			case isNamespaceError(err):
				return answer{}, err // and so for every server
			}
			failed.set(server, err)
		}
	}
	return answer{}, failed
}

// order returns the servers, the first one first.
func (a *asker) order() []netip.Addr {
	servers := a.conf.servers
	if !a.conf.rotate {
		return servers
	}
	first := int((a.rotation.Add(1) - 1) % uint32(len(servers)))
	return slices.Concat(servers[first:], servers[:first])
}

func isNamespaceError(err error) bool {
	_, ok := errors.AsType[*nsctx.Error](err)
	return ok
}

// askServer asks one server once, and again where its reply calls for it.
func (a *asker) askServer(ctx context.Context, ns *nsctx.Namespace, server netip.Addr, question dns.Question) (answer, error) {
	c := call{ns: ns, server: server, timeout: a.conf.timeout, query: newQuery(question)}
	reply, err := c.do(ctx, udp)
	if err == nil && reply.Rcode == dns.RcodeFormatError {
		// It may be too old for EDNS0 (RFC 6891, section 7).
		c.query.Id, c.query.Extra = dns.Id(), nil
		reply, err = c.do(ctx, udp)
	}
	if err == nil && reply.Truncated {
		c.query.Id = dns.Id()
		reply, err = c.do(ctx, tcp)
	}
	if err != nil {
		return answer{}, err
	}
	return readAnswer(reply, question)
}

func newQuery(question dns.Question) *dns.Msg {
	query := &dns.Msg{Question: []dns.Question{question}}
	query.Id = dns.Id()
	query.RecursionDesired = true
	return query.SetEdns0(udpSize, false)
}
