package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"path/filepath"
)

// HandleUnix registers a handler for a unix stream socket, unix(7), in the home namespace: at
// a path, which is made absolute and may then be 107 bytes long, or, beginning with "@", at a name
// that only home knows. Its connections are like those of a port, with the namespace of
// [Engine.Home], no RemoteAddr and no Port. They are spread over the loops. Without a
// RST in the protocol, a connection that ends with an error reads as an end of file, unless the peer
// had something unread.
//
// A socket's file that nobody listens on any more, as a crash leaves it, is replaced; one that
// somebody does, or another kind of file, is not touched, and is an error: EADDRINUSE
// or EEXIST. The file is removed when the engine stops or home is detached.
//
// The error is an [ErrBadHandle] for a wrong call, or the system call's. Unlike a port's it is
// returned, not waited out.
func (e *Engine) HandleUnix(path string, h Handler, options ...HandleOption) error {
	svc := &service{network: "unix", handler: h, file: &unixFile{path: path}}
	for _, o := range options {
		o(svc)
	}
	if err := svc.file.check(h); err != nil {
		return &Error{Op: "handle", Err: fmt.Errorf("%w: %w", ErrBadHandle, err)}
	}
	var err error
	if e := e.control.do(func(ct *control) { err = ct.handleUnix(svc) }); e != nil {
		return e
	}
	return err
}

// SocketMode is the permissions of a unix socket's file, whatever the process's umask is;
// whoever may write may connect. Without it the umask decides. The directory's own count
// too, and are what to rely on for secrecy.
func SocketMode(mode fs.FileMode) HandleOption {
	return func(s *service) { s.mode = &mode }
}

// Network is what the connection's handler was registered or dialed for: "tcp", "tcp4", "tcp6" or
// "unix". Any goroutine may call it.
func (c *Conn) Network() string { return c.ep.svc.network }

// Credentials are those that a process had when it connected, or listened.
type Credentials struct {
	PID      int // 0 if it is in a PID namespace that ours can't see
	UID, GID int // 65534 where ours has no such user
}

// PeerCredentials is who is at the other end of a unix socket: SO_PEERCRED, unix(7). For
// other networks the error is [errors.ErrUnsupported].
func (c *Conn) PeerCredentials() (Credentials, error) {
	switch {
	case c.fd < 0:
		return Credentials{}, c.error("credentials", ErrClosed)
	case c.Network() != "unix" || c.loop.eng.sim != nil:
		return Credentials{}, c.error("credentials", errors.ErrUnsupported)
	}
	cred, err := peerCredentials(c.fd)
	if err != nil {
		return Credentials{}, c.error("credentials", err)
	}
	return cred, nil
}

// unixFile is where a unix socket listens.
type unixFile struct {
	path     string // as the caller said it; then absolute, or "@" and a name
	dev, ino uint64 // of the file that bind(2) has made; 0 is none
}

// check makes the path absolute: the process may change its directory.
func (f *unixFile) check(h Handler) (err error) {
	if h == nil {
		return fmt.Errorf("no handler for %q", f.path)
	}
	if f.path != "" && !f.abstract() {
		if f.path, err = filepath.Abs(f.path); err != nil {
			return err
		}
	}
	if f.path == "@" {
		return errors.New("no name after \"@\"")
	}
	return checkPath(f.path)
}

func (f *unixFile) abstract() bool { return f.path[0] == '@' || f.path[0] == 0 }

// handleUnix listens, in home.
func (ct *control) handleUnix(svc *service) error {
	home, err := ct.home()
	if err != nil {
		return err
	}
	for _, p := range home.ports {
		if p.svc.file != nil && p.svc.file.path == svc.file.path {
			return &Error{Op: "handle", Err: fmt.Errorf("%w: %q has a handler", ErrBadHandle, svc.file.path)}
		}
	}
	fail := func(err error) error {
		return &Error{Op: "listen", Namespace: home.Name(), Addr: netip.AddrPort{}, Err: fmt.Errorf("%q: %w", svc.file.path, describeDescriptors(err))}
	}
	if err := ct.thread.Home(); err != nil {
		return fail(fmt.Errorf("%w: %w", ErrSwitch, err))
	}
	fd, err := listenUnix(svc.file, svc.mode, ct.eng.cfg.Backlog)
	if err != nil {
		home.listenErrors.Add(1)
		return fail(err)
	}
	p := ct.addPort(home, svc)
	home.setBound(p, 0, 1)
	ct.handOut(&sockets{port: p, fds: []int{fd}})
	return nil
}

// closeListener closes a listening socket, and removes its file if it has one.
func (e *Engine) closeListener(svc *service, fd int) {
	if svc.file != nil {
		if err := svc.file.remove(); err != nil {
			e.log.Warn("cannot remove a unix socket's file", "path", svc.file.path, "err", err)
		}
	}
	closeSocket(fd)
}
