package engine_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/nsctx"
	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

// hang bounds what must happen some time. Only a hang meets it.
const hang = 60 * time.Second

// lifePort is where the witness is served.
const lifePort = 7

func eventually(t testing.TB, what string, happened func() bool) {
	t.Helper()
	for deadline := time.Now().Add(hang); !happened(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// hanging is a context for calls that must return.
func hanging(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), hang)
	t.Cleanup(cancel)
	return ctx
}

// logBuffer keeps what the engine logs until the test has failed.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// count is how many lines contain the text.
func (b *logBuffer) count(text string) int { return strings.Count(b.String(), text) }

// wildEngine starts an engine whose handlers may do what they shouldn't.
func wildEngine(t testing.TB, cfg engine.Config) (*engine.Engine, *logBuffer) {
	t.Helper()
	var log logBuffer
	cfg.CheckThread = true
	cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	eng, err := engine.New(cfg)
	must(t, err)
	t.Cleanup(func() {
		patience := hang
		if t.Failed() {
			patience = time.Second
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := eng.Shutdown(ctx); err != nil && !t.Failed() {
			t.Errorf("Shutdown: %v", err)
		}
		if t.Failed() {
			t.Logf("the engine's log:\n%s", log.String())
		}
	})
	return eng, &log
}

// tameEngine starts an engine, and fails the test if a handler has panicked,
// strayed, or not been reached.
func tameEngine(t testing.TB, cfg engine.Config) *engine.Engine {
	t.Helper()
	eng, _ := wildEngine(t, cfg)
	t.Cleanup(func() {
		for _, l := range eng.Stats().Loops {
			if l.Panics+l.Strays+l.SwitchErrors > 0 {
				t.Errorf("loop %d: %d panics, %d strays, %d failed switches", l.Index, l.Panics, l.Strays, l.SwitchErrors)
			}
		}
	})
	return eng
}

// here is where the calling thread is, by the kernel's word. To ask opens the
// namespace for an instant.
func here() nsctx.ID {
	ns, err := nsctx.ByPath("/proc/thread-self/ns/net").Open()
	if err != nil {
		panic(err)
	}
	defer ns.Close()
	return ns.ID()
}

func homeID(t testing.TB) nsctx.ID {
	t.Helper()
	home, err := nsctx.Home().Open()
	must(t, err)
	defer home.Close()
	return home.ID()
}

// witness notes, in every callback, whether the kernel has the thread in the
// connection's namespace. Its connections obey lines and answer each with one:
//
//	who X        "NAMESPACE X"
//	wake timer call async
//	             the callback's name, from that callback
//	switches     how many setns(2) calls the loop has made
//	where        where the thread is
//	enter        the same, after Conn.Enter
//	flood        more bytes than the kernel takes, then "writable" from OnWritable
//	stay         "ok"; OnDrain is then ignored
//	farewell N   "ok"; OnDrain then writes N bytes before it closes
//
// OnDrain writes "drain" and closes.
type witness struct {
	anywhere bool                  // registered with AnyNamespace: the thread may be anywhere
	after    func(callback string) // called last in every note

	mu    sync.Mutex
	calls map[string]map[nsctx.ID]int
	wrong []string
	ends  []ending
}

// ending is one OnClose.
type ending struct {
	id, at nsctx.ID
	err    error
}

// guest is a connection's own part of a witness.
type guest struct {
	stay     bool
	farewell int
}

// floodUnsent is well above the default high-water mark.
const floodUnsent = 1 << 20

func (w *witness) note(c *engine.Conn, callback string) nsctx.ID {
	at, id := here(), c.Namespace().ID()
	if w.after != nil {
		defer w.after(callback)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.calls == nil {
		w.calls = make(map[string]map[nsctx.ID]int)
	}
	if w.calls[callback] == nil {
		w.calls[callback] = make(map[nsctx.ID]int)
	}
	w.calls[callback][id]++
	if at != id && !w.anywhere && callback != "OnClose" {
		w.wrong = append(w.wrong, fmt.Sprintf("%s of %v in %v", callback, id, at))
	}
	return at
}

func (w *witness) OnOpen(c *engine.Conn) {
	c.SetContext(new(guest))
	w.note(c, "OnOpen")
}

func (w *witness) OnData(c *engine.Conn) {
	w.note(c, "OnData")
	for {
		held, _ := c.Peek(-1)
		end := bytes.IndexByte(held, '\n')
		if end < 0 {
			return
		}
		line := string(held[:end])
		c.Discard(end + 1)
		w.obey(c, line)
	}
}

func (w *witness) obey(c *engine.Conn, line string) {
	g := c.Context().(*guest)
	verb, rest, _ := strings.Cut(line, " ")
	switch verb {
	case "who":
		w.say(c, c.Namespace().ID().String()+" "+rest)
	case "wake":
		go c.Wake()
	case "timer":
		c.SetTimer(time.Millisecond)
	case "call":
		go c.Call(func(c *engine.Conn) { w.note(c, "Call"); w.say(c, "call") })
	case "async":
		go c.AsyncWrite([]byte("async"), func(err error) {
			w.note(c, "done")
			w.say(c, fmt.Sprintf(" %v", err))
		})
	case "switches":
		w.say(c, strconv.FormatUint(c.Switches(), 10))
	case "where":
		w.say(c, here().String())
	case "enter":
		if err := c.Enter(); err != nil {
			w.say(c, err.Error())
			return
		}
		w.say(c, here().String())
	case "flood":
		for c.Unsent() <= floodUnsent {
			_, _ = c.Write(make([]byte, floodUnsent))
		}
		_, _ = c.Write([]byte{'\n'})
		w.note(c, "flood")
	case "stay":
		g.stay = true
		w.say(c, "ok")
	case "farewell":
		g.farewell = len(zeros(rest))
		w.say(c, "ok")
	default:
		w.say(c, "what is "+line+"?")
	}
}

func zeros(n string) []byte {
	size, _ := strconv.Atoi(n)
	return bytes.Repeat([]byte{'0'}, size)
}

func (w *witness) say(c *engine.Conn, line string) { _, _ = c.Write([]byte(line + "\n")) }

func (w *witness) OnReadEOF(c *engine.Conn)  { w.note(c, "OnReadEOF"); c.Close() }
func (w *witness) OnWritable(c *engine.Conn) { w.note(c, "OnWritable"); w.say(c, "writable") }
func (w *witness) OnWake(c *engine.Conn)     { w.note(c, "OnWake"); w.say(c, "wake") }
func (w *witness) OnTimer(c *engine.Conn)    { w.note(c, "OnTimer"); w.say(c, "timer") }

func (w *witness) OnDrain(c *engine.Conn) {
	w.note(c, "OnDrain")
	g := c.Context().(*guest)
	if g.stay {
		return
	}
	_, _ = c.Write(bytes.Repeat([]byte{'0'}, g.farewell))
	w.say(c, "drain")
	c.Close()
}

func (w *witness) OnClose(c *engine.Conn, err error) {
	at, id := w.note(c, "OnClose"), c.Namespace().ID()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ends = append(w.ends, ending{id: id, at: at, err: err})
	if at != id && !w.anywhere && !errors.Is(err, engine.ErrSwitch) {
		w.wrong = append(w.wrong, fmt.Sprintf("OnClose of %v in %v, %v", id, at, err))
	}
}

// count is how often a callback was called for a namespace.
func (w *witness) count(callback string, id nsctx.ID) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calls[callback][id]
}

// endings are the OnCloses of a namespace.
func (w *witness) endings(id nsctx.ID) []ending {
	w.mu.Lock()
	defer w.mu.Unlock()
	var ends []ending
	for _, e := range w.ends {
		if e.id == id {
			ends = append(ends, e)
		}
	}
	return ends
}

// check fails the test if a callback has run in a wrong namespace.
func (w *witness) check(t testing.TB) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, wrong := range w.wrong {
		if i == 10 {
			t.Errorf("and %d more", len(w.wrong)-i)
			return
		}
		t.Error(wrong)
	}
}

// caller is a client of a witness.
type caller struct {
	net.Conn
	r *bufio.Reader
}

func newCaller(conn net.Conn) *caller {
	_ = conn.SetDeadline(time.Now().Add(hang))
	return &caller{Conn: conn, r: bufio.NewReader(conn)}
}

// call connects to a tenant's witness, until the test ends.
func call(t testing.TB, tenant *nstest.Tenant, network string) *caller {
	t.Helper()
	conn, err := tenant.Dial(hanging(t), network, lifePort)
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return newCaller(conn)
}

// callInVain is call for a connection that may be reset before the caller has
// noticed that it was made.
func callInVain(t testing.TB, tenant *nstest.Tenant, network string) *caller {
	t.Helper()
	conn, err := tenant.Dial(hanging(t), network, lifePort)
	if errors.Is(err, unix.ECONNRESET) {
		mine, theirs := net.Pipe()
		_ = theirs.Close()
		conn, err = mine, nil
	}
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return newCaller(conn)
}

// callWhenServed is call for a tenant that may not be attached yet.
func callWhenServed(t testing.TB, tenant *nstest.Tenant, network string) *caller {
	t.Helper()
	var conn net.Conn
	eventually(t, tenant.Name+" is served", func() (ok bool) {
		var err error
		conn, err = tenant.Dial(hanging(t), network, lifePort)
		return err == nil
	})
	t.Cleanup(func() { _ = conn.Close() })
	return newCaller(conn)
}

func (c *caller) try(line string) (string, error) {
	if _, err := io.WriteString(c, line+"\n"); err != nil {
		return "", err
	}
	return c.line()
}

func (c *caller) line() (string, error) {
	answer, err := c.r.ReadString('\n')
	return strings.TrimSuffix(answer, "\n"), err
}

func (c *caller) ask(t testing.TB, line string) string {
	t.Helper()
	answer, err := c.try(line)
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return answer
}

// expect asks and compares.
func (c *caller) expect(t testing.TB, line, want string) {
	t.Helper()
	if got := c.ask(t, line); got != want {
		t.Errorf("%s: got %q, want %q", line, got, want)
	}
}

// rest is what still comes before the connection's end.
func (c *caller) rest() (string, error) {
	all, err := io.ReadAll(c.r)
	return string(all), err
}

// expectWho asks who serves.
func (c *caller) expectWho(t testing.TB, id nsctx.ID) {
	t.Helper()
	c.expect(t, "who are you", id.String()+" are you")
}

// attached is the engine's namespace of a tenant, which must be attached.
func attached(t testing.TB, eng *engine.Engine, id nsctx.ID) *engine.Namespace {
	t.Helper()
	for _, ns := range eng.Namespaces() {
		if ns.ID() == id && ns.State() == engine.StateServing {
			return ns
		}
	}
	t.Fatalf("%v is not attached", id)
	return nil
}

func isReset(err error) bool {
	return err != nil && strings.Contains(err.Error(), "reset by peer")
}

func totalSwitches(eng *engine.Engine) uint64 {
	var n uint64
	for _, l := range eng.Stats().Loops {
		n += l.Switches
	}
	return n
}
