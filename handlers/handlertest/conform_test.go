package handlertest

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nsreactor/nsreactor/engine"
)

// shout answers each line in capitals; "quit" ends the connection. It is a good handler.
type shout struct{ engine.BaseHandler }

func (shout) OnData(c *engine.Conn) {
	for c.Proceed() {
		line, ok := nextLine(c)
		if !ok {
			return
		}
		answer(c, line)
	}
}

// nextLine consumes a line, which stays valid until the callback returns.
func nextLine(c *engine.Conn) (string, bool) {
	b, _ := c.Peek(-1)
	i := bytes.IndexByte(b, '\n')
	if i < 0 {
		return "", false
	}
	line := string(b[:i])
	c.Discard(i + 1)
	return line, true
}

func answer(c *engine.Conn, line string) {
	if _, err := c.Write([]byte(strings.ToUpper(line) + "\n")); err != nil && !errors.Is(err, engine.ErrClosed) {
		c.CloseNow()
	}
}

// lines is what is said to shout and its mutants.
var lines = Script{Exchanges: []Exchange{
	{Send: "hello\n", Want: "HELLO\n"},
	{Send: "how are you\n", Want: "HOW ARE YOU\n"},
	{Send: "a", Want: ""},
	{Send: "nd you\nfine\n", Want: "AND YOU\nFINE\n"},
	{Send: strings.Repeat("long ", 50) + "\n", Want: strings.Repeat("LONG ", 50) + "\n"},
	{Send: "x\n", Want: "X\n"},
}}

func TestShoutConforms(t *testing.T) {
	Conform(t, func() engine.Handler { return shout{} }, lines)
}

// mutants are what is wrong with handlers: for each property one that lacks it, and
// what is said of it.
var mutants = map[string]struct {
	handler func() engine.Handler
	says    string
}{
	"exchanges": {fixed(hooks{data: func(c *engine.Conn) { c.Discard(c.Buffered()) }}), `exchange 1 of 6, which sends "hello\n": the reply is "", want "HELLO\n"`},

	// It answers the first line that it finds and forgets that there may be more.
	"one piece": {fixed(hooks{data: func(c *engine.Conn) {
		b, _ := c.Peek(-1)
		if n := bytes.Count(b, []byte("\n")); n == 2 && len(b) < 20 || n == 1 {
			shout{}.OnData(c)
		} else if n > 0 {
			line, _ := nextLine(c)
			answer(c, line)
		}
	}}), "all input in one piece"},

	// It remembers one request while it works on it.
	"pipelined": {fixed(hooks{data: func(c *engine.Conn) {
		b, _ := c.Peek(-1)
		if !bytes.HasSuffix(b, []byte("\n")) {
			return
		}
		c.SetContext(string(b))
		c.Discard(len(b))
		_ = c.Go(engine.Work{Run: func(context.Context) error { return nil }, Done: func(c *engine.Conn, _ error) {
			if b, ok := c.Context().(string); ok {
				answer(c, strings.TrimSuffix(b, "\n"))
				c.SetContext(nil)
			}
		}})
	}}), "sent before the first reply"},

	// It takes what has arrived for a line.
	"byte by byte": {fixed(hooks{data: func(c *engine.Conn) {
		b, _ := c.Peek(-1)
		if bytes.Equal(b, []byte("a")) {
			return
		}
		shout{}.OnData(c)
		c.Discard(c.Buffered())
	}}), "byte by byte"},

	// It keeps a slice that was lent to it.
	"random splits": {fixed(hooks{data: func(c *engine.Conn) {
		b, _ := c.Next(-1)
		held, _ := c.Context().([]byte)
		for _, part := range bytes.SplitAfter(b, []byte("\n")) {
			if !bytes.HasSuffix(part, []byte("\n")) {
				held = slices.Concat(held, part)
				if len(part) > 7 {
					held = part
				}
				continue
			}
			answer(c, strings.TrimSuffix(string(held)+string(part), "\n"))
			held = nil
		}
		c.SetContext(held)
	}}), "input in pieces of"},

	// It gives up on a slow reader.
	"slow reader": {fixed(hooks{data: func(c *engine.Conn) {
		if c.Unsent() > 0 {
			c.Discard(c.Buffered())
			return
		}
		shout{}.OnData(c)
	}}), "a reader that"},

	// It takes the end of the input for the end of the output.
	"half-close": {fixed(hooks{data: shout{}.OnData, eof: (*engine.Conn).CloseNow}), "shuts down its half"},

	// It believes that nothing ever goes wrong.
	"reset": {fixed(hooks{data: shout{}.OnData, closed: func(_ *engine.Conn, err error) {
		if err != nil && !errors.Is(err, engine.ErrDrained) {
			panic(err)
		}
	}}), "the handler panicked"},

	// It does not look at what Write returns.
	"overflow": {fixed(hooks{data: func(c *engine.Conn) {
		for line, ok := nextLine(c); ok; line, ok = nextLine(c) {
			if _, err := c.Write([]byte(strings.ToUpper(line) + "\n")); err != nil {
				if c.Unsent() == 0 {
					c.CloseNow()
				}
			}
		}
	}}), "have a hole"},

	// It stays.
	"drain": {fixed(hooks{data: shout{}.OnData, drain: func(*engine.Conn) {}}), "OnDrain has left the connection open"},

	// It takes every OnData for new bytes.
	"pause": {fixed(hooks{data: func(c *engine.Conn) {
		seen, _ := c.Context().(int)
		if c.Buffered() == seen && seen > 0 {
			answer(c, "that again")
		}
		shout{}.OnData(c)
		c.SetContext(c.Buffered())
	}}), "OnData comes again"},

	// It says something when nobody has asked.
	"clock jumps": {fixed(hooks{data: shout{}.OnData, open: func(c *engine.Conn) { c.SetTimer(time.Minute) }, timer: func(c *engine.Conn) { answer(c, "are you there?") }}), "an hour after byte"},

	// What belongs to a connection belongs to all.
	"interleaved": {func() engine.Handler {
		var held []byte
		return hooks{data: func(c *engine.Conn) {
			b, _ := c.Next(-1)
			held = append(held, b...)
			for i := bytes.IndexByte(held, '\n'); i >= 0; i = bytes.IndexByte(held, '\n') {
				answer(c, string(held[:i]))
				held = held[i+1:]
			}
		}}
	}, "connections at once"},

	// It trusts its input.
	"garbage": {fixed(hooks{data: func(c *engine.Conn) {
		if b, _ := c.Peek(-1); bytes.IndexByte(b, 0) >= 0 {
			panic("a zero byte")
		}
		shout{}.OnData(c)
	}}), "the broken input was"},

	// It has a list of connections, and only ever adds to it.
	"nothing kept": {func() engine.Handler {
		all := make(map[*engine.Conn]bool)
		return hooks{data: shout{}.OnData, open: func(c *engine.Conn) { all[c] = true }, closed: func(c *engine.Conn, err error) {
			if err == nil {
				delete(all, c)
			}
		}}
	}, "still holds"},
}

func fixed(h engine.Handler) func() engine.Handler { return func() engine.Handler { return h } }

// Every property is one that a handler can lack, and all the others see nothing of
// what the first ones need to work at all.
func TestEveryPropertyCanFail(t *testing.T) {
	for _, p := range properties {
		t.Run(p.name, func(t *testing.T) {
			mutant, is := mutants[p.name]
			if !is {
				t.Fatal("there is no mutant")
			}
			script := lines
			script.Seed = 1
			said := fails(t, func(tb testing.TB) { p.check(&suite{tb, mutant.handler, &script}) })
			if !strings.Contains(said, mutant.says) {
				t.Errorf("it said:\n%s\nwant %q", said, mutant.says)
			}
			if p.name == "exchanges" {
				return
			}
			if f := runFake(func(tb testing.TB) { checkExchanges(&suite{tb, mutant.handler, &script}) }); f.failed {
				t.Errorf("it can't even have the conversation: %s", f.log.String())
			}
		})
	}
}

// A stream that ends early must not end in order.
func TestTruncatedRepliesAreNamed(t *testing.T) {
	careless := hooks{data: func(c *engine.Conn) {
		for line, ok := nextLine(c); ok; line, ok = nextLine(c) {
			_, _ = c.Write([]byte(line))
		}
	}}
	script := Script{Exchanges: []Exchange{{Send: "hello\n", Want: "hello"}}, Seed: 1}
	said := fails(t, func(tb testing.TB) { checkOverflow(&suite{tb, fixed(careless), &script}) })
	if !strings.Contains(said, "an orderly end tells the client that it has everything") {
		t.Errorf("it said %s", said)
	}
}

// A callback that is shown bytes must not keep them: what is wrong is named.
func TestKeptBytesAreNamed(t *testing.T) {
	var held []byte
	keeper := hooks{data: func(c *engine.Conn) {
		b, _ := c.Next(-1)
		if !bytes.HasSuffix(b, []byte("\n")) {
			held = b
			return
		}
		_, _ = c.Write(slices.Concat(held, b))
		held = nil
	}}
	script := Script{Exchanges: []Exchange{{Send: "hello\n", Want: "hello\n"}}, Seed: 1}
	said := fails(t, func(tb testing.TB) { checkRandomSplits(&suite{tb, fixed(keeper), &script}) })
	if !strings.Contains(said, "must not be kept") {
		t.Errorf("it said %s", said)
	}
}

// What has not ended is not what is kept after the end: it once was called so.
func TestEndlessConnectionsAreNamed(t *testing.T) {
	patient := hooks{data: shout{}.OnData, eof: func(*engine.Conn) {}}
	script := Script{Exchanges: []Exchange{{Send: "hello\n", Want: "HELLO\n"}}, Seed: 1}
	said := fails(t, func(tb testing.TB) { checkNothingKept(&suite{tb, fixed(patient), &script}) })
	if !strings.Contains(said, "have not ended: OnReadEOF leaves them open") || strings.Contains(said, "still holds") {
		t.Errorf("it said %s", said)
	}
}

// What differs from time to time can be looked at, or taken out.
func TestScriptsOfWhatDiffers(t *testing.T) {
	counter := func() engine.Handler {
		n := byte('0')
		return hooks{data: func(c *engine.Conn) {
			for _, ok := nextLine(c); ok; _, ok = nextLine(c) {
				n++
				answer(c, "number "+string(n%10+'0'))
			}
		}}
	}
	Conform(t, counter, Script{
		Exchanges: []Exchange{{Send: "a\n", Check: func(reply string) error {
			if !strings.HasPrefix(reply, "NUMBER ") {
				return errors.New("no number")
			}
			return nil
		}}, {Send: "b\n", Check: func(string) error { return nil }}},
		Normalize: func(s string) string {
			return strings.Map(func(r rune) rune {
				if r >= '0' && r <= '9' {
					return '#'
				}
				return r
			}, s)
		},
		Except: map[string]string{"overflow": "it does not look at Write's errors"},
	})
}
