package docs

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/handlers/framing"
)

// snippet shout
type shout struct{ engine.BaseHandler }

func (shout) OnData(c *engine.Conn) {
	b, _ := c.Next(-1)                                   // all that has arrived, no copy
	if _, err := c.Write(bytes.ToUpper(b)); err != nil { // goes out when OnData returns
		c.Fail(err) // the peer takes nothing, and WriteBufferMax is reached
	}
}

// end

func TestShout(t *testing.T) {
	_, lab := serve(t, shout{})
	ask(t, lab, "hi", "HI")
}

func newLines() (engine.Handler, error) {
	// snippet lines
	lines := framing.Lines{Max: 512} // a longer one ends its connection, with a *framing.Error
	h, err := framing.New(lines, framing.OnMessage(func(c *engine.Conn, line []byte) error {
		if string(line) == "QUIT" {
			c.Close() // what follows is not delivered
			return nil
		}
		return lines.Write(c, bytes.ToUpper(line)) // line is valid until here
	}))
	// end
	return h, err
}

func TestLines(t *testing.T) {
	h, err := newLines()
	must(t, err)
	_, lab := serve(t, h)
	ask(t, lab, "one\ntwo\nQUIT\nthree\n", "ONE\nTWO\n")
}

// snippet header-body
// A block is a number of 8 bytes, a length of 4, and as many bytes.
var blocks = framing.HeaderBody[uint64]{
	Size: 12, Max: 16 << 20,
	Parse: func(b []byte) (number uint64, header, body int, err error) {
		return binary.BigEndian.Uint64(b), 12, int(binary.BigEndian.Uint32(b[8:])), nil
	},
	Alloc: func(_ uint64, n int) []byte { return make([]byte, n) }, // the kernel fills this, nobody copies it
}

func newStore(keep func(number uint64, data []byte)) (engine.Handler, error) {
	return framing.New(blocks, framing.OnMessage(func(c *engine.Conn, m framing.Frame[uint64]) error {
		keep(m.Header, m.Body) // m.Owned: the body is ours
		_, err := c.Write([]byte{'k'})
		return err
	}))
}

// end

func TestHeaderBody(t *testing.T) {
	kept := make(chan int, 2)
	h, err := newStore(func(_ uint64, data []byte) { kept <- len(data) })
	must(t, err)
	_, lab := serve(t, h)
	block := binary.BigEndian.AppendUint32(make([]byte, 8), 100_000)
	ask(t, lab, string(append(block, make([]byte, 100_000)...)), "k")
	if n := <-kept; n != 100_000 {
		t.Errorf("kept %d bytes", n)
	}
}

// snippet work
type files struct {
	engine.BaseHandler
	root string
}

func (h files) OnData(c *engine.Conn) {
	name, _ := c.Next(-1)
	path := filepath.Join(h.root, filepath.Base(string(name))) // a copy: name ends with OnData
	var content []byte
	err := c.Go(engine.Work{
		Run: func(context.Context) (err error) { // on another goroutine
			content, err = os.ReadFile(path)
			return err
		},
		Done: func(c *engine.Conn, err error) { // on the loop again
			if err != nil {
				content = []byte("no such file\n")
			}
			if _, err := c.Write(content); err != nil {
				c.Fail(err)
			}
		},
		InOrder: true, // as it was asked for
	})
	if err != nil {
		c.Fail(err) // engine.ErrBusy: too much waits
	}
}

// end

func TestWork(t *testing.T) {
	root := t.TempDir()
	must(t, os.WriteFile(filepath.Join(root, "a"), []byte("A\n"), 0o600))
	_, lab := serve(t, files{root: root})
	ask(t, lab, "a", "A\n")
	ask(t, lab, "../a/../b", "no such file\n")
}

// snippet detach
type upgrade struct {
	engine.BaseHandler
	serve func(net.Conn) // on a goroutine, as package net has it
}

func (h upgrade) OnData(c *engine.Conn) {
	if line, err := c.Peek(8); err != nil || string(line) != "UPGRADE\n" {
		return
	}
	c.Discard(8)
	_, _ = c.Write([]byte("OK\n")) // goes out before what the net.Conn writes
	conn, err := c.Detach()        // with what has arrived and was not consumed
	if err != nil {
		c.Fail(err)
		return
	}
	go h.serve(conn) // OnClose gets engine.ErrDetached
}

// end

func TestDetach(t *testing.T) {
	_, lab := serve(t, upgrade{serve: func(conn net.Conn) {
		defer conn.Close()
		if _, ok := engine.NamespaceOf(conn); !ok {
			t.Error("no namespace")
		}
		b := make([]byte, 100)
		for n, err := conn.Read(b); err == nil; n, err = conn.Read(b) {
			_, _ = conn.Write(b[:n])
		}
	}})
	ask(t, lab, "UPGRADE\nhello", "OK\nhello")
}

type patient struct {
	engine.BaseHandler
	ended chan error
}

// snippet time
func (patient) OnOpen(c *engine.Conn) {
	c.SetIdleTimeout(time.Minute)                  // nothing moved: engine.ErrIdle
	c.SetDeadline(time.Now().Add(2 * time.Second)) // whatever it is doing: engine.ErrDeadline
	c.SetTimer(time.Millisecond)                   // OnTimer, once
}

func (patient) OnTimer(c *engine.Conn) { _, _ = c.Write([]byte("still here\n")) }

// end

func (h patient) OnClose(_ *engine.Conn, err error) { h.ended <- err }

func TestTime(t *testing.T) {
	h := patient{ended: make(chan error, 1)}
	_, lab := serve(t, h)
	conn := dial(t, lab, "tenant-a")
	got := make([]byte, 11)
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != "still here\n" {
		t.Errorf("%q, %v", got, err)
	}
	if err := <-h.ended; !errors.Is(err, engine.ErrDeadline) {
		t.Errorf("ended with %v", err)
	}
}

type whose struct{ engine.BaseHandler }

func (whose) OnData(c *engine.Conn) {
	c.Discard(c.Buffered())
	_, _ = fmt.Fprint(c, c.Namespace().Name())
}

func TestNamespace(t *testing.T) {
	_, lab := serve(t, whose{})
	for _, tenant := range []string{"tenant-a", "tenant-b"} {
		conn := dial(t, lab, tenant)
		_, _ = conn.Write([]byte("?"))
		_ = conn.CloseWrite()
		if got, err := io.ReadAll(conn); string(got) != tenant || err != nil {
			t.Errorf("%s answers %q, %v", tenant, got, err)
		}
	}
}
