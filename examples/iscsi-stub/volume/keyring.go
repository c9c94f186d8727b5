package volume

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// keyring keeps the key of an encrypted volume in a small file of its own, where it can be
// destroyed: a database puts what replaces a record into another page, and the old one stays
// to be read until its page is needed for something else.
//
// The file has two slots, each a filesystem's block of its own. An entry is overwritten, in
// its place, by the next but one, and each is stable before the next is begun; the later
// one counts. A key that is put twice has thus destroyed all before it:
//
//	an Erase stops ...                        the slots have           the volume then has
//	before the new key is stable              the old key              all of its data
//	before it is stable for the second time   the old key, the new     the new key, and the Erase is completed
//	later, until all is unmapped              the new key twice        the same
//
// It is as good as an overwrite in place is. A filesystem that writes elsewhere (btrfs, ZFS,
// ext4 with data=journal), a snapshot, a backup, the spare blocks of an SSD, a core dump or
// swap may have the old key still, and who wants to be sure of them keeps the file where
// they are not: on a filesystem of its own, say.
type keyring struct {
	disk disk // nil: the key is in memory only
	id   [16]byte
	slot int // where now is
	now  keyEntry
}

// keyEntry is what a slot has.
type keyEntry struct {
	generation uint64
	erasing    bool // an Erase is to be completed
	key        key
}

// key is AES-256's twice: in XTS mode one encrypts data, the other numbers of sectors.
type key [64]byte

const (
	keySlot     = 4096
	keyFileSize = 2 * keySlot
	entrySize   = 104 // within a sector of any disk, so that it is not torn
)

var entryMagic = [8]byte{'n', 's', 'r', 'K', 'e', 'y', 's', '1'}

func newKey() (k key) {
	_, _ = rand.Read(k[:]) // never fails
	return k
}

// slotOf is a slot with e: magic, CRC32C of all that follows it, state, generation, the
// volume's ID, the key; numbers are big-endian, and the rest is zeros.
func (e *keyEntry) slotOf(id [16]byte) []byte {
	p := make([]byte, keySlot)
	copy(p, entryMagic[:])
	if e.erasing {
		binary.BigEndian.PutUint32(p[12:], 1)
	}
	binary.BigEndian.PutUint64(p[16:], e.generation)
	copy(p[24:], id[:])
	copy(p[40:], e.key[:])
	binary.BigEndian.PutUint32(p[8:], crc32.Checksum(p[12:entrySize], castagnoli))
	return p
}

// parseEntry reads a slot; ok is false if there is no entry of the volume in it.
func parseEntry(p []byte, id [16]byte) (e keyEntry, ok bool) {
	if len(p) < entrySize || [8]byte(p) != entryMagic || [16]byte(p[24:]) != id ||
		crc32.Checksum(p[12:entrySize], castagnoli) != binary.BigEndian.Uint32(p[8:]) {
		return e, false
	}
	e.erasing = binary.BigEndian.Uint32(p[12:]) != 0
	e.generation = binary.BigEndian.Uint64(p[16:])
	e.key = key(p[40:])
	return e, true
}

// openKeyring finds the key on a disk, which is the keyring's to close unless there is an
// error; without a disk it makes one.
func openKeyring(d disk, id [16]byte) (*keyring, error) {
	k := &keyring{disk: d, id: id}
	if d == nil {
		k.now.key = newKey()
		return k, nil
	}
	p := make([]byte, keyFileSize)
	defer clear(p)
	if err := d.readAt(p, 0); err != nil {
		return nil, err
	}
	found := false
	for slot := range 2 {
		if e, ok := parseEntry(p[slot*keySlot:], id); ok && (!found || e.generation > k.now.generation) {
			k.slot, k.now, found = slot, e, true
		}
	}
	if !found {
		return nil, ErrKey
	}
	return k, nil
}

// put puts an entry over the one before the last. It is stable when put returns nil; after
// an error the next open decides which one counts.
func (k *keyring) put(erasing bool, with key) error {
	next := keyEntry{k.now.generation + 1, erasing, with}
	other := 1 - k.slot
	if k.disk != nil {
		if err := k.write(&next, other); err != nil {
			return fmt.Errorf("the file of the key: %w", err)
		}
	}
	k.slot, k.now = other, next
	return nil
}

func (k *keyring) write(e *keyEntry, slot int) error {
	if err := k.disk.check(keyFileSize); err != nil { // nobody would find it
		return err
	}
	p := e.slotOf(k.id)
	defer clear(p)
	if err := k.disk.writeAt(p, int64(slot)*keySlot); err != nil {
		return err
	}
	return k.disk.sync()
}

func (k *keyring) close() error {
	k.now = keyEntry{}
	if k.disk == nil {
		return nil
	}
	return k.disk.close()
}
