package volume

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
	"sync"
	"sync/atomic"
)

// journal makes Updates whole. An Update first writes what it is about to write into
// the journal, as a record, and makes that stable; only then it writes the data. Who
// opens the volume after a crash writes the data of all records again, in order, and
// makes it stable, before anybody else sees the volume. So:
//
//	power lost ...                      the journal has        the volume then has
//	before the record is stable         no valid record        the old data: none of the new was written
//	between that and the data's write   the record             the new data
//	in the data's write, or later       the record             the new data
//	while the records are replayed      the records, still     the new data, by the next replay
//
// Records lie one behind the other, each stable before the next is begun, in a pass
// that starts at the front. A pass has a random number, which every record of it bears:
// reading stops at the first that has not, or has a wrong checksum. A new pass
// begins when the journal is full, after a sync of the data: what its first record
// overwrites isn't needed any more. An Update thus costs one sync of the journal
// and, every 60 or so, one of the data.
//
// A record must not be replayed over what was written after it. So who writes where a
// live record lies (giveWay) has the records retired first: a sync of the data, then
// of a journal whose first record is gone. Sync retires nothing; replaying a record
// whose data has become stable meanwhile changes nothing.
//
// Killing the process leaves the page cache, so that everything above holds a fortiori.
type journal struct {
	store journalStore
	id    [16]byte
	room  int64   // of a pass, unless one record is larger
	data  *syncer // of the volume; also where failures are remembered

	mu   sync.Mutex // an Update's, from its reading to its last write
	disk disk       // nil until it is made
	pass uint64
	next int64 // where the next record goes
	buf  []byte

	live  spans // what records would be replayed to
	count atomic.Int64
}

// spans is a list with a lock for a moment, so that a write need not wait for an
// Update elsewhere to find out that it isn't concerned.
type spans struct {
	mu   sync.Mutex
	list []span
}

// journalStore is where a journal is.
type journalStore interface {
	// open opens the journal, nil if there is none.
	open() (d disk, size int64, err error)
	// make makes an empty one, stable name included.
	make() (disk, error)
}

// JournalSuffix makes the name of a volume's journal out of its file's.
const JournalSuffix = ".journal"

const (
	journalSize  = 512 << 10
	recordHeader = 64
	// recordAlign keeps the writing of a record out of the sectors of those before it.
	recordAlign = 4096
)

// record is the new data of an Update.
type record struct {
	pass  uint64
	off   int64
	bytes []byte
}

var (
	recordMagic = [8]byte{'n', 's', 'r', 'I', 'n', 't', 'e', '1'}
	castagnoli  = crc32.MakeTable(crc32.Castagnoli)
)

// appendRecord appends r: magic, CRC32C of all that follows it, length, pass, offset,
// the volume's ID; numbers are big-endian. Zeros fill the header and the end.
func appendRecord(p []byte, r record, id [16]byte) []byte {
	start := len(p)
	p = append(p, recordMagic[:]...)
	p = append(p, 0, 0, 0, 0)
	p = binary.BigEndian.AppendUint32(p, uint32(len(r.bytes)))
	p = binary.BigEndian.AppendUint64(p, r.pass)
	p = binary.BigEndian.AppendUint64(p, uint64(r.off))
	p = append(p, id[:]...)
	p = append(p, make([]byte, recordHeader-(len(p)-start))...)
	p = append(p, r.bytes...)
	binary.BigEndian.PutUint32(p[start+8:], crc32.Checksum(p[start+12:], castagnoli))
	used := len(p) - start
	return append(p, zeros[:recordSize(len(r.bytes))-used]...)
}

// recordSize is how much of the journal a record of n bytes takes.
func recordSize(n int) int { return (recordHeader + n + recordAlign - 1) &^ (recordAlign - 1) }

// parseRecord reads the record at the front of p; ok is false if there is none, or not
// all of it. Its bytes are p's.
func parseRecord(p []byte) (r record, id [16]byte, ok bool) {
	if len(p) < recordHeader || [8]byte(p) != recordMagic {
		return r, id, false
	}
	n := binary.BigEndian.Uint32(p[12:])
	if n > MaxUpdate || int(n) > len(p)-recordHeader {
		return r, id, false
	}
	if crc32.Checksum(p[12:recordHeader+int(n)], castagnoli) != binary.BigEndian.Uint32(p[8:]) {
		return r, id, false
	}
	r.pass = binary.BigEndian.Uint64(p[16:])
	r.off = int64(binary.BigEndian.Uint64(p[24:]))
	r.bytes = p[recordHeader : recordHeader+int(n)]
	return r, [16]byte(p[32:]), true
}

// parseJournal returns the records of a journal that are to be replayed to a volume.
// ErrJournal: there are some that cannot be the volume's.
func parseJournal(p []byte, id [16]byte, size int64) (records []record, err error) {
	for {
		r, of, ok := parseRecord(p)
		if !ok || len(records) > 0 && r.pass != records[0].pass {
			return records, nil
		}
		if of != id || r.off < 0 || r.off > size-int64(len(r.bytes)) {
			return nil, fmt.Errorf("%w: a record of volume %x for %d bytes at %d, in the journal of %x with %d bytes",
				ErrJournal, of, len(r.bytes), r.off, id, size)
		}
		records = append(records, r)
		p = p[min(recordSize(len(r.bytes)), len(p)):]
	}
}

// open replays the journal, if there is one.
func (j *journal) open(size int64) error {
	d, length, err := j.store.open()
	if d == nil || err != nil {
		return err
	}
	j.disk = d
	if err := j.replay(length, size); err != nil {
		_ = d.close() // the error says more
		return err
	}
	return nil
}

func (j *journal) replay(length, size int64) error {
	p := make([]byte, min(length, max(journalSize, int64(recordSize(MaxUpdate)))))
	if err := j.disk.readAt(p, 0); err != nil {
		return err
	}
	records, err := parseJournal(p, j.id, size)
	if err != nil || len(records) == 0 {
		return err
	}
	for _, r := range records {
		if err := j.data.disk.writeAt(r.bytes, r.off); err != nil {
			return fmt.Errorf("completing what was interrupted: %w", err)
		}
		j.remember(span{r.off, r.off + int64(len(r.bytes))})
	}
	return j.retire()
}

// make makes the journal's file, unless it is there.
func (j *journal) make() (err error) {
	if j.disk == nil {
		j.disk, err = j.store.make()
	}
	return err
}

// lock takes an Update's turn at the journal.
func (j *journal) lock(w Wait) bool {
	if w == DontWait {
		return j.mu.TryLock()
	}
	j.mu.Lock()
	return true
}

// intend makes stable that b is about to be written at off. mu is held.
func (j *journal) intend(b []byte, off int64) error {
	if err := j.make(); err != nil {
		return err
	}
	if err := j.data.fail(j.disk.check(0)); err != nil { // deleted: nobody would find it
		return err
	}
	first := j.next == 0 || j.next+int64(recordSize(len(b))) > j.room
	if first {
		if err := j.begin(); err != nil {
			return err
		}
	}
	j.buf = appendRecord(j.buf[:0], record{j.pass, off, b}, j.id)
	if err := j.disk.writeAt(j.buf, j.next); err != nil {
		return err // torn at most, and so no record
	}
	if err := j.data.fail(j.disk.sync()); err != nil {
		return err
	}
	if first {
		j.forget() // and not before: until now the old records could be replayed
	}
	j.remember(span{off, off + int64(len(b))})
	j.next += int64(len(j.buf))
	return nil
}

// begin begins a pass. The data of the last one is stable when it returns.
func (j *journal) begin() error {
	if j.next > 0 {
		if err := j.data.sync(); err != nil {
			return err
		}
	}
	var number [8]byte
	_, _ = rand.Read(number[:]) // never fails
	j.pass = binary.BigEndian.Uint64(number[:])
	j.next = 0
	return nil
}

// giveWay sees that no record will be replayed to s, which is about to be written.
func (j *journal) giveWay(s span, w Wait) error {
	if j.count.Load() == 0 || !j.concerns(s) {
		return nil
	}
	if !j.lock(w) {
		return ErrWait
	}
	defer j.mu.Unlock()
	if !j.concerns(s) { // another was here first
		return nil
	}
	return j.retire()
}

// retire makes the data of all records stable, and then that there are none.
func (j *journal) retire() error {
	if j.count.Load() == 0 {
		return nil
	}
	if err := j.data.sync(); err != nil {
		return err
	}
	if err := j.data.fail(j.disk.writeAt(zeros[:recordAlign], 0)); err != nil {
		return err
	}
	if err := j.data.fail(j.disk.sync()); err != nil {
		return err
	}
	j.next = 0
	j.forget()
	return nil
}

func (j *journal) concerns(s span) bool {
	j.live.mu.Lock()
	defer j.live.mu.Unlock()
	return slices.ContainsFunc(j.live.list, s.overlaps)
}

func (j *journal) remember(s span) {
	j.live.mu.Lock()
	j.live.list = append(j.live.list, s)
	j.live.mu.Unlock()
	j.count.Add(1)
}

func (j *journal) forget() {
	j.live.mu.Lock()
	j.live.list = j.live.list[:0]
	j.live.mu.Unlock()
	j.count.Store(0)
}

func (j *journal) close() error {
	if j.disk == nil {
		return nil
	}
	return j.disk.close()
}
