package session

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/login"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/pdu"
	"github.com/nsreactor/nsreactor/handlers/framing"
)

// Server is an iSCSI target node for any number of namespaces. Its methods may be called by
// any goroutine.
type Server struct {
	cfg    Config
	framer *framing.Framer[framing.Frame[pdu.Header]]

	mu      sync.Mutex
	tenants map[string]*tenancy
}

// ErrBadConfig is a Config that cannot be.
var ErrBadConfig = errors.New("session: bad config")

// sessionKey names a session among those of a tenant.
type sessionKey = login.Key

// New makes a Server.
func New(cfg Config) (*Server, error) {
	if cfg.Directory == nil {
		return nil, fmt.Errorf("%w: no directory", ErrBadConfig)
	}
	cfg.setDefaults()
	cfg.Login.Preferences.ErrorRecoveryLevel = min(cfg.Login.Preferences.ErrorRecoveryLevel, recoveryLevel)
	s := &Server{cfg: cfg, tenants: make(map[string]*tenancy)}
	var err error
	s.framer, err = framing.New(pdu.Format{}.Decoder(login.MaxSegment), framing.Handler[framing.Frame[pdu.Header]](handler{s}))
	return s, err
}

// Handler serves connections, on any port. It never needs its thread in a namespace: register
// it with engine.AnyNamespace.
func (s *Server) Handler() engine.Handler { return s.framer }

// tenancy is what the connections of a tenant share.
func (s *Server) tenancy(t *Tenant) *tenancy {
	s.mu.Lock()
	tn := s.tenants[t.Name]
	if tn == nil {
		tn = newTenancy(t.Name)
		s.tenants[t.Name] = tn
	}
	s.mu.Unlock()
	tn.follow(t.Limits)
	return tn
}

func (s *Server) sessions() []*session {
	s.mu.Lock()
	tenants := make([]*tenancy, 0, len(s.tenants))
	for _, t := range s.tenants {
		tenants = append(tenants, t)
	}
	s.mu.Unlock()
	var all []*session
	for _, t := range tenants {
		t.mu.Lock()
		for _, one := range t.byTSIH {
			all = append(all, one)
		}
		t.mu.Unlock()
	}
	return all
}

// Sessions is what sessions there are, ordered by tenant, target and initiator.
func (s *Server) Sessions() []State {
	var all []State
	for _, one := range s.sessions() {
		all = append(all, one.state())
	}
	slices.SortFunc(all, func(a, b State) int {
		return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Target, b.Target),
			cmp.Compare(a.Initiator, b.Initiator), cmp.Compare(a.TSIH, b.TSIH))
	})
	return all
}

// Revoke ends the sessions that the Directory would not let in any more, whatever their
// secrets were, and returns how many those are. Their tasks are aborted, and then the initiators
// told; it does not wait for that. It is for a Directory that says something else than before:
// logins that are under way find out themselves.
func (s *Server) Revoke() int {
	n := 0
	for _, one := range s.sessions() {
		if !one.welcome() {
			one.revoke()
			n++
		}
	}
	return n
}

// log is a logger that names a session.
func (s *Server) log(one *session) *slog.Logger {
	return s.cfg.Logger.With("tenant", one.info.Tenant, "netns", one.info.Namespace,
		"initiator", one.info.Initiator, "target", one.info.Target)
}
