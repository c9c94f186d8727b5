package tlshandler

import (
	"context"
	"io"
	"net"
	"sync"
)

// maxFed is how much of a handshake is kept before reading is paused, in bytes.
const maxFed = 64 << 10

// feed is what arrives during a handshake, on its way from the loop to the
// handshake's goroutine.
type feed struct {
	cancel context.CancelFunc // the loop's; nil before the goroutine

	mu     sync.Mutex
	more   sync.Cond // something below has changed
	bytes  []byte
	held   bool // reading is paused until bytes is empty
	eof    bool // nothing comes after bytes
	closed bool // the connection is gone
}

func newFeed() *feed {
	f := new(feed)
	f.more.L = &f.mu
	return f
}

// change makes a change that a read may be waiting for.
func (f *feed) change(how func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	how()
	f.more.Signal()
}

// add adds what has arrived, and returns how much is there to be read.
func (f *feed) add(p []byte) (size int) {
	f.change(func() {
		f.bytes = append(f.bytes, p...)
		size = len(f.bytes)
	})
	return size
}

// close ends the handshake, if it is under way.
func (f *feed) close() {
	f.change(func() { f.closed = true })
	if f.cancel != nil {
		f.cancel()
	}
}

// read waits for something to read. If reading is held, it calls resume first.
func (f *feed) read(p []byte, resume func()) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.bytes) == 0 && !f.eof && !f.closed {
		if f.held {
			f.held = false
			resume()
		}
		f.more.Wait()
	}
	switch {
	case f.closed:
		return 0, net.ErrClosed
	case len(f.bytes) == 0:
		return 0, io.EOF
	}
	n := copy(p, f.bytes)
	f.bytes = f.bytes[n:]
	return n, nil
}
