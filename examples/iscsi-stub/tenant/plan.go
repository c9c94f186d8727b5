package tenant

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/nsreactor/nsreactor/examples/iscsi-stub/catalog"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/qos"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/scsi"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/session"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/volume"
)

// unit is an open volume and its logical unit.
type unit struct {
	*scsi.Unit
	shaper  *qos.Volume
	profile volume.Profile
	toEnd   bool   // WriteSameToEnd
	release func() // of its meter
}

func (u *unit) close() error {
	u.Close()
	u.shaper.Close()
	u.release()
	return u.Volume().Close()
}

// plan is what a File is to become. What can fail is done first, beside what is served.
type plan struct {
	d       *Directory
	units   map[string]*unit
	devices map[string]*device
	tenants map[string]*session.Tenant

	settings map[*unit]qos.Settings // of old ones, which take effect when the plan is carried out

	opened []*unit // new ones
	closed []*unit // old ones, when the plan is carried out
}

// make opens what is new, and keeps what has stayed.
func (p *plan) make(f *File) error {
	var errs []error
	for _, t := range f.Tenants {
		for _, v := range t.Volumes {
			if err := p.volume(t, v); err != nil {
				errs = append(errs, &Error{f.Path, v.at.line, v.at.column, fmt.Sprintf("volume %q of tenant %q: %v", v.Name, t.Name, err)})
			}
		}
	}
	return errors.Join(errs...)
}

func (p *plan) volume(t *Tenant, v *Volume) error {
	name := t.Name + "/" + v.Name
	want := catalog.Volume{
		Name: name, Tenant: t.Name, Kind: volume.Kind(v.Kind), BlockSize: v.BlockSize, Blocks: uint64(v.Size) / uint64(v.BlockSize),
		Profile: volume.Profile{ReadOnly: v.ReadOnly, Removable: v.Removable, Thin: v.Thin, Encrypted: v.Encrypted},
	}
	if v.Kind == KindFile {
		want.Path = filepath.Join(p.d.data, t.Name, v.Name+".img")
	}
	settings := v.QoS.settings()
	if old := (*p.d.units.Load())[name]; old != nil && old.profile == want.Profile && old.toEnd == v.WriteSameToEnd {
		p.units[name] = old
		return p.keep(old, want, settings)
	}
	u, err := p.open(want, settings, v.WriteSameToEnd)
	if err != nil {
		return err
	}
	p.units[name] = u
	p.opened = append(p.opened, u)
	return nil
}

// ErrShrink refuses a volume that is to be smaller than it is.
var ErrShrink = errors.New("a volume does not shrink")

// keep goes on with a volume that is open.
func (p *plan) keep(u *unit, want catalog.Volume, settings qos.Settings) error {
	has := u.Volume()
	switch {
	case has.BlockSize() != want.BlockSize:
		return fmt.Errorf("%w: its blocks have %d bytes", catalog.ErrMismatch, has.BlockSize())
	case has.Blocks() > want.Blocks:
		return fmt.Errorf("%w: it has %d bytes", ErrShrink, int64(has.Blocks())*int64(has.BlockSize()))
	case has.Blocks() < want.Blocks:
		if err := u.Grow(want.Blocks); err != nil {
			return err
		}
	}
	if p.d.catalog != nil {
		if _, err := p.d.catalog.Ensure(want); err != nil {
			return err
		}
	}
	if err := settings.Validate(); err != nil {
		return err
	}
	p.settings[u] = settings
	return nil
}

// open opens a volume that isn't open, or that is to become another kind of disk: then the old
// one is closed first, since a file is open once only.
func (p *plan) open(want catalog.Volume, settings qos.Settings, toEnd bool) (*unit, error) {
	old := (*p.d.units.Load())[want.Name]
	switch {
	case old == nil:
	case old.profile.Encrypted != want.Profile.Encrypted:
		return nil, fmt.Errorf("%w: a volume is made encrypted, or never is", catalog.ErrMismatch)
	default:
		return nil, errors.New("read-only, removable, thin and write-same-to-end can't change while the program runs")
	}
	cfg, keeper, err := p.config(want)
	if err != nil {
		return nil, err
	}
	v, err := volume.Open(cfg)
	if err != nil {
		return nil, err
	}
	shaper, err := p.d.governor.Add(settings, time.Now())
	if err != nil {
		return nil, errors.Join(err, v.Close())
	}
	_, label, _ := strings.Cut(want.Name, "/")
	meter, release := p.d.meter(want.Tenant, label)
	u, err := scsi.NewUnit(scsi.UnitConfig{Volume: v, Keeper: keeper, Shaper: shaper, Meter: meter, RefuseWriteSameToEnd: !toEnd})
	if err != nil {
		shaper.Close()
		release()
		return nil, errors.Join(err, v.Close())
	}
	return &unit{Unit: u, shaper: shaper, profile: want.Profile, toEnd: toEnd, release: release}, nil
}

// config is what opens a volume, and what keeps its unit's state: the catalog, if there is one.
func (p *plan) config(want catalog.Volume) (volume.Config, scsi.Keeper, error) {
	if p.d.catalog == nil {
		cfg := want.Config()
		sum := sha256.Sum256([]byte(want.Name)) // the same each time, and another for each volume
		copy(cfg.ID[:], sum[:])
		return cfg, nil, nil
	}
	if want.Path != "" {
		if err := os.MkdirAll(filepath.Dir(want.Path), 0o700); err != nil {
			return volume.Config{}, nil, err
		}
	}
	cfg, err := p.d.catalog.Ensure(want)
	return cfg, p.d.catalog, err
}

// undo closes what was opened.
func (p *plan) undo() error {
	var errs []error
	for _, u := range p.opened {
		errs = append(errs, u.close())
	}
	return errors.Join(errs...)
}

// connect makes devices of the units, and tenants of these. Initiators that are there see the
// difference in their device's units.
func (p *plan) connect(f *File) {
	for name, old := range *p.d.units.Load() {
		if p.units[name] == nil {
			p.closed = append(p.closed, old)
		}
	}
	for u, settings := range p.settings {
		_ = u.shaper.Set(settings, time.Now()) // they were validated
	}
	p.d.units.Store(&p.units)
	for _, t := range f.Tenants {
		st := t.session(p.d.port)
		for i, target := range t.Targets {
			key := targetKey(t.Name, target.Name)
			dev := p.d.devices[key]
			if ports := fmt.Sprint(target.groups()); dev == nil || dev.ports != ports {
				dev = &device{Device: scsi.NewDevice(target.device()), ports: ports, luns: make(map[uint16]*unit)}
			}
			p.devices[key] = dev
			st.Targets[i].Device = dev.Device
		}
		for _, glob := range t.Namespaces {
			p.tenants[glob] = st
		}
	}
	// A unit is one device's at a time: all leave before any arrive.
	for key, old := range p.d.devices {
		old.leave(p.wanted(f, key, old))
	}
	for _, t := range f.Tenants {
		for _, target := range t.Targets {
			key := targetKey(t.Name, target.Name)
			p.devices[key].arrive(p.wanted(f, key, p.devices[key]))
		}
	}
}

// wanted are the units that a device is to have.
func (p *plan) wanted(f *File, key string, dev *device) map[uint16]*unit {
	units := make(map[uint16]*unit)
	if p.devices[key] != dev {
		return units
	}
	for _, t := range f.Tenants {
		for _, target := range t.Targets {
			if targetKey(t.Name, target.Name) != key {
				continue
			}
			for lun, name := range target.LUNs {
				units[lun] = p.units[t.Name+"/"+name]
			}
		}
	}
	return units
}

// leave removes units that are not wanted.
func (dev *device) leave(wanted map[uint16]*unit) {
	for lun, u := range dev.luns {
		if wanted[lun] != u {
			dev.Remove(lun)
			delete(dev.luns, lun)
		}
	}
}

// arrive adds those that are missing.
func (dev *device) arrive(wanted map[uint16]*unit) {
	for lun, u := range wanted {
		if dev.luns[lun] == nil {
			_ = dev.Add(lun, u.Unit) // the number is free, and within 0 to 255
			dev.luns[lun] = u
		}
	}
}

// closeOld closes the volumes that are nobody's any more. What fails then changes nothing.
func (p *plan) closeOld() {
	for _, u := range p.closed {
		if err := u.close(); err != nil {
			p.d.log.Error("closing a volume that has gone", "volume", u.Name(), "err", err)
		}
	}
}

// groups are a target's portal groups, in order.
func (t *Target) groups() []uint16 {
	groups := []uint16{}
	for _, p := range t.Portals {
		groups = append(groups, p.Group)
	}
	if len(groups) == 0 {
		groups = append(groups, 1)
	}
	slices.Sort(groups)
	return slices.Compact(groups)
}

// device is the target as SCSI names it (RFC 7143, section 4.2.7.1 and appendix).
func (t *Target) device() scsi.DeviceConfig {
	cfg := scsi.DeviceConfig{Name: t.Name}
	for _, g := range t.groups() {
		cfg.Ports = append(cfg.Ports, scsi.TargetPort{ID: g, Name: fmt.Sprintf("%s,t,0x%04x", t.Name, g)})
	}
	return cfg
}

func (q QoS) settings() qos.Settings {
	return qos.Settings{
		IOPS:      qos.Limits{Min: uint64(q.Min.IOPS), Max: uint64(q.Max.IOPS), Burst: uint64(q.Burst.IOPS)},
		Bandwidth: qos.Limits{Min: uint64(q.Min.Bandwidth), Max: uint64(q.Max.Bandwidth), Burst: uint64(q.Burst.Bandwidth)},
		BurstFor:  q.BurstFor,
	}
}
