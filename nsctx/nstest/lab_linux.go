package nstest

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/nsreactor/nsreactor/nsctx"
)

// Lab is a directory of network namespaces like /run/netns. Any goroutine may use
// it.
type Lab struct {
	dir  string
	home *nsctx.Namespace

	mu      sync.Mutex
	tenants map[string]*Tenant
	aliases map[string]struct{}
}

// NewLab makes a lab in dir, which it makes if need be; "" stands for a new
// temporary directory, which Close removes.
func NewLab(dir string) (*Lab, error) {
	home, err := nsctx.Home().Open()
	if err != nil {
		return nil, err
	}
	if dir != "" {
		if dir, err = filepath.Abs(dir); err != nil {
			return nil, err
		}
	}
	l := &Lab{dir: dir, home: home, tenants: map[string]*Tenant{}, aliases: map[string]struct{}{}}
	if dir == "" {
		l.dir, err = os.MkdirTemp("", "nstest-")
	} else {
		err = os.MkdirAll(dir, 0o755)
	}
	if err != nil {
		_ = home.Close()
		return nil, err
	}
	labDirs.Store(l.dir, nil)
	return l, nil
}

// Dir returns the lab's directory.
func (l *Lab) Dir() string { return l.dir }

// Path returns where the lab mounts a namespace of that name.
func (l *Lab) Path(name string) string { return filepath.Join(l.dir, name) }

// Add makes a tenant with a peer, both with their loopback up.
func (l *Lab) Add(name string) (*Tenant, error) { return l.add(name, true) }

// AddBare makes a tenant with nothing but its loopback up. It takes half a
// millisecond or so, and Dial reaches it from within.
func (l *Lab) AddBare(name string) (*Tenant, error) { return l.add(name, false) }

func (l *Lab) add(name string, peered bool) (*Tenant, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, taken := l.tenants[name]; taken {
		return nil, fmt.Errorf("nstest: add %s: %w", name, os.ErrExist)
	}
	t := &Tenant{Name: name, Path: l.Path(name), lab: l, peered: peered}
	if err := t.create(); err != nil {
		return nil, fmt.Errorf("nstest: add %s: %w", name, err)
	}
	l.tenants[name] = t
	return t, nil
}

// Alias gives a tenant's namespace another name in the directory, which stays
// when the tenant is deleted.
func (l *Lab) Alias(name, newname string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := mountAt(l.Path(name), l.Path(newname)); err != nil {
		return fmt.Errorf("nstest: alias %s: %w", newname, err)
	}
	l.aliases[newname] = struct{}{}
	return nil
}

// Unalias removes a name made by Alias.
func (l *Lab) Unalias(name string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.aliases, name)
	return unmountAt(l.Path(name))
}

// Close deletes all tenants and aliases, and the directory if nothing else is in
// it.
func (l *Lab) Close() error {
	var errs []error
	for _, t := range l.all() {
		errs = append(errs, t.Delete())
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for name := range l.aliases {
		errs = append(errs, unmountAt(l.Path(name)))
	}
	clear(l.aliases)
	errs = append(errs, l.home.Close())
	if err := os.Remove(l.dir); err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, unix.ENOTEMPTY) {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (l *Lab) all() []*Tenant {
	l.mu.Lock()
	defer l.mu.Unlock()
	tenants := make([]*Tenant, 0, len(l.tenants))
	for _, t := range l.tenants {
		tenants = append(tenants, t)
	}
	return tenants
}

// spawn makes a namespace with its loopback up, runs f in it, and pins it by the
// Ref that f returns.
func (l *Lab) spawn(f func(fd int) (nsctx.Ref, error)) (*nsctx.Namespace, error) {
	var ns *nsctx.Namespace
	// Done at home, as nsctx brings the thread back there whatever happens.
	err := l.home.Do(func() error {
		handle, err := netns.New()
		if err != nil {
			return os.NewSyscallError("unshare", err)
		}
		defer handle.Close()
		if err := loopbackUp(); err != nil {
			return err
		}
		ref, err := f(int(handle))
		if err != nil {
			return err
		}
		ns, err = ref.Open()
		return err
	})
	return ns, err
}

// create does what ip-netns(8) does: an empty file, a new namespace, a mount.
func (t *Tenant) create() error {
	file, err := os.OpenFile(t.Path, os.O_CREATE|os.O_EXCL, 0)
	if err != nil {
		return err
	}
	_ = file.Close()
	t.NS, err = t.lab.spawn(func(int) (nsctx.Ref, error) {
		return nsctx.ByPath(t.Path), mount("/proc/thread-self/ns/net", t.Path)
	})
	if err != nil {
		return errors.Join(err, unmountAt(t.Path))
	}
	if !t.peered {
		t.Addr4, t.Addr6 = netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()
		return nil
	}
	if err := t.join(); err != nil {
		return errors.Join(err, t.destroy())
	}
	return nil
}

// destroy leaves nothing of the lab's that keeps the namespace.
func (t *Tenant) destroy() error {
	err := errors.Join(unmountAt(t.Path), t.NS.Close())
	if t.Peer != nil {
		err = errors.Join(err, t.Peer.Close())
	}
	return err
}

func mountAt(source, target string) error {
	file, err := os.OpenFile(target, os.O_CREATE|os.O_EXCL, 0)
	if err != nil {
		return err
	}
	_ = file.Close()
	if err := mount(source, target); err != nil {
		_ = os.Remove(target)
		return err
	}
	return nil
}

func mount(source, target string) error {
	return os.NewSyscallError("mount", unix.Mount(source, target, "", unix.MS_BIND, ""))
}

// unmountAt tolerates that a test has unmounted or removed the name before.
func unmountAt(path string) error {
	err := unix.Unmount(path, unix.MNT_DETACH)
	if err != nil && err != unix.EINVAL && err != unix.ENOENT {
		return os.NewSyscallError("umount2", err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
