// Package volume keeps the bytes of logical units: in memory, in sparse files, or
// nowhere. It knows no sockets and no SCSI; what it promises is what a disk with a
// write cache promises, and a program that is killed or a machine that loses power
// does not make it break its word:
//
//   - a durable write, and every write that a Sync came after, is still there;
//   - an Update is there whole or not at all;
//   - any other write may be there, in part, or not, block by block.
//
// Every access says whether it may wait. An event loop passes DontWait, and is told
// ErrWait where it would have to: it then repeats the access with MayWait on a
// goroutine that may block.
package volume

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/bits"
	"os"
	"sync"
	"sync/atomic"
)

// Wait says whether an access may block its goroutine.
type Wait bool

const (
	// DontWait has an access return ErrWait where it would have to wait, for a disk
	// or for another's turn. It may then have read or written a part, but never
	// called the function of an Update; whoever repeats it repeats all of it.
	DontWait Wait = false
	// MayWait is for goroutines that may block.
	MayWait Wait = true
)

// Kind says where a volume's bytes are.
type Kind string

const (
	// File is a sparse file. Beside it lies a journal, the same name and
	// JournalSuffix, from the first Update on.
	File Kind = "file"
	// Memory is gone when the volume is closed. It takes memory for what has been
	// written only.
	Memory Kind = "memory"
	// Null reads zeros and forgets what is written: what is left is the cost of
	// everything around a volume.
	Null Kind = "null"
)

// Profile is what kind of a disk a volume is said to be.
type Profile struct {
	// ReadOnly refuses all that would change the volume, with ErrReadOnly.
	ReadOnly bool
	// Removable is for the unit above; the volume does nothing about it.
	Removable bool
	// Thin takes room as it is written to, and gives it back with Unmap. A file that
	// is not thin has all its room from its creation on (fallocate(2)), so that it
	// cannot meet a full disk, and keeps it.
	Thin bool
	// Encrypted has only ciphertext on the disk, and Erase. A volume is made so, or not.
	Encrypted bool `json:",omitempty"`
}

// Config describes a volume to Open and Create.
type Config struct {
	Name string   // what errors call it
	ID   [16]byte // which volume it is, for life; the journal is bound to it
	Kind Kind
	Path string // of the file, if that is the kind
	// KeyPath is the file of the key of an encrypted file. Who copies one file without the
	// other has copied nothing.
	KeyPath string

	BlockSize int    // bytes, a power of two from 512 to 65536; 0 is 512
	Blocks    uint64 // at least one
	Profile   Profile

	// WriteThrough makes every write durable, as SetWriteCache(false) does.
	WriteThrough bool
}

// MaxUpdate is the most bytes of one Update.
const MaxUpdate = 1 << 20

// inlineMost is the most bytes that Fill and Unmap go through without a pause for
// the loop that called.
const inlineMost = 1 << 20

var (
	// ErrWait says that a DontWait access would have had to wait.
	ErrWait = errors.New("volume: would have to wait")
	// ErrFull says that the disk, or the owner's share of it, is full. Nothing that
	// was acknowledged is lost; reads go on.
	ErrFull = errors.New("volume: no room left")
	// ErrReadOnly refuses a change.
	ErrReadOnly = errors.New("volume: read-only")
	// ErrRange refuses an access that is not whole blocks within the volume, or an
	// Update of more than MaxUpdate.
	ErrRange = errors.New("volume: out of range")
	// ErrTruncated says that the file is shorter than the volume.
	ErrTruncated = errors.New("volume: file is too short")
	// ErrDeleted says that the file has no name any more: what is written to it would
	// be gone with the process.
	ErrDeleted = errors.New("volume: file has been deleted")
	// ErrMedium says that the disk failed (EIO).
	ErrMedium = errors.New("volume: medium error")
	// ErrBusy says that another has the file open as a volume, or as an image (qemu-img).
	ErrBusy = errors.New("volume: in use")
	// ErrJournal says that the journal holds what cannot be this volume's.
	ErrJournal = errors.New("volume: journal of another volume")
	// ErrClosed says that the volume has been closed.
	ErrClosed = errors.New("volume: closed")
	// ErrKey says that the file of the key is not there, or has no key of the volume.
	ErrKey = errors.New("volume: no key for an encrypted volume")
	// ErrPlain refuses to Erase a volume that is not encrypted.
	ErrPlain = errors.New("volume: not encrypted")
	// ErrConfig refuses a Config.
	ErrConfig = errors.New("volume: bad configuration")
)

// Volume is an open volume. Its methods may be called by any goroutine at the same
// time; offsets and lengths are bytes, multiples of BlockSize. What overlaps and
// runs at the same time is ordered block by block, and an Update excludes
// everything that overlaps it. Slices are the caller's again when a method returns.
type Volume struct {
	config       Config
	size         atomic.Int64
	writeThrough atomic.Bool
	medium       medium

	turns  turns
	life   sync.RWMutex // held by what touches no range, against Close
	closed bool         // guarded by all locks: read under any, set under every one
}

// medium is where the bytes are. Volume has checked ranges and closedness, and holds
// the locks: update and resize are called with their range held exclusively.
// A Wait is passed on wherever a medium may meet something to wait for.
type medium interface {
	readAt(p []byte, off int64, w Wait) error
	writeAt(p []byte, off int64, durable bool, w Wait) error
	// zero makes n bytes read as zeros, and gives their room back if the volume is thin.
	zero(off, n int64, w Wait) error
	// update has f change the bytes at off in b, which is as long as they are.
	update(b []byte, off int64, durable bool, w Wait, f func([]byte) error) error
	sync(w Wait) error
	// status is asked of thin volumes only. n is at most end-off.
	status(off, end int64, w Wait) (mapped bool, n int64, err error)
	resize(size int64) error
	close() error
}

// Open opens a volume. A file must exist (Create makes it) and be at least as long
// as the volume: ErrTruncated otherwise. What an Update was interrupted at is
// completed first. ErrBusy: someone else has the file open as a volume.
func Open(cfg Config) (*Volume, error) {
	size, err := cfg.check()
	if err != nil {
		return nil, err
	}
	v := &Volume{config: cfg}
	v.size.Store(size)
	v.writeThrough.Store(cfg.WriteThrough)
	switch cfg.Kind {
	case Memory:
		v.medium = newMemory(cfg.BlockSize, size)
	case Null:
		v.medium = null{}
	case File:
		if v.medium, err = openMedium(cfg, size); err != nil {
			return nil, fmt.Errorf("volume %s: %w", cfg.Name, err)
		}
	}
	if !cfg.Profile.Encrypted {
		return v, nil
	}
	c, err := openCrypt(v.medium, cfg, size)
	if err != nil {
		return nil, fmt.Errorf("volume %s: %w", cfg.Name, errors.Join(err, v.medium.close()))
	}
	v.medium = c
	return v, nil
}

// Create makes the file of a volume, which must not be there yet (fs.ErrExist), nor
// must a journal of its name. Whenever the machine stops, the file is there whole or
// not at all. For the other kinds there is nothing to make. If it is to be encrypted, its
// key is made before it; one that is there is kept.
func Create(cfg Config) error {
	size, err := cfg.check()
	if err != nil || cfg.Kind != File {
		return err
	}
	if _, err := os.Lstat(cfg.Path + JournalSuffix); err == nil {
		return fmt.Errorf("volume %s: %w: the journal %s%s", cfg.Name, fs.ErrExist, cfg.Path, JournalSuffix)
	}
	if cfg.Profile.Encrypted {
		if err := createKey(cfg.KeyPath, cfg.ID); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("volume %s: making its key: %w", cfg.Name, err)
		}
	}
	err = create(cfg.Path, func(d osFile) error { return d.resize(size, !cfg.Profile.Thin) })
	if err != nil {
		return fmt.Errorf("volume %s: making %s: %w", cfg.Name, cfg.Path, err)
	}
	return nil
}

// check fills in the defaults and returns the size in bytes.
func (cfg *Config) check() (int64, error) {
	if cfg.BlockSize == 0 {
		cfg.BlockSize = 512
	}
	refuse := func(format string, args ...any) (int64, error) {
		return 0, fmt.Errorf("%w: %s: %s", ErrConfig, cfg.Name, fmt.Sprintf(format, args...))
	}
	switch {
	case cfg.BlockSize < 512 || cfg.BlockSize > 65536 || bits.OnesCount(uint(cfg.BlockSize)) != 1:
		return refuse("block size %d is not a power of two from 512 to 65536", cfg.BlockSize)
	case cfg.Blocks == 0:
		return refuse("a volume has at least one block")
	case cfg.Blocks > math.MaxInt64/uint64(cfg.BlockSize):
		return refuse("%d blocks of %d bytes are more than a file can hold", cfg.Blocks, cfg.BlockSize)
	case cfg.Kind == Memory && cfg.Blocks > maxMemory/uint64(cfg.BlockSize):
		return refuse("%d blocks of %d bytes are more than a volume in memory can have", cfg.Blocks, cfg.BlockSize)
	case cfg.Kind != File && cfg.Kind != Memory && cfg.Kind != Null:
		return refuse("unknown kind %q", cfg.Kind)
	case (cfg.Kind == File) != (cfg.Path != ""):
		return refuse("a file needs a path, and nothing else has one")
	case cfg.Profile.Encrypted && cfg.Kind == Null:
		return refuse("there is nothing to encrypt")
	case (cfg.Profile.Encrypted && cfg.Kind == File) != (cfg.KeyPath != ""):
		return refuse("an encrypted file needs a path for its key, and nothing else has one")
	}
	return int64(cfg.Blocks) * int64(cfg.BlockSize), nil
}

// Name is the volume's name.
func (v *Volume) Name() string { return v.config.Name }

// ID is the volume's identity.
func (v *Volume) ID() [16]byte { return v.config.ID }

// BlockSize is the length of a block in bytes.
func (v *Volume) BlockSize() int { return v.config.BlockSize }

// Blocks is how many blocks the volume has now.
func (v *Volume) Blocks() uint64 { return uint64(v.size.Load()) / uint64(v.config.BlockSize) }

// Profile is the volume's profile.
func (v *Volume) Profile() Profile { return v.config.Profile }

// WriteCache reports whether writes may be acknowledged before they are stable.
func (v *Volume) WriteCache() bool { return !v.writeThrough.Load() }

// SetWriteCache turns the write cache on or off. Turning it off does not Sync.
func (v *Volume) SetWriteCache(on bool) { v.writeThrough.Store(!on) }

// ReadAt fills p with the bytes at off.
func (v *Volume) ReadAt(p []byte, off int64, w Wait) error {
	t, err := v.share(off, int64(len(p)), w)
	if err != nil {
		return err
	}
	defer v.turns.done(t)
	return v.medium.readAt(p, off, w)
}

// WriteAt writes p at off. durable: it is stable when WriteAt returns.
func (v *Volume) WriteAt(p []byte, off int64, durable bool, w Wait) error {
	if v.config.Profile.ReadOnly {
		return ErrReadOnly
	}
	t, err := v.write(off, int64(len(p)), w)
	if err != nil {
		return err
	}
	defer v.turns.done(t)
	return v.medium.writeAt(p, off, durable || v.writeThrough.Load(), w)
}

// Fill writes block over and over into the n bytes at off; block is one block long.
// Blocks of zeros give their room back, as Unmap does.
func (v *Volume) Fill(block []byte, off, n int64, durable bool, w Wait) error {
	if len(block) != v.config.BlockSize {
		return ErrRange
	}
	return v.change(off, n, durable, w, func() error {
		if isZero(block) {
			return v.medium.zero(off, n, w)
		}
		return v.repeat(block, off, n, w)
	})
}

// Unmap gives the room of n bytes at off back; they read as zeros.
func (v *Volume) Unmap(off, n int64, w Wait) error {
	return v.change(off, n, false, w, func() error { return v.medium.zero(off, n, w) })
}

// change runs write, which changes a range that may be as large as the volume.
func (v *Volume) change(off, n int64, durable bool, w Wait, write func() error) error {
	if v.config.Profile.ReadOnly {
		return ErrReadOnly
	}
	t, err := v.write(off, n, w)
	if err != nil {
		return err
	}
	defer v.turns.done(t)
	if w == DontWait && n > inlineMost {
		return ErrWait
	}
	if err := write(); err != nil {
		return err
	}
	if durable || v.writeThrough.Load() {
		return v.medium.sync(w)
	}
	return nil
}

// repeat writes block over and over, many at a time.
func (v *Volume) repeat(block []byte, off, n int64, w Wait) error {
	b := scratch.get(int(min(n, 256<<10)))
	defer scratch.put(b)
	for i := 0; i < len(b.bytes); i += len(block) {
		copy(b.bytes[i:], block)
	}
	for n > 0 {
		part := b.bytes[:min(n, int64(len(b.bytes)))]
		if err := v.medium.writeAt(part, off, false, w); err != nil {
			return err
		}
		off += int64(len(part))
		n -= int64(len(part))
	}
	return nil
}

// Update changes the n bytes at off as one: f sees them, changes them in place, or
// refuses with an error, which Update returns with nothing written. Nobody sees
// anything between before and after, neither another access nor who opens the
// volume after a crash or a power loss. f must not use the volume; b is its own
// until it returns.
func (v *Volume) Update(off int64, n int, durable bool, w Wait, f func(b []byte) error) error {
	if v.config.Profile.ReadOnly {
		return ErrReadOnly
	}
	if n > MaxUpdate {
		return ErrRange
	}
	t, err := v.claim(off, int64(n), w)
	if err != nil {
		return err
	}
	defer v.turns.done(t)
	b := scratch.get(n)
	defer scratch.put(b)
	return v.medium.update(b.bytes, off, durable || v.writeThrough.Load(), w, f)
}

// Sync makes all that has been written stable.
func (v *Volume) Sync(w Wait) error {
	if err := v.stay(w); err != nil {
		return err
	}
	defer v.life.RUnlock()
	return v.medium.sync(w)
}

// Status says whether the block at off has room of its own, and for how many bytes
// from there on that holds. All of a volume that is not thin is mapped.
func (v *Volume) Status(off int64, w Wait) (mapped bool, n int64, err error) {
	if err := v.stay(w); err != nil {
		return false, 0, err
	}
	defer v.life.RUnlock()
	size := v.size.Load()
	switch {
	case off < 0 || off >= size || off%int64(v.config.BlockSize) != 0:
		return false, 0, ErrRange
	case !v.config.Profile.Thin:
		return true, size - off, nil
	}
	return v.medium.status(off, size, w)
}

// Grow gives the volume more blocks, which read as zeros. It waits for its turn.
func (v *Volume) Grow(blocks uint64) error {
	cfg := v.config
	cfg.Blocks = blocks
	size, err := cfg.check()
	if err != nil {
		return err
	}
	v.life.Lock()
	defer v.life.Unlock()
	t := v.turns.all()
	defer v.turns.done(t)
	switch {
	case v.closed:
		return ErrClosed
	case size < v.size.Load():
		return fmt.Errorf("%w: %s: a volume does not shrink, from %d to %d blocks", ErrRange, v.config.Name, v.Blocks(), blocks)
	}
	if err := v.medium.resize(size); err != nil {
		return err
	}
	v.size.Store(size)
	return nil
}

// Erase makes all data of an encrypted volume unreadable for good, whatever of it is where:
// it destroys the key. It takes as long as a few syncs, and unmapping the volume. All reads
// as zeros afterwards. If the process is killed the volume has all its data when it is
// opened again, or none. After an error nothing can be read or written until
// another Erase succeeds, or the volume is opened again. ErrPlain: it is not encrypted.
func (v *Volume) Erase() error {
	if v.config.Profile.ReadOnly {
		return ErrReadOnly
	}
	v.life.Lock()
	defer v.life.Unlock()
	t := v.turns.all()
	defer v.turns.done(t)
	c, ok := v.medium.(*crypt)
	switch {
	case v.closed:
		return ErrClosed
	case !ok:
		return ErrPlain
	}
	return c.erase(v.size.Load())
}

// Close waits for what goes on, makes it stable, and frees what the volume held. The
// error is that of the last Sync; the volume is closed all the same.
func (v *Volume) Close() error {
	v.life.Lock()
	defer v.life.Unlock()
	t := v.turns.all()
	defer v.turns.done(t)
	if v.closed {
		return ErrClosed
	}
	v.closed = true
	return v.medium.close()
}

// share takes a turn beside others in the n bytes at off.
func (v *Volume) share(off, n int64, w Wait) (turn, error) {
	if !v.holds(off, n) {
		return turn{}, ErrRange
	}
	t, ok := v.turns.take(off, n, false, w)
	return v.granted(t, ok)
}

// write takes a turn to write n bytes at off. In an encrypted volume it is alone: who reads a
// sector while it is written may be given some of each, which decrypts to neither.
func (v *Volume) write(off, n int64, w Wait) (turn, error) {
	if v.config.Profile.Encrypted {
		return v.claim(off, n, w)
	}
	return v.share(off, n, w)
}

// claim takes a turn alone in the n bytes at off.
func (v *Volume) claim(off, n int64, w Wait) (turn, error) {
	if !v.holds(off, n) {
		return turn{}, ErrRange
	}
	t, ok := v.turns.take(off, n, true, w)
	return v.granted(t, ok)
}

func (v *Volume) granted(t turn, ok bool) (turn, error) {
	switch {
	case !ok:
		return turn{}, ErrWait
	case v.closed:
		v.turns.done(t)
		return turn{}, ErrClosed
	}
	return t, nil
}

// holds reports whether the volume has the n bytes at off, and they are whole blocks.
func (v *Volume) holds(off, n int64) bool {
	size, mask := v.size.Load(), int64(v.config.BlockSize-1)
	return off >= 0 && n >= 0 && off&mask == 0 && n&mask == 0 && off <= size && n <= size-off
}

// stay keeps the volume from being closed, until life.RUnlock.
func (v *Volume) stay(w Wait) error {
	if w == MayWait {
		v.life.RLock()
	} else if !v.life.TryRLock() {
		return ErrWait
	}
	if v.closed {
		v.life.RUnlock()
		return ErrClosed
	}
	return nil
}

func isZero(b []byte) bool {
	for _, x := range b {
		if x != 0 {
			return false
		}
	}
	return true
}
