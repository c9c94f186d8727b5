// Package framing turns a stream of bytes into messages, and back.
//
// A [Decoder] finds the message at the start of what has arrived. There are
// decoders for the usual ways to mark a message's end:
//
//   - [LengthPrefix] and [Varint]: the length goes before the message
//   - [Lines] and [Delimiter]: a mark follows it
//   - [HeaderBody]: a header, which may itself say how long it is, says how
//     long the body is
//
// [Map] makes a decoder of one's own messages out of each of them, and a
// function is a decoder too ([DecoderFunc]). They are plain values without
// state: one serves any number of connections and goroutines.
//
// What a decoder finds is looked at in three ways. [New] makes an
// [engine.Handler] that calls a [Handler] with each message of a connection.
// [Reader] reads messages from an [io.Reader], as clients do. [Split] goes over
// a slice.
//
//	h, err := framing.New(framing.LengthPrefix{Size: 4, Max: 1 << 20},
//		framing.OnMessage(func(c *engine.Conn, m []byte) error {
//			…
//			return nil
//		}))
//	…
//	err = eng.Handle("tcp", 7000, h)
//
// # Memory
//
// A message is a piece of the memory that its bytes were received in, and valid
// until the callback returns, or until the reader's next call; nothing is
// copied or allocated for it. A message of which much has not arrived yet gets
// memory from a pool, which doubles as it comes in, and the rest of it is received
// straight into that. So a peer has set aside about twice what it has sent, and what
// its decoder's limit allows at most: choose limits for what all connections may
// hold at a time. HeaderBody.Alloc lets bodies land in memory that the protocol keeps;
// that is taken when the header has come.
//
// # Errors
//
// What is wrong with the input is an [*Error]: a message over its limit
// ([ErrTooLong]), a length that can't be ([ErrBadLength]), an end of file
// within a message ([ErrTruncated]). It ends the connection, by
// [engine.Conn.Fail]: the peer gets a reset, the error comes to OnClose, and
// [engine.ErrorHandler] is counted.
package framing
