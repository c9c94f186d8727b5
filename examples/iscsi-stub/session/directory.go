package session

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/login"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/scsi"
)

// Directory knows whose a namespace is. Loops call it once a connection, at the same
// time; it does not block.
type Directory interface {
	// Tenant is whose a namespace is; nil for nobody's, whose connections are reset.
	Tenant(ns *engine.Namespace) *Tenant
}

// Tenant is what the connections of its namespaces may see, and nothing else: a target
// that is not in Targets does not exist for them. It is not changed once a Directory has
// returned it. Another one of the same name replaces it for connections to come: what
// tenants share in (limits, sessions) goes by the name.
type Tenant struct {
	Name      string
	Targets   []*Target
	Discovery login.Secrets // who may open a discovery session; nil is everybody
	Limits    Limits
}

// Target is an iSCSI target.
type Target struct {
	Name    string // its iSCSI name, normalised: see login.NormalizeName
	Alias   string
	Device  *scsi.Device
	Portals []Portal // at least one
	// Secrets says who may log in, and how the target proves itself; nil lets everybody in.
	Secrets login.Secrets
	// Authorized says whether an initiator that has proved to be user may use the target;
	// nil is yes.
	Authorized func(initiator, user string) bool
	// Preferences of this target; nil are those of Config.Login.
	Preferences *login.Preferences
}

// Portal is an address at which a target is to be reached.
type Portal struct {
	// Address is where initiators are told to find it. The zero AddrPort stands for the address
	// that a connection has come in by.
	Address netip.AddrPort
	// Group is the tag of its portal group, which is also the relative target port
	// identifier of the Device's port.
	Group uint16
}

// view is what the connections to one address see of a tenant: it is what the login phase
// asks.
type view struct {
	tenant *Tenant
	local  netip.AddrPort
}

func newView(t *Tenant, local netip.AddrPort) *view {
	return &view{tenant: t, local: netip.AddrPortFrom(local.Addr().Unmap(), local.Port())}
}

func (v *view) find(name string) *Target {
	i := slices.IndexFunc(v.tenant.Targets, func(t *Target) bool { return t.Name == name })
	if i < 0 {
		return nil
	}
	return v.tenant.Targets[i]
}

// Target finds a target of the tenant's, as login.Directory has it.
func (v *view) Target(name string) (login.Target, login.Status) {
	t := v.find(name)
	if t == nil {
		return login.Target{}, login.NotFound
	}
	return v.show(t), login.Success
}

// Targets are those of the tenant that let the initiator in, or would if it has a secret.
func (v *view) Targets(initiator string) []login.Target {
	var shown []login.Target
	for _, t := range v.tenant.Targets {
		if t.Secrets == nil && t.Authorized != nil && !t.Authorized(initiator, "") {
			continue
		}
		shown = append(shown, v.show(t))
	}
	slices.SortFunc(shown, func(a, b login.Target) int { return strings.Compare(a.Name, b.Name) })
	return shown
}

// Discovery is who may ask for Targets.
func (v *view) Discovery() login.Secrets { return v.tenant.Discovery }

func (v *view) show(t *Target) login.Target {
	shown := login.Target{
		Name: t.Name, Alias: t.Alias, PortalGroup: v.group(t),
		Secrets: t.Secrets, Authorized: t.Authorized, Preferences: t.Preferences,
	}
	for _, p := range t.Portals {
		at := p.Address
		if !at.IsValid() {
			at = v.local
		}
		shown.Addresses = append(shown.Addresses, login.Address{Address: at.String(), PortalGroup: p.Group})
	}
	return shown
}

// group is the portal group that the connection has come in by: that of its address, or
// of the portal without one, or the first.
func (v *view) group(t *Target) uint16 {
	group := uint16(1)
	for i, p := range t.Portals {
		switch {
		case p.Address == v.local:
			return p.Group
		case i == 0 || !p.Address.IsValid():
			group = p.Group
		}
	}
	return group
}
