package tenant

import "slices"

// check finds what is wrong between the parts of a file whose parts are right.
func (m *mistakes) check(f *File) {
	for i, t := range f.Tenants {
		for _, other := range f.Tenants[:i] {
			m.apart(other, t)
		}
		m.volumes(t, f.Data)
		m.targets(t)
	}
}

// apart wants two tenants to have nothing in common.
func (m *mistakes) apart(a, b *Tenant) {
	if a.Name != "" && a.Name == b.Name {
		m.add(b.at, "tenant %q is there already, on line %d", b.Name, a.at.line)
	}
	for _, mine := range a.Namespaces {
		for _, yours := range b.Namespaces {
			if name, ok := overlap(mine, yours); ok {
				m.add(b.at, "tenant %q, on line %d, has the namespaces %q, and this one has %q: both claim one of the name %q",
					a.Name, a.at.line, mine, yours, name)
			}
		}
	}
}

func (m *mistakes) volumes(t *Tenant, data string) {
	for i, v := range t.Volumes {
		if v.Size%int64(v.BlockSize) != 0 {
			m.add(v.at, "volume %q: %d bytes are no multiple of its blocks' %d", v.Name, v.Size, v.BlockSize)
		}
		same := func(o *Volume) bool { return o.Name == v.Name && v.Name != "" }
		if j := slices.IndexFunc(t.Volumes[:i], same); j >= 0 {
			m.add(v.at, "volume %q is there already, on line %d", v.Name, t.Volumes[j].at.line)
		}
		if v.Kind == KindFile && data == "" {
			m.add(v.at, "volume %q is a file, and the tenants file does not say in which directory: it lacks its data", v.Name)
		}
		if v.Kind == KindNull && v.Encrypted {
			m.add(v.at, "volume %q keeps nothing that could be encrypted", v.Name)
		}
		m.qos(v)
	}
}

func (m *mistakes) qos(v *Volume) {
	q := v.QoS
	for _, bound := range []struct {
		what            string
		min, max, burst int64
	}{
		{"iops", q.Min.IOPS, q.Max.IOPS, q.Burst.IOPS},
		{"bandwidth", q.Min.Bandwidth, q.Max.Bandwidth, q.Burst.Bandwidth},
	} {
		switch {
		case bound.max > 0 && bound.min > bound.max:
			m.add(v.at, "volume %q: the minimum %s %d is more than the maximum %d", v.Name, bound.what, bound.min, bound.max)
		case bound.burst > 0 && bound.max == 0:
			m.add(v.at, "volume %q: a burst of %s has no maximum to go above", v.Name, bound.what)
		case bound.burst > 0 && bound.burst < bound.max:
			m.add(v.at, "volume %q: the burst %s %d is less than the maximum %d", v.Name, bound.what, bound.burst, bound.max)
		}
	}
}

func (m *mistakes) targets(t *Tenant) {
	used := make(map[string]*Target) // by volume
	for i, target := range t.Targets {
		same := func(o *Target) bool { return o.Name == target.Name && target.Name != "" }
		if j := slices.IndexFunc(t.Targets[:i], same); j >= 0 {
			m.add(target.at, "target %q is there already, on line %d", target.Name, t.Targets[j].at.line)
		}
		for _, lun := range target.sortedLUNs() {
			volume := target.LUNs[lun]
			if !slices.ContainsFunc(t.Volumes, func(v *Volume) bool { return v.Name == volume }) {
				m.add(target.at, "LUN %d is %q, which is no volume of tenant %q", lun, volume, t.Name)
			} else if other := used[volume]; other != nil {
				// Two logical units of one volume would not know each other's reservations.
				m.add(target.at, "LUN %d is volume %q, which target %q, on line %d, has already", lun, volume, other.Name, other.at.line)
			}
			used[volume] = target
		}
		m.portals(target)
	}
}

// portals wants an address to be in one portal group.
func (m *mistakes) portals(t *Target) {
	groups := make(map[string]uint16)
	for _, p := range t.Portals {
		if other, ok := groups[p.Address]; ok && other != p.Group && p.Address != "" {
			m.add(t.at, "address %s is in the portal groups %d and %d", p.Address, other, p.Group)
		}
		groups[p.Address] = p.Group
	}
}
