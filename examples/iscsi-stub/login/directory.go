package login

// Directory is what a connection may see: the targets of its tenant. Its methods are called by
// the goroutine that steps the Machine, do not block, and may be called for many
// connections at once.
type Directory interface {
	// Target finds a target by its normalised name. A target of somebody else is NotFound, as is one
	// that does not exist. With MovedTemporarily and MovedPermanently, the first of the
	// Target's Addresses is where it has gone. Any status other than Success ends the login
	// with it.
	Target(name string) (Target, Status)
	// Targets are those that SendTargets=All shows to an initiator. The slice is only read, and
	// not beyond the call that asked for it.
	Targets(initiator string) []Target
	// Discovery says who may open a discovery session; nil is everybody.
	Discovery() Secrets
}

// Target is what a login has to know of a target, as it is seen from one portal.
type Target struct {
	Name        string    // its iSCSI name, normalised: see NormalizeName
	Alias       string    // TargetAlias; "" is none
	PortalGroup uint16    // the tag of the portal group which the connection came in by
	Addresses   []Address // where it can be reached, for SendTargets

	// Secrets says who may log in, and how the target proves itself; nil lets everybody in
	// without a proof.
	Secrets Secrets
	// Authorized says whether an initiator that has proved to be user (CHAP_N, "" without
	// authentication) may use the target; nil is yes.
	Authorized func(initiator, user string) bool
	// Preferences of this target; nil are Config's.
	Preferences *Preferences
}

// Address is a portal: TargetAddress without its tag, and the tag.
type Address struct {
	Address     string // "192.0.2.1:3260", "[2001:db8::1]:3260", "storage.example:3260"
	PortalGroup uint16
}

// Secrets are the CHAP secrets of a target or of discovery. What is returned is not
// changed.
type Secrets interface {
	// Secret is what user (CHAP_N) shares with the target; false if there is no such user.
	Secret(user string) ([]byte, bool)
	// Own is the name and secret by which the target proves itself to user (mutual CHAP);
	// false if it cannot.
	Own(user string) (name string, secret []byte, ok bool)
}
