package core

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"sync"
	"testing"
)

// request is a message of size bytes about a volume, with something in all its bytes.
func request(size int, id uint64) []byte {
	message := make([]byte, size)
	for i := range message {
		message[i] = byte(i)
	}
	binary.LittleEndian.PutUint64(message[keyOffset:], id)
	return message
}

func TestServeAnswersInPlace(t *testing.T) {
	table := NewTable()
	batch := bytes.Join([][]byte{request(20, 7), request(20, 8), request(20, 7), {1, 2, 3}}, nil)
	table.Serve(batch, 20)
	want := bytes.Join([][]byte{request(20, 1), request(20, 1), request(20, 2), {1, 2, 3}}, nil)
	if !bytes.Equal(batch, want) {
		t.Errorf("got  %v\nwant %v", batch, want)
	}
	if got := table.Updates(); got != 3 {
		t.Errorf("%d updates, want 3", got)
	}
	if got := table.Update(7); got.Counter != 3 || got.Size == 0 || got.Extent != 7<<30 {
		t.Errorf("volume 7: %+v", got)
	}
}

// TestUpdatesAreNotLost has several goroutines count a few volumes up at once.
func TestUpdatesAreNotLost(t *testing.T) {
	const workers, each = 8, 5000
	table := NewTable()
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for range each {
				table.Update(rand.Uint64N(10))
			}
		})
	}
	all.Wait()
	if got := table.Updates(); got != workers*each {
		t.Errorf("%d updates, want %d", got, workers*each)
	}
}

// FuzzServe compares one batch with its requests one at a time, and with the way round
// over a list of keys.
func FuzzServe(f *testing.F) {
	f.Add(MinSize, []byte{})
	f.Add(20, bytes.Join([][]byte{request(20, 1), request(20, 2), request(20, 1), {9}}, nil))
	f.Fuzz(func(t *testing.T, size int, data []byte) {
		if size < MinSize || size > 1<<16 {
			return
		}
		together, single, viaKeys := bytes.Clone(data), bytes.Clone(data), bytes.Clone(data)
		NewTable().Serve(together, size)
		one := NewTable()
		for rest := single; len(rest) >= size; rest = rest[size:] {
			one.Serve(rest[:size], size)
		}
		keys := AppendKeys(nil, viaKeys, size)
		other := NewTable()
		other.ServeKeys(keys)
		PutKeys(viaKeys, keys, size)
		if !bytes.Equal(together, single) || !bytes.Equal(together, viaKeys) {
			t.Errorf("together %v\nsingle   %v\nvia keys %v", together, single, viaKeys)
		}
		if want := uint64(len(data) / size); one.Updates() != want || other.Updates() != want {
			t.Errorf("%d and %d updates, want %d", one.Updates(), other.Updates(), want)
		}
	})
}
