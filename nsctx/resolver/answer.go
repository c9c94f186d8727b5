package resolver

import (
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"time"

	"github.com/miekg/dns"
)

const (
	// maxAddrs is how many addresses of a family are taken from an answer.
	maxAddrs = 64
	// maxAliases is how many CNAMEs are followed from a name.
	maxAliases = 16
)

// answer is what a server knows of a question: addresses, or that there are none.
type answer struct {
	addrs   []netip.Addr
	missing error // ErrNotFound or ErrNoData, without addresses
	ttl     time.Duration
}

// readAnswer finds the answer in a reply. The error is ErrServerFailure.
func readAnswer(reply *dns.Msg, question dns.Question) (answer, error) {
	switch reply.Rcode {
	case dns.RcodeNameError:
		return answer{missing: ErrNotFound, ttl: negativeTTL(reply)}, nil
	case dns.RcodeSuccess:
	default:
		return answer{}, fmt.Errorf("%w: %s", ErrServerFailure, rcodeText(reply.Rcode))
	}
	addrs, ttl, err := followAliases(reply.Answer, question)
	switch {
	case err != nil:
		return answer{}, err
	case len(addrs) > 0:
		return answer{addrs: addrs, ttl: seconds(ttl)}, nil
	case len(reply.Answer) == 0 && !reply.Authoritative && !reply.RecursionAvailable:
		return answer{}, fmt.Errorf("%w: refers to other servers", ErrServerFailure)
	}
	return answer{missing: ErrNoData, ttl: negativeTTL(reply)}, nil
}

// followAliases returns the addresses of the name, or of what it is an alias of in
// the same answer, with the smallest time to live on the way.
func followAliases(records []dns.RR, question dns.Question) ([]netip.Addr, uint32, error) {
	name, ttl := dns.CanonicalName(question.Name), uint32(math.MaxInt32)
	for range maxAliases {
		var addrs []netip.Addr
		var alias *dns.CNAME
		for _, record := range records {
			header := record.Header()
			if header.Class != dns.ClassINET || dns.CanonicalName(header.Name) != name {
				continue
			}
			if cname, ok := record.(*dns.CNAME); ok {
				alias = cname
				continue
			}
			if addr := addressOf(record, question.Qtype); addr.IsValid() && len(addrs) < maxAddrs {
				addrs, ttl = append(addrs, addr), min(ttl, header.Ttl)
			}
		}
		if len(addrs) > 0 || alias == nil {
			return addrs, ttl, nil
		}
		name, ttl = dns.CanonicalName(alias.Target), min(ttl, alias.Hdr.Ttl)
	}
	return nil, 0, fmt.Errorf("%w: more than %d aliases", ErrServerFailure, maxAliases)
}

// addressOf returns an invalid address if the record has none of that type.
func addressOf(record dns.RR, qtype uint16) netip.Addr {
	var addr netip.Addr
	switch r := record.(type) {
	case *dns.A:
		if qtype == dns.TypeA {
			addr, _ = netip.AddrFromSlice(r.A.To4())
		}
	case *dns.AAAA:
		if qtype == dns.TypeAAAA {
			addr, _ = netip.AddrFromSlice(r.AAAA)
		}
	}
	return addr
}

// negativeTTL is for how long there is no answer (RFC 2308, section 5), or zero if the
// reply does not say.
func negativeTTL(reply *dns.Msg) time.Duration {
	for _, record := range reply.Ns {
		if soa, ok := record.(*dns.SOA); ok {
			return seconds(min(soa.Hdr.Ttl, soa.Minttl))
		}
	}
	return 0
}

// seconds takes a time to live with its highest bit set for zero (RFC 2181, section
// 8).
func seconds(ttl uint32) time.Duration {
	if ttl > math.MaxInt32 {
		return 0
	}
	return time.Duration(ttl) * time.Second
}

func rcodeText(rcode int) string {
	if text, ok := dns.RcodeToString[rcode]; ok {
		return text
	}
	return "code " + strconv.Itoa(rcode)
}
