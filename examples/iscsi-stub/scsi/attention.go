package scsi

import "slices"

// establish makes a unit attention condition pending for a nexus (SAM-5, 5.14).
func (p *path) establish(code Code) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !slices.Contains(p.attentions, code) {
		p.attentions = append(p.attentions, code)
	}
	p.pending.Store(true)
}

// take reports the oldest unit attention condition, and clears it.
func (p *path) take() (code Code, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.attentions) == 0 {
		return 0, false
	}
	code = p.attentions[0]
	p.attentions = slices.Delete(p.attentions, 0, 1)
	p.pending.Store(len(p.attentions) > 0)
	return code, true
}

// clear ends a unit attention condition that its nexus knows of by other means.
func (p *path) clear(code Code) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.attentions = slices.DeleteFunc(p.attentions, func(c Code) bool { return c == code })
	p.pending.Store(len(p.attentions) > 0)
}

// tellOthers establishes a unit attention condition for every nexus but one, which may be
// nil; u.mu is not held.
func (u *Unit) tellOthers(except *Nexus, code Code) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for n, p := range u.paths {
		if n != except {
			p.establish(code)
		}
	}
}

// attention ends a command with the unit attention condition that is pending.
func (c *Command) attention() bool {
	code, ok := c.path.take()
	if ok {
		c.fail(UnitAttention, code)
	}
	return ok
}
