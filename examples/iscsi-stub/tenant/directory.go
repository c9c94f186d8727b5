package tenant

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/catalog"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/qos"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/scsi"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/session"
)

// Directory serves what a File says. It is a [session.Directory]; Apply and Close may be
// called by any goroutine, and block.
type Directory struct {
	log      *slog.Logger
	port     uint16
	governor *qos.Governor
	catalog  *catalog.Catalog // nil if nothing is to be kept
	data     string
	meter    Meter

	current atomic.Pointer[map[string]*session.Tenant] // by the globs of their namespaces
	units   atomic.Pointer[map[string]*unit]           // by the volume's name

	mu      sync.Mutex         // what Apply changes
	devices map[string]*device // by tenant and target
	closed  bool
}

// Meter makes what counts for a volume, to hang on its logical unit, and what forgets it when the
// volume is gone.
type Meter func(tenant, volume string) (meter any, release func())

// Open makes a Directory of a File, and opens its volumes. The port is what SendTargets says of
// portals; Apply can change everything but the directory of the data.
func Open(f *File, port uint16, log *slog.Logger, meter Meter) (*Directory, error) {
	d := &Directory{
		log: log, port: port, meter: meter, governor: qos.NewGovernor(time.Now()), data: f.Data,
		devices: make(map[string]*device),
	}
	d.units.Store(&map[string]*unit{})
	d.current.Store(&map[string]*session.Tenant{})
	if f.Data != "" {
		if err := os.MkdirAll(f.Data, 0o700); err != nil {
			return nil, err
		}
		var err error
		if d.catalog, err = catalog.Open(catalog.Config{Path: filepath.Join(f.Data, "catalog.db")}); err != nil {
			return nil, err
		}
	}
	if err := d.Apply(f, nil); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// Tenant is whose a namespace is, as session.Directory has it. One whose names are of more than
// one tenant is nobody's.
func (d *Directory) Tenant(ns *engine.Namespace) *session.Tenant {
	t, contested := d.find(ns.Names())
	if contested {
		d.log.Warn("a namespace has names of several tenants, and is served for none", "netns", ns.Name(), "names", ns.Names())
	}
	return t
}

func (d *Directory) find(names []string) (found *session.Tenant, contested bool) {
	for glob, t := range *d.current.Load() {
		if !slices.ContainsFunc(names, func(name string) bool { return matches(glob, name) }) {
			continue
		}
		if found != nil && found != t {
			return nil, true
		}
		found = t
	}
	return found, false
}

// ErrDataMoved refuses a File with another directory of the data than before.
var ErrDataMoved = errors.New("the directory of the data can't change while the program runs")

// Apply makes another File what is served. Sessions go on, but for those that would not be let
// in now: revoke, which may be nil, is to end them, before their volumes are closed. An error has changed nothing, except
// that volumes may have grown.
func (d *Directory) Apply(f *File, revoke func()) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return catalog.ErrClosed
	}
	if f.Data != d.data {
		return fmt.Errorf("%s: %w: it is %s", f.Path, ErrDataMoved, d.data)
	}
	p := &plan{d: d, settings: make(map[*unit]qos.Settings), units: make(map[string]*unit), devices: make(map[string]*device), tenants: make(map[string]*session.Tenant)}
	if err := p.make(f); err != nil {
		return errors.Join(err, p.undo())
	}
	p.connect(f)
	d.current.Store(&p.tenants)
	d.devices = p.devices
	if revoke != nil {
		revoke()
	}
	p.closeOld()
	return nil
}

// Close closes all volumes, after what goes on at them. Sessions should have ended.
func (d *Directory) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil
	}
	d.closed = true
	d.current.Store(&map[string]*session.Tenant{})
	var errs []error
	for _, u := range *d.units.Load() {
		errs = append(errs, u.close())
	}
	if d.catalog != nil {
		errs = append(errs, d.catalog.Close())
	}
	return errors.Join(errs...)
}

// Volumes tells of each volume, by the names of tenant and volume, how many commands are
// under way at it, and the counters of its quality of service. It does not wait for an Apply,
// which may take its time.
func (d *Directory) Volumes(each func(tenant, volume string, depth int, c qos.Counters)) {
	now := time.Now()
	for name, u := range *d.units.Load() {
		tenant, volume, _ := strings.Cut(name, "/")
		each(tenant, volume, u.Depth(), u.shaper.Counters(now))
	}
}

func targetKey(tenant, target string) string { return tenant + " " + target }

// device is a target's SCSI device, for as long as its ports are the same.
type device struct {
	*scsi.Device
	ports string
	luns  map[uint16]*unit
}
