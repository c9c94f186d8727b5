package catalog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
)

// verify reports what is wrong with the structure of a bbolt database (file format
// 2): bbolt follows page numbers and offsets on trust, and a wrong one ends in a panic,
// a fault or an endless recursion; its own Tx.Check panics on a goroutine of its own.
// What verify lets pass, bbolt can walk. Numbers have the machine's byte order.
//
//	page:   id 8, flags 2, count 2, overflow 4; then by its flags
//	meta:   magic 4, version 4, page size 4, flags 4, root page 8, sequence 8,
//	        freelist page 8, high water mark 8, transaction 8, FNV-1a of that 8
//	branch: count × (position 4, key size 4, page 8), then keys; positions count from their element
//	leaf:   count × (flags 4, position 4, key size 4, value size 4), then keys and values
//	free:   count × page 8; a count of 65535 has the real one in front
//
// A leaf's element with flag 1 is a bucket: root page 8, sequence 8; root 0 means that
// its only page, a leaf, follows.
func verify(database []byte) error {
	v := verifier{all: database}
	m, err := v.newestMeta()
	if err != nil {
		return err
	}
	v.pageSize, v.end = m.pageSize, m.end
	if has := uint64(len(database)) / v.pageSize; has < v.end {
		return fmt.Errorf("cut short: %d pages of %d", has, v.end)
	}
	v.seen = make([]bool, v.end)
	v.seen[0], v.seen[1] = true, true
	if err := v.tree(m.root, nil, nil); err != nil {
		return err
	}
	if err := v.free(m.freelist); err != nil {
		return err
	}
	for id, seen := range v.seen {
		if !seen {
			return fmt.Errorf("page %d is neither used nor free", id)
		}
	}
	return nil
}

const (
	pageHeader    = 16
	elementSize   = 16 // of branches and of leaves
	metaSize      = 64
	flagBranch    = 1
	flagLeaf      = 2
	flagFreelist  = 16
	bucketElement = 1
	largestPage   = 64 << 10
)

var native = binary.NativeEndian

type verifier struct {
	all      []byte
	pageSize uint64
	end      uint64 // no page from here on is used
	seen     []bool
}

type meta struct{ pageSize, root, freelist, end, transaction uint64 }

// newestMeta returns the newer of the two meta pages, or the one whose checksum is
// right: a commit that was interrupted leaves the other.
func (v *verifier) newestMeta() (meta, error) {
	first, ok := parseMeta(v.all)
	for size := uint64(1024); size <= largestPage && size+metaSize+pageHeader <= uint64(len(v.all)); size *= 2 {
		second, is := parseMeta(v.all[size:])
		if is && second.pageSize == size && (!ok || first.pageSize == size && second.transaction > first.transaction) {
			return second, nil
		}
	}
	if !ok {
		return meta{}, errors.New("neither of its meta pages is valid")
	}
	return first, nil
}

func parseMeta(p []byte) (m meta, ok bool) {
	if len(p) < pageHeader+metaSize {
		return m, false
	}
	p = p[pageHeader : pageHeader+metaSize]
	sum := fnv.New64a()
	_, _ = sum.Write(p[:56])
	m = meta{uint64(native.Uint32(p[8:])), native.Uint64(p[16:]), native.Uint64(p[32:]), native.Uint64(p[40:]), native.Uint64(p[48:])}
	return m, native.Uint32(p) == 0xED0CDAED && native.Uint32(p[4:]) == 2 && native.Uint64(p[56:]) == sum.Sum64() &&
		m.pageSize >= 1024 && m.pageSize <= largestPage && m.end >= 4 && m.end < 1<<40
}

// page returns a page, with those it overflows into, that nobody has pointed to yet.
func (v *verifier) page(id uint64) ([]byte, error) {
	if id < 2 || id >= v.end {
		return nil, fmt.Errorf("page %d of %d", id, v.end)
	}
	p := v.all[id*v.pageSize:]
	last := id + uint64(native.Uint32(p[12:]))
	if native.Uint64(p) != id || last >= v.end {
		return nil, fmt.Errorf("page %d calls itself %d, up to %d of %d", id, native.Uint64(p), last, v.end)
	}
	for i := id; i <= last; i++ {
		if v.seen[i] {
			return nil, fmt.Errorf("page %d is used twice", i)
		}
		v.seen[i] = true
	}
	return p[:(last-id+1)*v.pageSize], nil
}

// tree verifies the pages from id down. Keys are at least low and below high, if set.
func (v *verifier) tree(id uint64, low, high []byte) error {
	p, err := v.page(id)
	if err != nil {
		return err
	}
	switch flags := native.Uint16(p[8:]); flags {
	case flagLeaf:
		err = v.leaf(p, low, high, false)
	case flagBranch:
		err = v.branch(p, low, high)
	default:
		err = fmt.Errorf("flags %#x", flags)
	}
	if err != nil {
		return fmt.Errorf("page %d: %w", id, err)
	}
	return nil
}

// elements returns a page's elements, and checks that they are in it.
func elements(p []byte) ([]byte, int, error) {
	count := int(native.Uint16(p[10:]))
	if pageHeader+count*elementSize > len(p) {
		return nil, 0, fmt.Errorf("%d elements in %d bytes", count, len(p))
	}
	return p[pageHeader:], count, nil
}

// cut returns the n bytes at from of p.
func cut(p []byte, from, n uint64) ([]byte, error) {
	if from > uint64(len(p)) || n > uint64(len(p))-from {
		return nil, fmt.Errorf("%d bytes at %d of %d", n, from, len(p))
	}
	return p[from : from+n], nil
}

// ordered checks that key comes after the one before it, and is where it is looked for.
func ordered(before, key, low, high []byte, first bool) error {
	if len(key) == 0 || !first && bytes.Compare(before, key) >= 0 || bytes.Compare(key, low) < 0 || high != nil && bytes.Compare(key, high) >= 0 {
		return fmt.Errorf("key %q is not in order", key)
	}
	return nil
}

func (v *verifier) branch(p, low, high []byte) error {
	e, count, err := elements(p)
	if err != nil {
		return err
	}
	if count == 0 {
		return errors.New("a branch without elements")
	}
	keys := make([][]byte, count+1)
	for i := range count {
		at := e[i*elementSize:]
		if keys[i], err = cut(at, uint64(native.Uint32(at)), uint64(native.Uint32(at[4:]))); err != nil {
			return err
		}
		if err := ordered(keys[max(i-1, 0)], keys[i], low, high, i == 0); err != nil {
			return err
		}
	}
	keys[count] = high
	for i := range count {
		if err := v.tree(native.Uint64(e[i*elementSize+8:]), keys[i], keys[i+1]); err != nil {
			return err
		}
	}
	return nil
}

func (v *verifier) leaf(p, low, high []byte, inline bool) error {
	e, count, err := elements(p)
	if err != nil {
		return err
	}
	var before []byte
	for i := range count {
		at := e[i*elementSize:]
		from, n := uint64(native.Uint32(at[4:])), uint64(native.Uint32(at[8:]))
		key, err := cut(at, from, n)
		if err != nil {
			return err
		}
		if err := ordered(before, key, low, high, i == 0); err != nil {
			return err
		}
		before = key
		value, err := cut(at, from+n, uint64(native.Uint32(at[12:])))
		if err != nil {
			return err
		}
		if err := v.value(native.Uint32(at), value, inline); err != nil {
			return fmt.Errorf("key %q: %w", key, err)
		}
	}
	return nil
}

// value verifies a value: it may be a bucket, unless it is in an inline one.
func (v *verifier) value(flags uint32, p []byte, inline bool) error {
	if flags == 0 {
		return nil
	}
	if flags != bucketElement || inline || len(p) < 16 {
		return fmt.Errorf("flags %#x on %d bytes", flags, len(p))
	}
	root, page := native.Uint64(p), p[16:]
	if root != 0 {
		return v.tree(root, nil, nil)
	}
	if len(page) < pageHeader || native.Uint16(page[8:]) != flagLeaf {
		return errors.New("an inline bucket that is no leaf")
	}
	return v.leaf(page, nil, nil, true)
}

func (v *verifier) free(id uint64) error {
	p, err := v.page(id)
	if err != nil {
		return fmt.Errorf("freelist: %w", err)
	}
	if flags := native.Uint16(p[8:]); flags != flagFreelist {
		return fmt.Errorf("page %d: flags %#x on a freelist", id, flags)
	}
	ids, count := p[pageHeader:], uint64(native.Uint16(p[10:]))
	if count == 0xFFFF {
		ids, count = ids[8:], native.Uint64(ids)
	}
	if count > uint64(len(ids))/8 {
		return fmt.Errorf("page %d: %d free pages in %d bytes", id, count, len(ids))
	}
	for i := range count {
		free := native.Uint64(ids[i*8:])
		if free < 2 || free >= v.end || v.seen[free] {
			return fmt.Errorf("page %d is said to be free", free)
		}
		v.seen[free] = true
	}
	return nil
}
