package demo

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync/atomic"
	"time"
)

const (
	// roundSize is how many messages a client has on their way at once.
	roundSize = 8
	// patience is how long a client waits for a reply; only a hang meets it, on a
	// machine however busy.
	patience = 30 * time.Second
)

// errWrong is a reply that is not the one that is due: of another namespace,
// out of order, or damaged.
var errWrong = errors.New("wrong reply")

// client talks over one connection, and checks every byte that it receives.
type client struct {
	name   string // tenant/number
	prefix string // what replies begin with: the id of the tenant's namespace
	conn   net.Conn
	in     *bufio.Reader
	next   uint64      // number of the next message
	out    []byte      // messages of a round
	due    []byte      // the reply that is due
	parted bool        // the server has said bye
	forget func() bool // ends the watch that closes conn when the demonstration is interrupted

	messages       *atomic.Uint64 // verified; shared with the other clients of the tenant
	sent, received uint64         // bytes
}

// greeted checks the server's first line.
func (c *client) greeted(place string) error {
	if err := c.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	line, err := c.line()
	if err != nil {
		return err
	}
	if want := hello + c.prefix + place + "\n"; string(line) != want {
		return fmt.Errorf("%w: greeted with %q instead of %q", errWrong, line, want)
	}
	return nil
}

// talk makes rounds until stop is closed or the server says bye, then ends the
// connection in order.
func (c *client) talk(stop <-chan struct{}) error {
	for !c.parted {
		select {
		case <-stop:
			return c.part()
		default:
		}
		if err := c.round(); err != nil {
			return err
		}
	}
	return c.part()
}

// round sends some messages in one piece and wants the replies, in order.
func (c *client) round() error {
	if err := c.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	first := c.next
	c.out = c.out[:0]
	for range roundSize {
		c.out = c.appendMessage(c.out, c.next)
		c.next++
	}
	n, err := c.conn.Write(c.out)
	c.sent += uint64(n)
	if err != nil {
		return err
	}
	for number := first; number < c.next; number++ {
		if err := c.reply(number); err != nil {
			return err
		}
		c.messages.Add(1)
	}
	return nil
}

func (c *client) appendMessage(b []byte, number uint64) []byte {
	b = append(b, c.name...)
	b = append(b, ' ')
	b = strconv.AppendUint(b, number, 10)
	return append(b, '\n')
}

// reply wants the reply to one message; a bye may come before it.
func (c *client) reply(number uint64) error {
	c.due = c.appendMessage(append(c.due[:0], c.prefix...), number)
	for {
		line, err := c.line()
		if err != nil {
			return fmt.Errorf("message %d is not answered: %w", number, err)
		}
		switch {
		case bytes.Equal(line, c.due):
			return nil
		case string(line) != bye || c.parted:
			return fmt.Errorf("%w: %q instead of %q", errWrong, line, c.due)
		}
		c.parted = true
	}
}

func (c *client) line() ([]byte, error) {
	line, err := c.in.ReadSlice('\n')
	c.received += uint64(len(line))
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return line, err
}

// part ends the client's half and wants the server's end, with nothing before
// it but a bye.
func (c *client) part() error {
	if err := c.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if err := c.conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		return err
	}
	rest, err := io.ReadAll(c.in)
	c.received += uint64(len(rest))
	if err != nil {
		return fmt.Errorf("no orderly end: %w", err)
	}
	if len(rest) > 0 && (string(rest) != bye || c.parted) {
		return fmt.Errorf("%w: %q after the last reply", errWrong, rest)
	}
	return nil
}

// hangUp closes the connection, whatever it is doing.
func (c *client) hangUp() {
	c.forget()
	_ = c.conn.Close()
}
