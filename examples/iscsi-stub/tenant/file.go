package tenant

import (
	"time"
)

// File is what a tenants file says. It is not changed once it is loaded.
type File struct {
	// Path is where it was read.
	Path string
	// Data is the directory of the volumes' files and of the database.
	Data    string
	Tenants []*Tenant
	// Warnings are for the log: what is legal, and probably not meant.
	Warnings []string
}

// Tenant owns namespaces, volumes and targets.
type Tenant struct {
	// Name is a label, and part of file names.
	Name string
	// Namespaces are globs of the names of the namespaces that are the tenant's.
	Namespaces []string
	Volumes    []*Volume
	Targets    []*Target
	// Discovery is whom a discovery session has to be; nobody in particular by default.
	Discovery CHAP
	Limits    Limits

	at position
}

// Kind is where a volume's data is.
type Kind string

// The kinds of volumes.
const (
	KindFile   Kind = "file"   // a sparse file
	KindMemory Kind = "memory" // gone when the program ends
	KindNull   Kind = "null"   // reads zeros, forgets what is written
)

// Volume is a disk of a tenant.
type Volume struct {
	Name string
	// Size is in bytes, a multiple of BlockSize.
	Size      int64
	BlockSize int
	Kind      Kind
	// Thin volumes tell initiators that they can be unmapped.
	Thin                bool
	ReadOnly, Removable bool
	// Encrypted volumes have a key, which SANITIZE, CRYPTOGRAPHIC ERASE destroys.
	Encrypted bool
	// WriteSameToEnd takes a WRITE SAME of no blocks for one to the end of the medium.
	WriteSameToEnd bool
	QoS            QoS

	at position
}

// Rate is so many operations and bytes a second; 0 is no limit, or nothing promised.
type Rate struct{ IOPS, Bandwidth int64 }

// QoS is what a volume is promised, and what it is kept to.
type QoS struct {
	Min, Max Rate
	// Burst may be had above Max, for as long as BurstFor, by who has saved it up.
	Burst    Rate
	BurstFor time.Duration
}

// Target is an iSCSI target node: its name, what is behind it, and who may log in.
type Target struct {
	// Name is an iSCSI name, RFC 7143, section 4.2.7. Tenants may have the same.
	Name, Alias string
	// LUNs are the names of volumes of the tenant.
	LUNs map[uint16]string
	// Portals are where SendTargets says that the target is; without any, it is in portal group 1, at
	// whatever address was asked.
	Portals []Portal
	CHAP    CHAP
	// Initiators are globs of the names that may log in; all, if there are none.
	Initiators []string
	Session    Session

	at position
}

// Portal is an address of a target, and the portal group that it is in.
type Portal struct {
	// Address is an IP address; the port is the program's.
	Address string
	// Group is the portal group tag, from 1 to 65535.
	Group uint16
}

// CHAP is who may log in, by RFC 1994. The zero value lets anybody.
type CHAP struct {
	// Users are the secrets of initiators by their CHAP names.
	Users map[string]Secret
	// Target is how the target proves itself to initiators that ask: mutual CHAP.
	Target Credentials
}

// Required reports whether who logs in has to prove who it is.
func (c CHAP) Required() bool { return len(c.Users) > 0 }

// Credentials are a CHAP name and its secret.
type Credentials struct {
	User   string
	Secret Secret
}

// Limits bound what a tenant can take of the program.
type Limits struct {
	// Connections and Sessions are how many the tenant may have.
	Connections, Sessions int
	// LoggingIn is how many of the connections may not have logged in yet.
	LoggingIn int
	// DataOut is how many bytes of data its commands may have on their way here.
	DataOut int64
}

// Session is what a target wants of a session. The names are those of RFC 7143, section 13.
type Session struct {
	MaxConnections           int
	InitialR2T               bool
	ImmediateData            bool
	MaxRecvDataSegmentLength int
	MaxBurstLength           int
	FirstBurstLength         int
	DefaultTime2Wait         int // seconds
	DefaultTime2Retain       int // seconds
	MaxOutstandingR2T        int
	ErrorRecoveryLevel       int
	// HeaderDigest and DataDigest are which of "None" and "CRC32C" the target takes.
	HeaderDigest, DataDigest []string
}

// The defaults of what a file leaves out.
var (
	DefaultLimits  = Limits{Connections: 1024, LoggingIn: 128, Sessions: 256, DataOut: 64 << 20}
	DefaultSession = Session{
		MaxConnections: 8, InitialR2T: false, ImmediateData: true,
		MaxRecvDataSegmentLength: 256 << 10, MaxBurstLength: 1 << 20, FirstBurstLength: 64 << 10,
		DefaultTime2Wait: 2, DefaultTime2Retain: 20, MaxOutstandingR2T: 1, ErrorRecoveryLevel: 1,
		HeaderDigest: []string{"None", "CRC32C"}, DataDigest: []string{"None", "CRC32C"},
	}
)
