package handlertest_test

import (
	"bytes"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/handlers/handlertest"
)

// upper answers each line in capitals, and ends a connection that says nothing for a
// minute.
type upper struct{ engine.BaseHandler }

func (upper) OnOpen(c *engine.Conn) { c.SetIdleTimeout(time.Minute) }

func (upper) OnData(c *engine.Conn) {
	for c.Proceed() {
		b, _ := c.Peek(-1)
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			return
		}
		if _, err := c.Write(bytes.ToUpper(b[:i+1])); err != nil {
			c.CloseNow() // or the replies would have a hole
			return
		}
		c.Discard(i + 1)
	}
}

// A line comes in two pieces, then nothing for a minute.
func ExampleNew() {
	example(func(t testing.TB) {
		lp := handlertest.New(t, upper{})
		c := lp.Connect()
		c.SendPieces("hello\n", 2)
		fmt.Printf("%q\n", c.Take())
		lp.Advance(time.Minute)
		err, _ := c.Ended()
		fmt.Println(err)
	})
	// Output:
	// "HELLO\n"
	// engine: close netns "a" 198.51.100.1:1024: idle timeout
}

// A client that does not read holds up the handler, and nobody else.
func ExampleConn_Window() {
	example(func(t testing.TB) {
		lp := handlertest.New(t, upper{}, handlertest.WithConfig(engine.Config{WriteHighWater: 8}))
		slow := lp.Connect()
		slow.Window(0)
		slow.SendPieces("one, two\nthree\n", 9)
		fmt.Printf("%q, %d bytes unread\n", slow.Received(), slow.Unread())
		slow.Window(-1)
		fmt.Printf("%q, %d bytes unread\n", slow.Received(), slow.Unread())
	})
	// Output:
	// "", 6 bytes unread
	// "ONE, TWO\nTHREE\n", 0 bytes unread
}

// The whole suite, in a test of one's own.
func ExampleConform() {
	_ = func(t *testing.T) { // func TestUpperConforms(t *testing.T)
		handlertest.Conform(t, func() engine.Handler { return upper{} }, handlertest.Script{
			Exchanges: []handlertest.Exchange{
				{Send: "hello\n", Want: "HELLO\n"},
				{Send: "two\nlines\n", Want: "TWO\nLINES\n"},
			},
		})
	}
	// Output:
}

func TestUpperConforms(t *testing.T) {
	handlertest.Conform(t, func() engine.Handler { return upper{} }, handlertest.Script{
		Exchanges: []handlertest.Exchange{
			{Send: "hello\n", Want: "HELLO\n"},
			{Send: "two\nlines\n", Want: "TWO\nLINES\n"},
		},
	})
}

// late answers after a second, from a timer of its own rather than the loop's.
type late struct{ engine.BaseHandler }

func (late) OnData(c *engine.Conn) {
	b, _ := c.Next(-1)
	reply := bytes.ToUpper(b) // a copy: b is the engine's again when OnData returns
	time.AfterFunc(time.Second, func() { c.AsyncWrite(reply, nil) })
}

// In a bubble of testing/synctest the handler's timers and the loop's go by one clock.
func TestLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lp := handlertest.New(t, late{})
		c := lp.Connect()
		c.Send("hello")
		lp.Advance(999 * time.Millisecond)
		c.Expect("")
		lp.Advance(time.Millisecond)
		c.Expect("HELLO")
	})
}
