package tlshandler

import (
	"crypto/tls"
	"errors"
	"fmt"
	"sync"

	"github.com/nsreactor/nsreactor/engine"
)

// tenants has a tls.Config for each namespace. A server's does nothing but find the one
// to use, and lend it its session ticket keys: crypto/tls takes, and rotates,
// those of the Config that has the GetConfigForClient.
type tenants struct {
	mu      sync.Mutex
	configs map[*engine.Namespace]*tls.Config
	sweepAt int // how many there may be before those of the past are looked for
}

// config is a namespace's, made with its first connection.
func (t *tenants) config(ns *engine.Namespace, first func() *tls.Config) *tls.Config {
	t.mu.Lock()
	defer t.mu.Unlock()
	if cfg := t.configs[ns]; cfg != nil {
		return cfg
	}
	if len(t.configs) >= t.sweepAt {
		t.sweep()
	}
	if t.configs == nil {
		t.configs = map[*engine.Namespace]*tls.Config{}
	}
	cfg := first()
	t.configs[ns] = cfg
	return cfg
}

// minSweep is how many namespaces are not worth looking through.
const minSweep = 64

// sweep forgets namespaces that are no more. It is put off until as many again
// have come, so that it costs each of them a look or two.
func (t *tenants) sweep() {
	for ns := range t.configs {
		if ns.State() == engine.StateReleased {
			delete(t.configs, ns)
		}
	}
	t.sweepAt = max(2*len(t.configs), minSweep)
}

// newConn is the tls.Conn of a session.
func (h *Handler) newConn(s *session) *tls.Conn {
	ns := s.conn.Namespace()
	if h.client != nil {
		return tls.Client(&s.bridge, h.shared.config(ns, func() *tls.Config { return h.clientConfig(ns) }))
	}
	return tls.Server(&s.bridge, h.shared.config(ns, h.dispatcher))
}

// clientConfig is a namespace's part of a client's Config.
func (h *Handler) clientConfig(ns *engine.Namespace) *tls.Config {
	if h.client.ClientSessionCache == nil {
		return h.client
	}
	cfg := h.client.Clone()
	cfg.ClientSessionCache = tenantCache{h.client.ClientSessionCache, ns.ID().String() + " "}
	return cfg
}

// tenantCache is a namespace's part of a cache.
type tenantCache struct {
	all    tls.ClientSessionCache
	prefix string
}

func (t tenantCache) Get(key string) (*tls.ClientSessionState, bool) {
	return t.all.Get(t.prefix + key)
}
func (t tenantCache) Put(key string, s *tls.ClientSessionState) { t.all.Put(t.prefix+key, s) }

// dispatcher is a Config that asks GetConfig.
func (h *Handler) dispatcher() *tls.Config {
	return &tls.Config{GetConfigForClient: h.choose, MinVersion: tls.VersionTLS12}
}

// refuse has crypto/tls send the alert unrecognized_name.
var refuse = &tls.Config{
	MinVersion:     tls.VersionTLS12,
	GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, nil },
}

// choose asks GetConfig. It runs on a handshake's goroutine.
func (h *Handler) choose(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	s := hello.Conn.(*bridge).session
	c := s.conn
	cfg, err := h.getConfig(&Hello{ClientHelloInfo: hello, Namespace: c.Namespace(), Port: c.Port(), Remote: c.RemoteAddr()})
	if err == nil && cfg == nil {
		err = ErrUnknownName
	}
	if errors.Is(err, ErrUnknownName) {
		s.refusal = fmt.Errorf("%w: %q", err, hello.ServerName)
		return refuse, nil
	}
	return cfg, err
}

func (h *Handler) getConfig(hello *Hello) (*tls.Config, error) {
	if h.cfg.GetConfig == nil {
		return nil, ErrUnknownName
	}
	return h.cfg.GetConfig(hello)
}
