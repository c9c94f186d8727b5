package main

import (
	"encoding/binary"

	"github.com/nsreactor/nsreactor/engine"
)

// What a forwarder has to know of a message: RFC 1035, sections 4.1.1 and 4.1.2.
const (
	headerSize = 12
	maxName    = 255
	answerBit  = 0x80 // in the third byte
	keptBits   = 0x79 // of the third byte: the opcode, and that recursion is desired
	servFail   = 2
)

// isAnswer reports whether a message that has a header is an answer.
func isAnswer(message []byte) bool { return message[2]&answerBit != 0 }

// questionOf is the question section of a message: a name, a type and a class. Messages
// with another number of questions than one are not in use (RFC 9619).
func questionOf(message []byte) ([]byte, bool) {
	if len(message) < headerSize || binary.BigEndian.Uint16(message[4:]) != 1 {
		return nil, false
	}
	b := message[headerSize:]
	end := 0
	for end < len(b) && b[end] != 0 {
		if b[end] > 63 { // no label; a question has nothing before it to point to
			return nil, false
		}
		end += 1 + int(b[end])
	}
	end += 5 // the root's label, type and class
	if end > len(b) || end > maxName+4 {
		return nil, false
	}
	return b[:end], true
}

// fail answers that there will be no answer.
func (q *query) fail(tenant *engine.PacketConn) {
	b := make([]byte, headerSize, headerSize+len(q.question))
	binary.BigEndian.PutUint16(b, q.id)
	b[2], b[3] = q.flags&keptBits|answerBit, servFail
	b[5] = 1 // question
	_ = tenant.Send(q.path, append(b, q.question...))
}
