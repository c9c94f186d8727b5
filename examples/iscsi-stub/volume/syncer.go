package volume

import (
	"errors"
	"sync"
	"sync/atomic"
)

// syncer syncs a disk, one call at a time, and remembers the first that failed.
//
// It remembers because the kernel doesn't: after a failed fsync(2) the pages it could
// not write are clean, the next call succeeds, and what was acknowledged is gone. So
// from then on nothing is written or synced; what can still be read may be read.
// Opening the volume again forgets, since reading shows again what the disk has.
//
// One at a time because the kernel tells each failure once to each open file: of two
// calls side by side one is told, and the other would acknowledge what is lost. Who
// has to wait shares the next call with all others who do.
type syncer struct {
	disk   disk
	failed atomic.Pointer[error]

	asked atomic.Uint64 // syncs asked for, ever
	mu    sync.Mutex
	done  uint64 // of those, how many are answered; guarded by mu
}

// failure returns what failed first.
func (s *syncer) failure() error {
	if err := s.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// fail remembers err, if it is the first, and returns it.
func (s *syncer) fail(err error) error {
	if err != nil {
		first := err // not err itself, which would be on the heap for every call
		s.failed.CompareAndSwap(nil, &first)
	}
	return err
}

// sync makes stable what was written before it was called.
func (s *syncer) sync() error {
	ticket := s.asked.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.failure(); err != nil || s.done >= ticket {
		return err
	}
	covered := s.asked.Load()
	if err := s.disk.sync(); err != nil {
		return s.fail(err)
	}
	s.done = covered
	return nil
}

// write writes p so that it is stable: alone it syncs its own range, which is several
// times cheaper when others have left much unsynced; in company it joins them.
func (s *syncer) write(p []byte, off int64) error {
	if s.mu.TryLock() {
		defer s.mu.Unlock()
		return s.writeAlone(p, off)
	}
	if err := s.disk.writeAt(p, off); err != nil {
		return err
	}
	return s.sync()
}

func (s *syncer) writeAlone(p []byte, off int64) error {
	if err := s.failure(); err != nil {
		return err
	}
	err := s.disk.writeStable(p, off)
	if err == nil {
		return nil
	}
	// Was it the write that found no room, which loses nothing, or the sync, which may
	// have lost what others wrote? The write alone will tell.
	if errors.Is(err, ErrFull) && errors.Is(s.disk.writeAt(p, off), ErrFull) {
		return err
	}
	return s.fail(err)
}
