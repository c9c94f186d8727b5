package session

import (
	"log/slog"
	"time"

	"github.com/nsreactor/nsreactor/examples/iscsi-stub/login"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/pdu"
)

// Config is how a Server works. Each field's zero value stands for the default that is
// named with it; Directory alone must be set.
type Config struct {
	// Directory knows whose a namespace is.
	Directory Directory
	// Observer is told of what happens; nil is nobody.
	Observer Observer
	// Logger gets what an operator should know. Default: slog.Default().
	Logger *slog.Logger
	// Login is what all login phases have in common.
	Login login.Config

	// Window is how many requests of a session may be under way. Default: 128.
	Window int
	// DataIn is how many bytes of data one Data-In PDU has at most, however many the
	// initiator would take. Default: 64 KiB.
	DataIn int

	// LoginTimeout is how long a connection may take to log in. Default: 10 s.
	LoginTimeout time.Duration
	// PingAfter is how long a connection may be silent, which it also is in the middle
	// of a PDU, before it is asked for a sign of life by a NOP-In. Default: 15 s.
	PingAfter time.Duration
	// PingTimeout is how long it then has to show one. Default: 10 s.
	PingTimeout time.Duration
	// DataTimeout is how long a task waits for data-out that it has asked for, while
	// nothing of it comes. Default: 20 s.
	DataTimeout time.Duration
	// LogoutTime is what initiators are given when they are asked to log out, because
	// their namespace is drained. Default: 5 s.
	LogoutTime time.Duration
}

func (c *Config) setDefaults() {
	if c.Observer == nil {
		c.Observer = nobody{}
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	set(&c.Window, 128)
	set(&c.DataIn, 64<<10)
	c.DataIn = min(c.DataIn, pdu.MaxData)
	set(&c.LoginTimeout, 10*time.Second)
	set(&c.PingAfter, 15*time.Second)
	set(&c.PingTimeout, 10*time.Second)
	set(&c.DataTimeout, 20*time.Second)
	set(&c.LogoutTime, 5*time.Second)
}

func set[T int | time.Duration](field *T, value T) {
	if *field <= 0 {
		*field = value
	}
}

// Limits are what a tenant may have at most. A zero stands for the default.
type Limits struct {
	Connections int // in all its namespaces. Default: 1024
	LoggingIn   int // connections that have not logged in yet. Default: 128
	Sessions    int // Default: 256
	DataOut     int // bytes of data-out that wait to be complete, in all sessions. Default: 64 MiB
}

func (l *Limits) setDefaults() {
	set(&l.Connections, 1024)
	set(&l.LoggingIn, 128)
	set(&l.Sessions, 256)
	set(&l.DataOut, 64<<20)
}
