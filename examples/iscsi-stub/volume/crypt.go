package volume

import (
	"crypto/aes"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/crypto/xts"
)

// crypt encrypts what goes into a medium, and decrypts what comes out of it: AES-256 in XTS
// mode (IEEE 1619), sector by sector, whose number is the tweak. Only ciphertext gets to
// the medium, and so to an Update's journal.
//
// Sectors have 512 bytes, however large blocks are, because a disk may tear a write there:
// each half of a torn block decrypts to what was there or to what was to be there.
//
// A sector of zeros was never written, or has been unmapped, and reads as zeros; so holes
// stay holes, and whoever has the file sees which they are. Data does not become such a
// sector: for each number one content in 2^4096 would, and this code, which leaves zeros as
// they are, never shows which.
//
// XTS hides data from who finds the disk. It does not notice who changes it there: a
// changed ciphertext decrypts to something else, and is no error.
type crypt struct {
	medium
	keys *keyring

	// Replaced by erase only, which runs alone.
	cipher *xts.Cipher
	failed error // an erase that did not get to its end: which key counts, the next open finds out
}

const cryptSector = 512

// cryptInline is the most bytes that a loop encrypts, which takes a tenth of a millisecond;
// workers do more than that, side by side.
const cryptInline = 16 << 10

// newCrypt puts encryption before a medium. An erase that was interrupted is completed.
func newCrypt(m medium, keys *keyring, size int64) (*crypt, error) {
	c := &crypt{medium: m, keys: keys}
	if err := c.useKey(); err != nil {
		return nil, err
	}
	if !keys.now.erasing {
		return c, nil
	}
	if err := c.complete(size); err != nil {
		return nil, fmt.Errorf("completing an erase: %w", err)
	}
	return c, nil
}

// openCrypt is newCrypt for a medium that cfg describes.
func openCrypt(m medium, cfg Config, size int64) (*crypt, error) {
	var d disk
	if cfg.Kind == File {
		f, err := openFile(cfg.KeyPath, cfg.Profile.ReadOnly)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrKey, err)
		}
		d = f
	}
	keys, err := openKeyring(d, cfg.ID)
	if err == nil {
		var c *crypt
		if c, err = newCrypt(m, keys, size); err == nil {
			return c, nil
		}
	}
	if d != nil {
		_ = d.close() // the error says more
	}
	return nil, err
}

func (c *crypt) useKey() (err error) {
	c.cipher, err = xts.NewCipher(aes.NewCipher, c.keys.now.key[:])
	return err
}

// ready refuses what an erase has made senseless, and what a loop should not do itself.
func (c *crypt) ready(n int, w Wait) error {
	if c.failed != nil {
		return c.failed
	}
	if w == DontWait && n > cryptInline {
		return ErrWait
	}
	return nil
}

func (c *crypt) encrypt(to, from []byte, off int64) {
	for at := 0; at < len(from); at += cryptSector {
		c.cipher.Encrypt(to[at:at+cryptSector], from[at:at+cryptSector], uint64(off+int64(at))/cryptSector)
	}
}

func (c *crypt) decrypt(p []byte, off int64) {
	for at := 0; at < len(p); at += cryptSector {
		if s := p[at : at+cryptSector]; !isZero(s) {
			c.cipher.Decrypt(s, s, uint64(off+int64(at))/cryptSector)
		}
	}
}

func (c *crypt) readAt(p []byte, off int64, w Wait) error {
	if err := c.ready(len(p), w); err != nil {
		return err
	}
	if err := c.medium.readAt(p, off, w); err != nil {
		return err
	}
	c.decrypt(p, off)
	return nil
}

func (c *crypt) writeAt(p []byte, off int64, durable bool, w Wait) error {
	if err := c.ready(len(p), w); err != nil {
		return err
	}
	b := scratch.get(min(len(p), MaxUpdate))
	defer scratch.put(b)
	for len(p) > 0 {
		part := b.bytes[:min(len(p), len(b.bytes))]
		c.encrypt(part, p[:len(part)], off)
		if err := c.medium.writeAt(part, off, durable, w); err != nil {
			return err
		}
		p, off = p[len(part):], off+int64(len(part))
	}
	return nil
}

func (c *crypt) update(b []byte, off int64, durable bool, w Wait, f func([]byte) error) error {
	if err := c.ready(len(b), w); err != nil {
		return err
	}
	u, _ := changes.Get().(*change)
	defer changes.Put(u)
	u.crypt, u.off, u.f = c, off, f
	return c.medium.update(b, off, durable, w, u.run)
}

// change is an Update's function with decryption before it and encryption after it. It is on
// loan: a closure would be made for every Update.
type change struct {
	crypt *crypt
	off   int64
	f     func([]byte) error
	run   func([]byte) error // apply
}

var changes = sync.Pool{New: func() any {
	u := new(change)
	u.run = u.apply
	return u
}}

func (u *change) apply(b []byte) error {
	u.crypt.decrypt(b, u.off)
	if err := u.f(b); err != nil {
		return err
	}
	u.crypt.encrypt(b, b, u.off)
	return nil
}

func (c *crypt) close() error {
	c.cipher = nil
	return errors.Join(c.medium.close(), c.keys.close())
}

// erase makes all data unreadable for good by replacing the key, and then unmaps what
// nobody can read any more. From the moment that the new key is stable the erase is bound
// to be completed, if not now then by who opens the volume next; before, nothing has
// happened. Records of the journal are ciphertext: one that is replayed in between is
// unmapped like everything else.
func (c *crypt) erase(size int64) (err error) {
	defer func() { c.failed = err }()
	if err := c.keys.put(true, newKey()); err != nil {
		return err
	}
	if err := c.useKey(); err != nil {
		return err
	}
	return c.complete(size)
}

// complete destroys the old key, and what it made.
func (c *crypt) complete(size int64) error {
	if err := c.keys.put(true, c.keys.now.key); err != nil {
		return err
	}
	if err := c.zero(0, size, MayWait); err != nil {
		return err
	}
	if err := c.sync(MayWait); err != nil {
		return err
	}
	return c.keys.put(false, c.keys.now.key)
}
