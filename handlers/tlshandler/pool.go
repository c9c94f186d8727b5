package tlshandler

import "sync"

// buffers are of a record's size, for what a callback writes until it returns.
var buffers = sync.Pool{New: func() any { return new([maxRecord]byte) }}

func takeBuffer() []byte { return buffers.Get().(*[maxRecord]byte)[:0] }

// giveBuffer takes any slice, and keeps those that takeBuffer has made.
func giveBuffer(b []byte) {
	if cap(b) == maxRecord {
		buffers.Put((*[maxRecord]byte)(b[:maxRecord]))
	}
}
