package tenant

import (
	"net/netip"
	"slices"

	"github.com/nsreactor/nsreactor/examples/iscsi-stub/login"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/session"
)

// session is the tenant as sessions see it; its targets' devices are missing.
func (t *Tenant) session(port uint16) *session.Tenant {
	s := &session.Tenant{
		Name: t.Name, Discovery: t.Discovery.secrets(),
		Limits: session.Limits{
			Connections: t.Limits.Connections, LoggingIn: t.Limits.LoggingIn,
			Sessions: t.Limits.Sessions, DataOut: int(t.Limits.DataOut),
		},
	}
	for _, target := range t.Targets {
		s.Targets = append(s.Targets, target.session(port))
	}
	return s
}

func (t *Target) session(port uint16) *session.Target {
	s := &session.Target{
		Name: t.Name, Alias: t.Alias,
		Secrets: t.CHAP.secrets(), Preferences: t.Session.preferences(),
	}
	for _, p := range t.Portals {
		address := netip.AddrPortFrom(netip.MustParseAddr(p.Address), port) // the file was checked
		s.Portals = append(s.Portals, session.Portal{Address: address, Group: p.Group})
	}
	if len(t.Portals) == 0 {
		s.Portals = []session.Portal{{Group: 1}}
	}
	if initiators := t.Initiators; len(initiators) > 0 {
		s.Authorized = func(initiator, _ string) bool {
			return slices.ContainsFunc(initiators, func(glob string) bool { return matches(glob, initiator) })
		}
	}
	return s
}

func (s Session) preferences() *login.Preferences {
	return &login.Preferences{
		HeaderDigest: choice(s.HeaderDigest), DataDigest: choice(s.DataDigest),
		MaxRecvDataSegmentLength: uint32(s.MaxRecvDataSegmentLength),
		MaxBurstLength:           uint32(s.MaxBurstLength),
		FirstBurstLength:         uint32(s.FirstBurstLength),
		MaxConnections:           uint16(s.MaxConnections),
		MaxOutstandingR2T:        uint16(s.MaxOutstandingR2T),
		ErrorRecoveryLevel:       uint8(s.ErrorRecoveryLevel),
		DefaultTime2Wait:         uint16(s.DefaultTime2Wait),
		DefaultTime2Retain:       uint16(s.DefaultTime2Retain),
		RequireR2T:               s.InitialR2T,
		NoImmediateData:          !s.ImmediateData,
	}
}

func choice(digests []string) login.DigestChoice {
	switch {
	case !slices.Contains(digests, "CRC32C"):
		return login.NoDigest
	case !slices.Contains(digests, "None"):
		return login.NeedDigest
	}
	return login.EitherDigest
}

// secrets is nil if everybody may log in.
func (c CHAP) secrets() login.Secrets {
	if !c.Required() {
		return nil
	}
	return chap{c}
}

// chap is a CHAP as the login phase asks it.
type chap struct{ CHAP }

func (c chap) Secret(user string) ([]byte, bool) {
	s, ok := c.Users[user]
	return s.Reveal(), ok
}

func (c chap) Own(string) (name string, secret []byte, ok bool) {
	return c.Target.User, c.Target.Secret.Reveal(), c.Target.User != ""
}
