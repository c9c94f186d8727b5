package framing_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"strconv"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/handlers/framing"
	"github.com/nsreactor/nsreactor/nsctx"
)

// talk serves h on a port of the process's own namespace, sends it a script and
// returns what it answers.
func talk(h engine.Handler, script []byte) io.Reader {
	eng, err := engine.New(engine.Config{Loops: 1})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = eng.Shutdown(context.Background()) }()
	if err := eng.Handle("tcp", 0, h, engine.AnyNamespace); err != nil {
		log.Fatal(err)
	}
	home, err := eng.Attach(nsctx.Home())
	if err != nil {
		log.Fatal(err)
	}
	conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(home.Port("tcp", 0))))
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write(script); err != nil {
		log.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		log.Fatal(err)
	}
	reply, err := io.ReadAll(conn)
	if err != nil {
		log.Fatal(err)
	}
	return bytes.NewReader(reply)
}

func ExampleLines() {
	lines := framing.Lines{Max: 512, CRLF: true}
	h, err := framing.New(lines, framing.OnMessage(func(c *engine.Conn, line []byte) error {
		if string(line) == "QUIT" {
			c.Close()
			return nil
		}
		return lines.Write(c, bytes.ToUpper(line))
	}))
	if err != nil {
		log.Fatal(err)
	}
	replies := talk(h, []byte("one\ntwo\r\nQUIT\nthree\n"))
	for line, err := range framing.NewReader(replies, lines).All() {
		fmt.Printf("%s %v\n", line, err)
	}
	// Output:
	// ONE <nil>
	// TWO <nil>
}

// A type of one byte, then a length that counts all of the message.
func ExampleLengthPrefix() {
	p := framing.LengthPrefix{Size: 2, Offset: 1, Adjust: -3, Keep: true}
	send := func(dst []byte, kind byte, payload string) []byte {
		dst, err := p.AppendLength(append(dst, kind), len(payload))
		if err != nil {
			log.Fatal(err)
		}
		return append(dst, payload...)
	}
	stream := send(nil, 'A', "hello")
	stream = send(stream, 'B', "")
	for m, err := range framing.Split(stream, p) {
		fmt.Printf("%c %q %v\n", m[0], m[3:], err)
	}
	// Output:
	// A "hello" <nil>
	// B "" <nil>
}

// Messages of one's own type.
func ExampleMap() {
	type point struct{ X, Y uint16 }
	points := framing.Map(framing.LengthPrefix{Size: 1, Max: 4}, func(b []byte) (point, error) {
		if len(b) != 4 {
			return point{}, errors.New("a point has four bytes")
		}
		return point{binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])}, nil
	})
	for p, err := range framing.Split([]byte("\x04\x00\x01\x00\x02\x01!"), points) {
		fmt.Println(p, err)
	}
	// Output:
	// {1 2} <nil>
	// {0 0} a point has four bytes
}

func ExampleReader() {
	r := framing.NewReader(bytes.NewBufferString("\x05hello\x7f..."), framing.Varint{Max: 100})
	for m, err := range r.All() {
		fmt.Printf("%q %v\n", m, err)
	}
	// Output:
	// "hello" <nil>
	// "" framing: message too long: 127 bytes, the limit is 100
}

// pdu is the header of an iSCSI PDU: the basic header segment of 48 bytes, and
// additional ones (RFC 7143, section 11.2).
type pdu struct {
	bhs  [48]byte
	data int // bytes of data, without padding
}

// parse says how long a PDU is. There is no digest in this example: each is four
// bytes more, of the header or of the body.
func parse(b []byte) (h pdu, header, body int, err error) {
	copy(h.bhs[:], b)
	h.data = int(b[5])<<16 | int(b[6])<<8 | int(b[7])
	return h, 48 + 4*int(b[4]), (h.data + 3) &^ 3, nil
}

// Blocks that are written land in memory that the target keeps.
func ExampleHeaderBody() {
	pdus := framing.HeaderBody[pdu]{
		Size: 48, Parse: parse, MaxHeader: 48 + 4*255, Max: 256 << 10,
		AllocFrom: 4 << 10, // a command's parameters are looked at where they are
		Alloc:     func(_ pdu, n int) []byte { return make([]byte, n) },
	}
	h, err := framing.New(pdus, framing.OnMessage(func(c *engine.Conn, m framing.Frame[pdu]) error {
		data := m.Body[:m.Header.data]
		fmt.Printf("opcode %#x, %d bytes of data, mine to keep: %v\n", m.Header.bhs[0], len(data), m.Owned)
		return nil
	}))
	if err != nil {
		log.Fatal(err)
	}
	script := make([]byte, 48+8, 48+8+48+65536)
	script[0], script[7] = 0x01, 5 // a command with 5 bytes of data, padded to 8
	script = script[:cap(script)]
	script[56], script[56+5] = 0x05, 1 // data-out, 65,536 bytes
	_ = talk(h, script)
	// Output:
	// opcode 0x1, 5 bytes of data, mine to keep: false
	// opcode 0x5, 65536 bytes of data, mine to keep: true
}
