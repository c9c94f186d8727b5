package docs

import (
	"io"
	"testing"
	"time"

	"github.com/nsreactor/nsreactor/engine"
)

// snippet dial
// relay asks a backend of the tenant's network, one question a connection.
type relay struct {
	engine.BaseHandler
	backend string // "db.internal:5432": resolved with the tenant's own resolver
}

func (h relay) OnData(c *engine.Conn) {
	question, _ := c.Next(-1)
	up, err := c.Dial("tcp", h.backend, answers{client: c}, engine.DialTimeout(time.Second))
	if err != nil {
		c.Fail(err) // the tenant is being drained, or over its limit
		return
	}
	if _, err := up.Write(question); err != nil { // sent when it is connected
		up.Fail(err)
		return
	}
	up.CloseWrite()
}

// OnReadEOF leaves the connection open for the answer; BaseHandler would close it.
func (relay) OnReadEOF(*engine.Conn) {}

// answers brings what the backend says to the client, which lives on the same loop.
type answers struct {
	engine.BaseHandler
	client *engine.Conn
}

func (h answers) OnData(up *engine.Conn) {
	b, _ := up.Next(-1)
	if _, err := h.client.Write(b); err != nil { // it reads too slowly, or has gone
		up.Fail(err)
	}
}

func (h answers) OnClose(_ *engine.Conn, err error) {
	if err != nil { // refused, timed out, no such name, reset …
		h.client.Fail(err)
		return
	}
	h.client.Close()
}

// end

func TestDial(t *testing.T) {
	h := relay{backend: "127.0.0.1:5432"}
	eng, lab := start(t)
	for name, tenant := range lab.tenants {
		ln, err := tenant.Listen(t.Context(), "tcp", 5432)
		must(t, err)
		t.Cleanup(func() { _ = ln.Close() })
		go func() {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
			_, _ = io.ReadAll(conn)
			_, _ = io.WriteString(conn, "of "+name)
		}()
	}
	must(t, eng.Handle("tcp", 7000, h))
	must(t, eng.Watch(lab.Dir()))
	for name := range lab.tenants {
		conn := dial(t, lab, name)
		_, _ = io.WriteString(conn, "who?")
		must(t, conn.CloseWrite())
		if got, err := io.ReadAll(conn); string(got) != "of "+name || err != nil {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}
