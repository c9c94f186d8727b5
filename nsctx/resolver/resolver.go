package resolver

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/nsreactor/nsreactor/nsctx"
)

// Config is a Resolver's settings. The zero value is fit for use.
type Config struct {
	// NetnsDir has a directory for each name, with the files that stand in for
	// those of EtcDir. "" stands for /etc/netns.
	NetnsDir string
	// EtcDir has the resolv.conf and hosts of namespaces without their own. ""
	// stands for /etc.
	EtcDir string

	// CacheSize is how many answers are remembered for each namespace and name,
	// IPv4 and IPv6 apart. Zero stands for 1024, less than zero for none.
	CacheSize int
	// MaxTTL limits how long an answer is remembered, whatever it says itself;
	// that there is no answer is remembered for a tenth of it at most. Zero
	// stands for five minutes.
	MaxTTL time.Duration
	// FamilyGrace is for how long a lookup that has addresses of one family goes
	// on waiting for those of the other. Some servers never answer for IPv6. Zero
	// stands for half a second.
	FamilyGrace time.Duration
}

func (c Config) withDefaults() Config {
	if c.NetnsDir == "" {
		c.NetnsDir = "/etc/netns"
	}
	if c.EtcDir == "" {
		c.EtcDir = "/etc"
	}
	if c.CacheSize == 0 {
		c.CacheSize = 1024
	}
	if c.MaxTTL == 0 {
		c.MaxTTL = 5 * time.Minute
	}
	if c.FamilyGrace == 0 {
		c.FamilyGrace = 500 * time.Millisecond
	}
	return c
}

// Resolver looks names up inside namespaces. The zero value is ready, with the
// zero Config. Any goroutine may use it; it must not be copied.
type Resolver struct {
	config Config
	once   sync.Once
	etc    *files

	mu sync.Mutex
	// The ID, so that a name that comes back is another tenant; and the name, as it
	// decides on the configuration.
	tenants map[nsctx.ID]map[string]*tenant
}

// tenant is what is known of one namespace under one name.
type tenant struct {
	layers layers
	asker  *asker // for the present resolv.conf; the Resolver's mu guards it
}

// maxNamespaces bounds what is kept of namespaces that nobody has forgotten.
const maxNamespaces = 1 << 16

// New makes a Resolver.
func New(c Config) *Resolver { return &Resolver{config: c} }

func (r *Resolver) init() {
	r.once.Do(func() {
		r.config = r.config.withDefaults()
		r.etc = newFiles(r.config.EtcDir)
		r.tenants = make(map[nsctx.ID]map[string]*tenant)
	})
}

// LookupNetIP returns the addresses of host as seen from within the namespace,
// the IPv6 ones before the IPv4 ones and each in the server's order; a dialer
// interleaves them as it likes (RFC 8305, section 4). There is at least one
// unless there is an error. The slice is the caller's.
//
// The name says whose configuration applies, /etc/netns/NAME/; it is most often
// the one that [nsctx.ByName] was given. "" stands for /etc alone, as in the
// process's own namespace.
//
// An address as host is returned as it is, and localhost is the loopback; neither
// looks at any file. The name server is asked for what /etc/hosts does not
// have, within the namespace. It blocks until there is an answer, every server
// has failed as often as resolv.conf says, or ctx ends, which nothing of the lookup
// outlives. The namespace must stay open meanwhile, and is kept alive by the
// lookup's sockets: end ctx when it drains. The error is an [*Error].
func (r *Resolver) LookupNetIP(ctx context.Context, ns *nsctx.Namespace, name, host string) ([]netip.Addr, error) {
	addrs, err := r.lookup(ctx, ns, name, host)
	if err != nil {
		return nil, &Error{Namespace: name, Host: host, Err: err}
	}
	return addrs, nil
}

func (r *Resolver) lookup(ctx context.Context, ns *nsctx.Namespace, name, host string) ([]netip.Addr, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{addr.Unmap()}, nil
	}
	if err := checkHost(host); err != nil {
		return nil, err
	}
	if addrs := loopback(host); addrs != nil {
		return addrs, nil
	}
	if ns == nil {
		return nil, nsctx.ErrInvalidRef
	}
	r.init()
	t, err := r.tenant(ns.ID(), name)
	if err != nil {
		return nil, err
	}
	hosts, err := t.layers.hosts()
	if err != nil {
		return nil, err
	}
	if addrs := hosts[hostKey(host)]; addrs != nil {
		return slices.Clone(addrs), nil
	}
	conf, err := t.layers.resolvConf()
	if err != nil {
		return nil, err
	}
	return r.asker(t, conf).lookupHost(ctx, ns, host)
}

// Forget drops what is remembered of a namespace, under all names. Lookups under
// way are not disturbed, and are not remembered either. Call it when a namespace
// is released; an ID does not come back.
func (r *Resolver) Forget(id nsctx.ID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.tenants, id)
}

func (r *Resolver) tenant(id nsctx.ID, name string) (*tenant, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if t := r.tenants[id][name]; t != nil {
		return t, nil
	}
	layers, err := newLayers(r.etc, r.config.NetnsDir, name)
	if err != nil {
		return nil, err
	}
	names := r.tenants[id]
	if names == nil {
		if len(r.tenants) >= maxNamespaces {
			dropAny(r.tenants)
		}
		names = make(map[string]*tenant)
		r.tenants[id] = names
	}
	t := &tenant{layers: layers}
	names[name] = t
	return t, nil
}

// asker returns the tenant's, with nothing remembered if its resolv.conf has
// changed: other servers may know better.
func (r *Resolver) asker(t *tenant, conf *resolvConf) *asker {
	r.mu.Lock()
	defer r.mu.Unlock()
	if t.asker == nil || t.asker.conf != conf {
		t.asker = newAsker(conf, r.config)
	}
	return t.asker
}

// dropAny deletes one entry, whichever the map gives first.
func dropAny[K comparable, V any](m map[K]V) {
	for key := range m {
		delete(m, key)
		return
	}
}
