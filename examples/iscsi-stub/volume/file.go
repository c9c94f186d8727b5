package volume

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// filed is a volume in a file.
//
// tmpfs serves every access at once. Of the others, reads of what is in the page
// cache are served at once (RWF_NOWAIT), and nothing else: ext4 refuses RWF_NOWAIT
// to buffered writes (EOPNOTSUPP), and a write may wait for room in the page cache.
type filed struct {
	data    disk
	syncer  syncer // of data
	journal journal
	inline  bool // tmpfs: nothing waits for a disk
	thin    bool
	block   int64
	size    int64
	opened  time.Time
	looked  atomic.Int64 // when intact was asked last, since opened

	// torn is what an Update left half-written on a disk that failed. It is not shown
	// to anybody; opening the volume again completes it.
	torn atomic.Pointer[span]
}

// span is the bytes from off to end.
type span struct{ off, end int64 }

func (s span) overlaps(o span) bool { return s.off < o.end && o.off < s.end }

// openMedium opens the file of cfg, and completes what its journal says was begun.
func openMedium(cfg Config, size int64) (medium, error) {
	d, err := openFile(cfg.Path, cfg.Profile.ReadOnly)
	if err != nil {
		return nil, err
	}
	inline, err := d.inMemory()
	if err == nil {
		err = d.check(size)
	}
	if errors.Is(err, ErrTruncated) {
		has, _ := d.size() // check has just asked the same
		err = fmt.Errorf("%w: %s has %d bytes, the volume %d", err, cfg.Path, has, size)
	}
	var f *filed
	if err == nil {
		f, err = newFiled(d, journalFiles{cfg.Path + JournalSuffix, cfg.Profile.ReadOnly, inline}, cfg, size)
	}
	if err != nil {
		_ = d.close() // the error says more
		return nil, err
	}
	f.inline = inline
	return f, nil
}

// newFiled makes a medium of a disk and its journal.
func newFiled(d disk, files journalStore, cfg Config, size int64) (*filed, error) {
	f := &filed{data: d, opened: time.Now(), thin: cfg.Profile.Thin, block: int64(cfg.BlockSize), size: size}
	f.syncer.disk = d
	f.journal = journal{store: files, id: cfg.ID, room: journalSize, data: &f.syncer}
	if err := f.journal.open(size); err != nil {
		return nil, err
	}
	if f.thin || cfg.Profile.ReadOnly {
		return f, nil
	}
	// It has been promised never to meet a full disk: the journal takes its room now.
	return f, f.journal.make()
}

func (f *filed) readAt(p []byte, off int64, w Wait) error {
	if torn := f.torn.Load(); torn != nil && torn.overlaps(span{off, off + int64(len(p))}) {
		return f.syncer.failure()
	}
	if w == DontWait && !f.inline {
		return f.data.readCached(p, off)
	}
	return f.data.readAt(p, off)
}

// mayChange is asked before every change of what s is. stable says that it will be
// acknowledged as stable.
func (f *filed) mayChange(s span, stable bool, w Wait) error {
	if w == DontWait && !f.inline {
		return ErrWait
	}
	if err := f.syncer.failure(); err != nil {
		return err
	}
	if stable || s.end >= f.size || f.sinceOpened() >= time.Duration(f.looked.Load())+lookAfter {
		if err := f.intact(); err != nil {
			return err
		}
	}
	return f.journal.giveWay(s, w)
}

// lookAfter is how long writes may go on without a look at the file.
const lookAfter = 10 * time.Millisecond

// intact finds out whether the file has been cut short or deleted. It asks before
// anything is acknowledged as stable; asking before each write would double the system
// calls of one. What makes that enough:
//
//   - A file without a name never gets one again.
//   - A file that was cut short, and then written to beyond its end, is longer again, with
//     zeros where data was. But only a write of the volume's last byte makes it as long as
//     it ought to be: before that one it asks, too. All others leave it short, for the
//     next one that asks to find.
//   - Till then those zeros can be read. So that this is a matter of moments also with a
//     client that never syncs, it asks when lookAfter has passed.
func (f *filed) intact() error {
	f.looked.Store(int64(f.sinceOpened()))
	return f.syncer.fail(f.data.check(f.size))
}

func (f *filed) sinceOpened() time.Duration { return time.Since(f.opened) }

func (f *filed) writeAt(p []byte, off int64, durable bool, w Wait) error {
	if err := f.mayChange(span{off, off + int64(len(p))}, durable, w); err != nil {
		return err
	}
	if durable {
		return f.syncer.write(p, off)
	}
	return f.data.writeAt(p, off)
}

func (f *filed) zero(off, n int64, w Wait) error {
	if n == 0 {
		return nil // fallocate(2) refuses an empty range
	}
	if err := f.mayChange(span{off, off + n}, false, w); err != nil {
		return err
	}
	zero := f.data.zero
	if f.thin {
		zero = f.data.punch
	}
	err := zero(off, n)
	if !errors.Is(err, errNoHoles) {
		return err
	}
	for n > 0 {
		part := zeros[:min(n, int64(len(zeros)))]
		if err := f.data.writeAt(part, off); err != nil {
			return err
		}
		off += int64(len(part))
		n -= int64(len(part))
	}
	return nil
}

var zeros [64 << 10]byte

func (f *filed) sync(w Wait) error {
	if w == DontWait && !f.inline {
		return ErrWait
	}
	if err := f.syncer.failure(); err != nil {
		return err
	}
	if err := f.intact(); err != nil {
		return err
	}
	return f.syncer.sync()
}

func (f *filed) status(off, end int64, w Wait) (mapped bool, n int64, err error) {
	if w == DontWait && !f.inline {
		return false, 0, ErrWait
	}
	mapped, until, err := f.data.seek(off, end)
	if err != nil {
		return false, 0, err
	}
	// The filesystem's blocks may be smaller than ours: any data makes a block mapped.
	if rest := until % f.block; rest > 0 && mapped {
		until += f.block - rest
	} else if until -= rest; until == off {
		return true, f.block, nil
	}
	return mapped, until - off, nil
}

// update is safe because the journal is stable before the first byte of data changes;
// see journal. It needs no sync of the data to be durable itself.
func (f *filed) update(b []byte, off int64, _ bool, w Wait, fn func([]byte) error) error {
	if w == DontWait && !f.inline {
		return ErrWait
	}
	if err := f.readAt(b, off, w); err != nil {
		return err
	}
	if !f.journal.lock(w) {
		return ErrWait
	}
	defer f.journal.mu.Unlock()
	if err := fn(b); err != nil || len(b) == 0 {
		return err
	}
	if err := f.syncer.failure(); err != nil {
		return err
	}
	if err := f.intact(); err != nil {
		return err
	}
	if f.thin {
		if err := f.data.reserve(off, int64(len(b))); err != nil {
			return err
		}
	}
	if err := f.journal.intend(b, off); err != nil {
		return err
	}
	if err := f.data.writeAt(b, off); err != nil {
		f.torn.CompareAndSwap(nil, &span{off, off + int64(len(b))})
		return f.syncer.fail(err)
	}
	return nil
}

func (f *filed) resize(size int64) error {
	if err := f.intact(); err != nil {
		return err
	}
	if err := f.data.resize(size, !f.thin); err != nil {
		return err
	}
	if err := f.syncer.sync(); err != nil {
		return err
	}
	f.size = size
	return nil
}

func (f *filed) close() error {
	err := f.sync(MayWait)
	if err == nil {
		err = f.journal.retire()
	}
	return errors.Join(err, f.journal.close(), f.data.close())
}
