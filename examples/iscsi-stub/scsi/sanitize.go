package scsi

import (
	"bytes"
	"encoding/binary"
	"slices"
	"time"
)

// The service actions of SANITIZE (SBC-3, table 75).
const (
	actionOverwrite          = 0x01
	actionBlockErase         = 0x02
	actionCryptographicErase = 0x03
	actionExitFailureMode    = 0x1F
)

const unrestricted = 0x20 // AUSE

// sanitizing: SANITIZE (SBC-3, 5.20; 4.11).
var sanitizing = []row{
	{
		op: 0x48, action: actionOverwrite, name: "SANITIZE, OVERWRITE", usage: "48 A1 00 00 00 00 00 FF FF 00",
		does: writes, timeout: 24 * time.Hour, check: checkSanitize, run: runSanitize,
	},
	{
		op: 0x48, action: actionBlockErase, name: "SANITIZE, BLOCK ERASE", usage: "48 A2 00 00 00 00 00 FF FF 00",
		does: writes | thinOnly, timeout: 24 * time.Hour, check: checkSanitize, run: runSanitize,
	},
	{
		op: 0x48, action: actionCryptographicErase, name: "SANITIZE, CRYPTOGRAPHIC ERASE", usage: "48 A3 00 00 00 00 00 FF FF 00",
		does: writes | encryptedOnly, timeout: 24 * time.Hour, check: checkSanitize, run: runSanitize,
	},
	{
		op: 0x48, action: actionExitFailureMode, name: "SANITIZE, EXIT FAILURE MODE", usage: "48 BF 00 00 00 00 00 FF FF 00",
		does: writes, check: checkSanitize, run: runExitFailureMode,
	},
}

// storedSanitize is kept from before the first block is erased until the last one is: a
// restart must not show half of it as if nothing had been.
type storedSanitize struct {
	Unrestricted bool `json:"unrestricted,omitempty"` // AUSE: EXIT FAILURE MODE may end it
}

// sanitize is one that goes on. It belongs to the unit, whatever becomes of who asked.
type sanitize struct {
	state   storedSanitize
	key     bool     // the volume's key is replaced, and there are no passes
	passes  [][]byte // a part of the medium as each pass writes it; nil gives blocks back
	stop    chan struct{}
	done    chan struct{} // closed at the end
	waiting []func()      // who waits for that; medium.mu guards it
	err     error         // why it failed
}

// erasePart is how much of the medium is erased at a time, in bytes.
const erasePart = 1 << 20

var sanitizeFailed = Sense{Key: MediumError, Code: SanitizeCommandFailed}

func checkSanitize(c *Command) {
	c.OutLen = int(binary.BigEndian.Uint16(c.CDB[7:]))
	overwrites := c.CDB[1]&0x1F == actionOverwrite
	m := &c.unit.medium
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.ejected:
		c.fail(NotReady, MediumNotPresent)
	case m.sanitize != nil:
		c.check(*m.erasing)
	case overwrites && (c.OutLen < 5 || c.OutLen > c.blockSize()+4), !overwrites && c.OutLen != 0:
		c.badField(7, -1)
	}
}

// runSanitize begins; without IMMED its status waits for the end.
func runSanitize(c *Command, w Wait) bool {
	if w == DontWait {
		return false
	}
	s := &sanitize{
		state: storedSanitize{Unrestricted: c.CDB[1]&unrestricted != 0},
		stop:  make(chan struct{}), done: make(chan struct{}), passes: [][]byte{nil},
	}
	switch c.CDB[1] & 0x1F {
	case actionOverwrite:
		if s.passes = c.overwritePasses(); s.passes == nil {
			return true
		}
	case actionCryptographicErase:
		s.key, s.passes = true, nil
	}
	c.unit.beginSanitize(s, c)
	const immediate = 0x80
	if !c.failed() && c.CDB[1]&immediate == 0 {
		c.scratch, c.wait = s, (*Command).awaitSanitize
	}
	return true
}

// awaitSanitize settles a SANITIZE without IMMED. One that is aborted goes on (SBC-3, 4.11.2).
func (c *Command) awaitSanitize(done func()) bool {
	s, _ := c.scratch.(*sanitize)
	m := &c.unit.medium
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.sanitize == s {
		s.waiting = append(s.waiting, done)
		return true
	}
	if s.err != nil {
		c.check(sanitizeFailed)
	}
	return false
}

// overwritePasses reads OVERWRITE's parameter list (SBC-3, table 76).
func (c *Command) overwritePasses() (passes [][]byte) {
	if !c.complete() {
		return nil
	}
	count, length := int(c.Out[0]&0x1F), int(binary.BigEndian.Uint16(c.Out[2:]))
	invert, block := c.Out[0]&0x80 != 0, c.blockSize()
	switch {
	case c.Out[0]&0x60 != 0: // TEST
		c.badParameter(0, 6)
		return nil
	case count == 0:
		c.badParameter(0, 4)
		return nil
	case length == 0 || length > block:
		c.badParameter(2, -1)
		return nil
	case length != len(c.Out)-4:
		c.fail(IllegalRequest, ParameterListLengthError)
		return nil
	}
	pattern := bytes.Repeat(c.Out[4:], block/length+1)[:block]
	part := bytes.Repeat(pattern, erasePart/block)
	inverted := slices.Clone(part)
	for i := range inverted {
		inverted[i] ^= 0xFF
	}
	for pass := range count {
		if invert && pass%2 == 1 {
			passes = append(passes, inverted)
		} else {
			passes = append(passes, part)
		}
	}
	return passes
}

// beginSanitize starts one, unless there is one already, and after that is kept.
func (u *Unit) beginSanitize(s *sanitize, c *Command) {
	m := &u.medium
	m.mu.Lock()
	if m.sanitize != nil || m.closed || m.ejected {
		m.mu.Unlock()
		c.fail(NotReady, SanitizeInProgress)
		return
	}
	before := m.erasing
	m.sanitize = s
	u.sanitizeAt(0)
	m.mu.Unlock()
	if err := u.saveSanitize(&s.state); err != nil {
		m.mu.Lock()
		m.sanitize, m.erasing = nil, before
		u.noteMedium()
		m.mu.Unlock()
		close(s.done)
		c.fail(HardwareError, InternalTargetFailure)
		return
	}
	go u.doSanitize(s)
}

// saveSanitize keeps that a sanitize goes on, or with nil that none does.
func (u *Unit) saveSanitize(state *storedSanitize) error {
	if u.keeper == nil {
		return nil
	}
	return u.save(func(s *savedState) { s.Sanitize = state })
}

// sanitizeAt shows how far it has come, in parts of 65536; medium.mu is held.
func (u *Unit) sanitizeAt(parts uint16) {
	in := Sense{Key: NotReady, Code: SanitizeInProgress}.progress(parts)
	u.medium.erasing = &in
	u.noteMedium()
}

// doSanitize is the sanitize's goroutine.
func (u *Unit) doSanitize(s *sanitize) {
	s.err = u.erase(s)
	if s.err == nil {
		s.err = u.saveSanitize(nil)
	}
	m := &u.medium
	m.mu.Lock()
	m.sanitize, m.erasing, m.failed = nil, nil, nil
	if s.err != nil {
		m.erasing, m.failed = &sanitizeFailed, &s.state
	}
	u.noteMedium()
	waiting := s.waiting
	m.mu.Unlock()
	close(s.done)
	for _, f := range waiting {
		f()
	}
}

// erase does all passes; each is stable before the next begins. To destroy a key is no
// matter of throughput: no share of it is asked for, and nothing stops it half-way.
func (u *Unit) erase(s *sanitize) error {
	if s.key {
		return u.volume.Erase()
	}
	size := int64(u.volume.Blocks()) * int64(u.volume.BlockSize())
	for pass, part := range s.passes {
		for off := int64(0); off < size; off += erasePart {
			n := min(erasePart, size-off)
			if err := u.erasePart(s, part, off, n); err != nil {
				return err
			}
			done := float64(pass) + float64(off+n)/float64(size)
			u.medium.mu.Lock()
			u.sanitizeAt(uint16(min(65535, 65536*done/float64(len(s.passes)))))
			u.medium.mu.Unlock()
		}
		if err := u.volume.Sync(MayWait); err != nil {
			return err
		}
	}
	return nil
}

// erasePart erases n bytes, when the volume's quality of service lets it.
func (u *Unit) erasePart(s *sanitize, part []byte, off, n int64) error {
	return u.shaped(true, n, s.stop, func() error {
		if part == nil {
			return u.volume.Unmap(off, n, MayWait)
		}
		return u.volume.WriteAt(part[:n], off, false, MayWait)
	})
}

// runExitFailureMode leaves the failure that a sanitize ended with, if who began it allowed
// that. There may be none to leave.
func runExitFailureMode(c *Command, w Wait) bool {
	if w == DontWait {
		return false
	}
	m := &c.unit.medium
	m.mu.Lock()
	failed, busy := m.failed, m.sanitize != nil
	m.mu.Unlock()
	switch {
	case busy:
		c.fail(NotReady, SanitizeInProgress)
		return true
	case failed == nil:
		return true
	case !failed.Unrestricted:
		c.badField(1, 4)
		return true
	}
	if err := c.unit.saveSanitize(nil); err != nil {
		c.fail(HardwareError, InternalTargetFailure)
		return true
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.sanitize == nil {
		m.failed, m.erasing = nil, nil
		c.unit.noteMedium()
	}
	return true
}

// restoreSanitize makes one that was not finished a failed one.
func (u *Unit) restoreSanitize(s *storedSanitize) {
	if s == nil {
		return
	}
	u.medium.mu.Lock()
	defer u.medium.mu.Unlock()
	u.medium.failed, u.medium.erasing = s, &sanitizeFailed
	u.noteMedium()
}

// Close ends what goes on at the unit without a command, and waits for it: a sanitize has
// then failed. The volume stays open.
func (u *Unit) Close() {
	u.medium.mu.Lock()
	s := u.medium.sanitize
	if s != nil && !u.medium.closed {
		close(s.stop)
	}
	u.medium.closed = true
	u.medium.mu.Unlock()
	if s != nil {
		<-s.done
	}
}
