package resolver

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/miekg/dns"

	"github.com/nsreactor/nsreactor/nsctx"
)

// lookupHost goes through the names that host can stand for until one has
// addresses.
func (a *asker) lookupHost(ctx context.Context, ns *nsctx.Namespace, host string) ([]netip.Addr, error) {
	missing := ErrNotFound
	for _, name := range a.conf.names(host) {
		addrs, err := a.lookupName(ctx, ns, dns.CanonicalName(name))
		switch {
		case err == nil:
			return addrs, nil
		case errors.Is(err, ErrNoData):
			missing = err // the host exists, as one of its names
		case !errors.Is(err, ErrNotFound):
			// Without an answer it is not known which name the host stands for.
			// The next one may belong to somebody else.
			return nil, err
		}
	}
	return nil, missing
}

// lookupName asks for both families at once.
func (a *asker) lookupName(ctx context.Context, ns *nsctx.Namespace, name string) ([]netip.Addr, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	six := a.join(ns, dns.Question{Name: name, Qtype: dns.TypeAAAA, Qclass: dns.ClassINET})
	defer a.leave(six)
	four := a.join(ns, dns.Question{Name: name, Qtype: dns.TypeA, Qclass: dns.ClassINET})
	defer a.leave(four)
	if err := awaitBoth(ctx, six, four, a.grace); err != nil {
		return nil, err
	}
	return combine(six.result(), four.result())
}

// awaitBoth waits until both queries are done, or one has addresses and the other
// has used up its grace.
func awaitBoth(ctx context.Context, six, four *query, grace time.Duration) error {
	first, second := six, four
	select {
	case <-six.done:
	case <-four.done:
		first, second = four, six
	case <-ctx.Done():
		return ctx.Err()
	}
	var enough <-chan time.Time
	if len(first.result().addrs) > 0 {
		enough = time.After(grace)
	}
	select {
	case <-second.done:
	case <-enough:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// combine makes one answer of two. Addresses of one family will do, whatever has
// become of the other. That there are none takes two answers.
func combine(six, four result) ([]netip.Addr, error) {
	addrs := append(append([]netip.Addr(nil), six.addrs...), four.addrs...)
	switch {
	case len(addrs) > 0:
		return addrs, nil
	case six.err != nil:
		return nil, six.err
	case four.err != nil:
		return nil, four.err
	case errors.Is(six.missing, ErrNotFound) && errors.Is(four.missing, ErrNotFound):
		return nil, ErrNotFound
	}
	return nil, ErrNoData
}
