package middleware_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/handlers/handlertest"
	"github.com/nsreactor/nsreactor/handlers/middleware"
)

// toBuffer is a logger whose lines have no time, as they would differ.
func toBuffer(b *bytes.Buffer) *slog.Logger {
	return slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
}

func TestAccessLogLine(t *testing.T) {
	var b bytes.Buffer
	log := &middleware.AccessLog{Logger: toBuffer(&b)}
	h := hooks{
		open:   func(c *engine.Conn) { middleware.Annotate(c, slog.String("user", "ann")) },
		closed: func(c *engine.Conn, _ error) { middleware.Annotate(c, slog.Int("requests", 1)) },
	}
	lp := handlertest.New(t, log.Wrap(h))
	c := lp.Connect()
	c.Send("hello")
	lp.Advance(90 * time.Second)
	c.Close()
	want := fmt.Sprintf("level=INFO msg=connection netns=a netns_id=%v port=7000 peer=%v local=192.0.2.1:7000 "+
		"bytes_in=5 bytes_out=5 duration=1m30s user=ann requests=1\n", lp.Namespace("a").ID(), c.Addr())
	if b.String() != want {
		t.Errorf("got  %swant %s", b.String(), want)
	}
}

// A line says what has ended the connection, by a word too.
func TestAccessLogErrors(t *testing.T) {
	var b bytes.Buffer
	log := &middleware.AccessLog{Logger: toBuffer(&b), OnlyErrors: true}
	lp := handlertest.New(t, log.Wrap(hooks{open: func(c *engine.Conn) { c.SetIdleTimeout(time.Second) }}))
	lp.Connect().Close()
	if b.Len() > 0 {
		t.Errorf("an orderly end is logged: %s", &b)
	}
	lp.Connect()
	lp.Advance(time.Second)
	if !strings.Contains(b.String(), ` kind=idle err="engine: close netns \"a\"`) {
		t.Errorf("got %s", &b)
	}
	if s := log.Stats(); s.Written != 1 || s.Passed != 1 {
		t.Errorf("stats: %+v", s)
	}
}

func TestAccessLogSamples(t *testing.T) {
	var b bytes.Buffer
	log := &middleware.AccessLog{Logger: toBuffer(&b), Every: 3}
	lp := handlertest.New(t, log.Wrap(hooks{}))
	for range 9 {
		lp.Connect().Close()
	}
	lp.Connect().Reset()
	if n := strings.Count(b.String(), "\n"); n != 4 {
		t.Errorf("%d lines, want one for every third and one for the error:\n%s", n, &b)
	}
}

// A panic in the handler's OnClose does not cost the line.
func TestAccessLogSurvivesPanic(t *testing.T) {
	var b bytes.Buffer
	log := &middleware.AccessLog{Logger: toBuffer(&b)}
	lp := handlertest.New(t, log.Wrap(hooks{closed: func(*engine.Conn, error) { panic("enough") }}), handlertest.AllowPanics())
	lp.Connect().Close()
	if !strings.Contains(b.String(), "msg=connection") {
		t.Errorf("got %q", b.String())
	}
}

// Where the level is off nothing is kept of a connection, and nothing written.
func TestAccessLogOff(t *testing.T) {
	var b bytes.Buffer
	var level slog.LevelVar
	log := &middleware.AccessLog{Logger: toBuffer(&b), Level: &level}
	level.Set(slog.LevelDebug)
	lp := handlertest.New(t, log.Wrap(hooks{}))
	c := lp.Connect()
	c.Send("x")
	c.Server().Call(func(c *engine.Conn) {
		if in, _ := c.Traffic(); in != 0 {
			t.Error("bytes are counted")
		}
	})
	c.Close()
	level.Set(slog.LevelInfo)
	lp.Connect().Close()
	if n := strings.Count(b.String(), "\n"); n != 1 {
		t.Errorf("%d lines:\n%s", n, &b)
	}
}

// All errors have a word, the engine's and this package's: "other" would be a label that
// says nothing.
func TestKind(t *testing.T) {
	word := regexp.MustCompile(`^[a-z_]+$`)
	kinds := make(map[string]error)
	for _, err := range []error{
		engine.ErrIdle, engine.ErrDeadline, engine.ErrLinger, engine.ErrDrained, engine.ErrOverflow, engine.ErrDetached, engine.ErrSwitch,
		engine.ErrPanic, engine.ErrWorkStuck, engine.ErrStrayed, engine.ErrClosedNow,
		middleware.ErrTooMany, middleware.ErrTooManyOfPeer, middleware.ErrFirst, middleware.ErrTotal, middleware.ErrProxyDenied,
		middleware.ErrProxyForbidden, middleware.ErrProxyHeader, middleware.ErrProxyMissing, middleware.ErrProxyTimeout,
		&engine.Error{Op: "read", Err: errHook},
	} {
		kind := middleware.Kind(fmt.Errorf("wrapped: %w", err))
		if other := kinds[kind]; !word.MatchString(kind) || kind == "other" || other != nil {
			t.Errorf("%v is %q, as is %v", err, kind, other)
		}
		kinds[kind] = err
	}
	if k := middleware.Kind(nil); k != "" {
		t.Errorf("nil is %q", k)
	}
	if k := middleware.Kind(errors.New("?")); k != "other" {
		t.Errorf("an unknown error is %q", k)
	}
	if !errors.Is(middleware.ErrFirst, engine.ErrDeadline) || errors.Is(middleware.ErrProxyHeader, context.Canceled) {
		t.Error("what is a deadline?")
	}
}

// A connection that is detached goes on in order: it was logged among the errors.
func TestAccessLogDetached(t *testing.T) {
	access := &middleware.AccessLog{OnlyErrors: true}
	r := serve(t, engine.Config{Loops: 1}, access.Wrap(hooks{data: func(c *engine.Conn) {
		c.Discard(c.Buffered())
		conn, err := c.Detach()
		if err != nil {
			t.Error(err)
			return
		}
		_ = conn.Close()
	}}), "a")
	conn := r.dial("a")
	if _, err := conn.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	awaitUntil(t, "the connection is passed over", func() bool { return access.Stats().Passed == 1 })
	if n := access.Stats().Written; n != 0 {
		t.Errorf("%d lines", n)
	}
}
