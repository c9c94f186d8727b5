package session

import (
	"slices"

	"github.com/nsreactor/nsreactor/engine"
)

// welcome says whether the Directory would let all connections of the session in.
func (s *session) welcome() bool {
	s.mu.Lock()
	conns := slices.Clone(s.conns)
	s.mu.Unlock()
	return !slices.ContainsFunc(conns, func(cn *connection) bool {
		return !s.server.welcome(cn.c.Namespace(), s.target, &s.info)
	})
}

// welcome says whether a namespace is still that tenant's, which has still that target, nil for
// discovery, and whether the target wants the initiator.
func (s *Server) welcome(ns *engine.Namespace, target *Target, i *Info) bool {
	tenant := s.cfg.Directory.Tenant(ns)
	if tenant == nil || tenant.Name != i.Tenant {
		return false
	}
	if target == nil {
		return true
	}
	return slices.ContainsFunc(tenant.Targets, func(t *Target) bool {
		return t.Name == target.Name && t.Device == target.Device && (t.Authorized == nil || t.Authorized(i.Initiator, i.User))
	})
}
