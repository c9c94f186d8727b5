package gnethandler_test

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/panjf2000/gnet/v2"

	"github.com/nsreactor/nsreactor/handlers/gnethandler"
	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

// journal is what happened on one side of a connection, in order. A handler
// under test writes to it too. Any goroutine may use it.
type journal struct {
	mu    sync.Mutex
	lines []string
	bulk  bool // how bytes were cut into callbacks is chance: add them up
	sum   int
	conn  gnet.Conn // of the last OnOpen
	grown chan struct{}
}

func newJournal() *journal { return &journal{grown: make(chan struct{}, 1)} }

func (j *journal) note(format string, args ...any) {
	j.mu.Lock()
	j.lines = append(j.lines, fmt.Sprintf(format, args...))
	j.mu.Unlock()
	j.tell()
}

func (j *journal) tell() {
	select {
	case j.grown <- struct{}{}:
	default:
	}
}

// noteTraffic writes down one OnTraffic.
func (j *journal) noteTraffic(found, left int, action gnet.Action) {
	j.mu.Lock()
	if j.bulk {
		j.sum += found - left
	} else {
		j.lines = append(j.lines, fmt.Sprintf("traffic: %d found, %d left, action %d", found, left, action))
	}
	j.mu.Unlock()
	j.tell()
}

// begin is a new script's start.
func (j *journal) begin(bulk bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.bulk = bulk
}

// take empties the journal.
func (j *journal) take() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	lines := j.lines
	if j.bulk {
		lines = append(lines, fmt.Sprintf("traffic: %d in all", j.sum))
	}
	j.lines, j.sum, j.conn = nil, 0, nil
	return lines
}

// await waits until n lines begin like that.
func (j *journal) await(t *testing.T, prefix string, n int) {
	t.Helper()
	hang := time.NewTimer(patience)
	defer hang.Stop()
	for j.count(prefix) < n {
		select {
		case <-j.grown:
		case <-hang.C:
			t.Fatalf("never saw %d × %q:\n%s", n, prefix, strings.Join(j.take(), "\n"))
		}
	}
}

// count is how many lines begin like that.
func (j *journal) count(prefix string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	n := 0
	for _, line := range j.lines {
		if strings.HasPrefix(line, prefix) {
			n++
		}
	}
	return n
}

// witness writes down what a handler is asked and answers.
type witness struct {
	gnet.EventHandler
	*journal
}

func (w witness) OnOpen(c gnet.Conn) ([]byte, gnet.Action) {
	w.mu.Lock()
	w.conn = c
	w.mu.Unlock()
	out, action := w.EventHandler.OnOpen(c)
	w.note("open: %v to %v, out %q, action %d", ip(c.RemoteAddr()), ip(c.LocalAddr()), out, action)
	return out, action
}

func (w witness) OnTraffic(c gnet.Conn) gnet.Action {
	found := c.InboundBuffered()
	action := w.EventHandler.OnTraffic(c)
	w.noteTraffic(found, c.InboundBuffered(), action)
	return action
}

func (w witness) OnClose(c gnet.Conn, err error) gnet.Action {
	state := fmt.Sprintf("%d unread, context %T, from %v", c.InboundBuffered(), c.Context(), ip(c.RemoteAddr()))
	action := w.EventHandler.OnClose(c, err)
	w.note("close: %s, %s, action %d", describe(err), state, action)
	return action
}

// ip is an address without the port, which differs.
func ip(addr net.Addr) net.IP {
	if addr, ok := addr.(*net.UDPAddr); ok {
		return addr.IP
	}
	return addr.(*net.TCPAddr).IP
}

// describe is an error without the ports and package names in its text.
func describe(err error) string {
	var errno syscall.Errno
	switch {
	case err == nil:
		return "no error"
	case errors.Is(err, io.EOF):
		return err.Error() // "read: EOF"
	case errors.Is(err, net.ErrClosed):
		return "closed"
	case errors.As(err, &errno):
		return errno.Error()
	}
	return err.Error()
}

// A client acts on a connection and keeps a journal of what it sees. Its
// methods end the test if the server does not play its part.
type client struct {
	*net.TCPConn
	t      *testing.T
	seen   *journal
	server *journal
}

func (c *client) send(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		c.t.Fatalf("send: %v", err)
	}
}

// say sends pieces, and each only when the server has been told of the one
// before.
func (c *client) say(pieces ...string) {
	c.t.Helper()
	for _, piece := range pieces {
		before := c.server.count("traffic")
		c.send(piece)
		c.server.await(c.t, "traffic", before+1)
	}
}

// read reads n bytes.
func (c *client) read(n int) {
	c.t.Helper()
	b := make([]byte, n)
	got, err := io.ReadFull(c, b)
	c.seen.note("read: %s, %s", abridged(b[:got]), describe(err))
}

// readAll reads to the end, and notes what end that was.
func (c *client) readAll() {
	c.t.Helper()
	b, err := io.ReadAll(c)
	if errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.ETIMEDOUT) {
		c.t.Fatal(err)
	}
	c.seen.note("rest: %s, %s", abridged(b), describe(err))
}

func abridged(b []byte) string {
	if len(b) <= 256 {
		return fmt.Sprintf("%q", b)
	}
	return fmt.Sprintf("%d bytes with checksum %08x", len(b), crc32.ChecksumIEEE(b))
}

func (c *client) closeWrite() {
	c.t.Helper()
	if err := c.CloseWrite(); err != nil {
		c.t.Fatal(err)
	}
}

// reset ends the connection with a RST.
func (c *client) reset() {
	c.t.Helper()
	if err := errors.Join(c.SetLinger(0), c.Close()); err != nil {
		c.t.Fatal(err)
	}
}

// conn is the server's side, to use from another goroutine than its loop's.
func (c *client) conn() gnet.Conn {
	c.server.await(c.t, "open", 1)
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	return c.server.conn
}

// A script is what a client does; each must bring its connection to an end.
type script struct {
	name string
	bulk bool
	act  func(*client)
}

// equal runs scripts against a handler on gnet and here, and wants equal
// transcripts of both sides. newHandler is called once: it is the same value.
func equal(t *testing.T, newHandler func(*journal) gnet.EventHandler, scripts ...script) {
	t.Helper()
	lab := nstest.New(t)
	tenant := lab.MustAdd(t, "a")
	j := newJournal()
	w := witness{newHandler(j), j}
	serveByGnet(t, "tcp", tenant, w)
	serve(t, lab, w, gnethandler.Config{})
	for _, s := range scripts {
		t.Run(s.name, func(t *testing.T) {
			j.begin(s.bulk)
			want := s.run(t, dial(t, tenant, gnetPort), j)
			got := s.run(t, dial(t, tenant, enginePort), j)
			if !slices.Equal(want, got) {
				n := alike(want, got)
				t.Errorf("both:\n\t%s\nthen gnet:\n\t%s\nand here:\n\t%s", strings.Join(want[:n], "\n\t"),
					strings.Join(want[n:], "\n\t"), strings.Join(got[n:], "\n\t"))
			}
		})
	}
}

// alike is how many lines two transcripts begin with that are equal.
func alike(a, b []string) int {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}

// run returns the transcript: the server's, then the client's.
func (s script) run(t *testing.T, conn *net.TCPConn, j *journal) []string {
	t.Helper()
	c := &client{TCPConn: conn, t: t, seen: newJournal(), server: j}
	j.await(t, "open", 1)
	s.act(c)
	_ = conn.Close() // closed by the script, maybe
	j.await(t, "close", 1)
	return slices.Concat(j.take(), []string{"--"}, c.seen.take())
}
