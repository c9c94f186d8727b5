// Package core is the service logic that the paper's three approaches share: a table of
// volumes that every client of every namespace looks things up in and changes. Only
// how a request reaches it differs between them.
//
// A request and its reply are messages of one size that client and server agree on, at
// least MinSize. Bytes 8 to 15 of a request are a volume's id, little endian; in the
// reply they are how often the volume has been asked for, this time included. All other
// bytes come back as they were.
package core

import (
	"encoding/binary"
	"sync"
)

// MinSize is the least size of a message in bytes.
const MinSize = keyOffset + keySize

const (
	keyOffset = 8
	keySize   = 8
	shardBits = 6
)

// A Record is what the table knows of a volume.
type Record struct {
	Size    uint64 // of the volume, in bytes
	Extent  uint64 // where it begins
	Counter uint64 // how often it has been asked for
}

// A Table is volumes by id. Any goroutine may use it. It is sharded, so that threads
// that ask for different volumes seldom wait for each other. It grows by a record for
// each new id and never shrinks; clients are the harness's own.
type Table struct {
	shards [1 << shardBits]shard
}

// shard has a cache line of its own: else threads would share one without sharing data.
type shard struct {
	mu      sync.Mutex
	records map[uint64]*Record
	_       [64 - 16]byte
}

// NewTable makes an empty table.
func NewTable() *Table {
	t := &Table{}
	for i := range t.shards {
		t.shards[i].records = map[uint64]*Record{}
	}
	return t
}

// Update counts one more request for a volume, which it adds if it is new, and returns
// the record as it then is.
func (t *Table) Update(id uint64) Record {
	const golden = 0x9E3779B97F4A7C15 // Knuth's: neighbouring ids are spread over all shards
	s := &t.shards[id*golden>>(64-shardBits)]
	s.mu.Lock()
	defer s.mu.Unlock()
	record := s.records[id]
	if record == nil {
		record = &Record{Size: 1 << 30, Extent: id << 30}
		s.records[id] = record
	}
	record.Counter++
	return *record
}

// Updates is the sum of all counters.
func (t *Table) Updates() uint64 {
	var sum uint64
	for i := range t.shards {
		sum += t.shards[i].updates()
	}
	return sum
}

func (s *shard) updates() (sum uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, record := range s.records {
		sum += record.Counter
	}
	return sum
}

// Serve turns requests of size bytes each into their replies, where they are. A rest
// that is shorter than a request stays as it is.
func (t *Table) Serve(requests []byte, size int) {
	for ; len(requests) >= size; requests = requests[size:] {
		key := requests[keyOffset:MinSize]
		binary.LittleEndian.PutUint64(key, t.Update(binary.LittleEndian.Uint64(key)).Counter)
	}
}

// ServeKeys turns a list of ids into the list of their counters, where they are: what
// is left of requests when they have to go through another process.
func (t *Table) ServeKeys(keys []byte) {
	for ; len(keys) >= keySize; keys = keys[keySize:] {
		binary.LittleEndian.PutUint64(keys, t.Update(binary.LittleEndian.Uint64(keys)).Counter)
	}
}

// AppendKeys appends the ids of requests of size bytes each to a list.
func AppendKeys(keys, requests []byte, size int) []byte {
	for ; len(requests) >= size; requests = requests[size:] {
		keys = append(keys, requests[keyOffset:MinSize]...)
	}
	return keys
}

// PutKeys turns requests of size bytes each into their replies, given the list that
// ServeKeys has made of their ids.
func PutKeys(requests, keys []byte, size int) {
	for ; len(requests) >= size && len(keys) >= keySize; requests, keys = requests[size:], keys[keySize:] {
		copy(requests[keyOffset:MinSize], keys[:keySize])
	}
}
