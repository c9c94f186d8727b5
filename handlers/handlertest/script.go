package handlertest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/nsreactor/nsreactor/engine"
)

// Exchange is something that a client sends, and what it gets for it.
type Exchange struct {
	// Send is the client's part. It may be empty: a handler that greets its
	// clients has a first exchange without it.
	Send string
	// Want is the reply. It is compared byte by byte, after Script.Normalize,
	// unless Check is set.
	Want string
	// Check looks at a reply that is not always the same.
	Check func(reply string) error
}

// Script is a conversation that a handler can have with each client, from the
// beginning of a connection on, and what [Conform] need know of the handler.
type Script struct {
	// Exchanges is what is said. At least one has to send something.
	Exchanges []Exchange
	// Normalize takes out of all that a client has received what differs from
	// time to time: a date, an id. It sees the replies to all exchanges at once.
	Normalize func(received string) string
	// Except names properties that this handler is not meant to have, each with the
	// reason.
	Except map[string]string
	// Options are for [New]. The namespaces are Conform's own.
	Options []Option
	// Config is the engine's configuration; some properties make its buffers
	// smaller.
	Config engine.Config
	// Seed is where random splits start. Default: 1. The message of a failure
	// names what it takes to see it again.
	Seed uint64
}

// Conform puts a handler to the test of everything that the network, and the other
// connections, may do to it: a subtest for each property, which says what broke.
//
//	exchanges      each exchange by itself gets its reply
//	one piece      all input in one read gets the same replies
//	pipelined      input that is sent before the replies have come gets the same replies
//	byte by byte   input that comes in pieces of one byte does
//	random splits  input that is cut anywhere does
//	slow reader    a client that takes one byte at a time, or nothing until it has sent all, misses none
//	half-close     a client that has shut down its half gets all replies, and an orderly end
//	reset          a client that resets, wherever it is, gets nothing wrong; OnClose comes
//	overflow       replies that find no room end the connection: they leave no hole
//	drain          a drain ends the connection in time, after the replies to what came before it
//	pause          a pause and OnData without new bytes change nothing
//	clock jumps    an hour between two exchanges ends the connection or changes nothing
//	interleaved    connections of several namespaces do not mix
//	garbage        broken input harms its connection only, and panics nowhere
//	nothing kept   after OnClose the handler has let go of its connections
//
// Besides, every one of them has all the checks of [New]. newHandler is called for each
// run; a handler with nothing to set up may be the same value every time.
func Conform(t *testing.T, newHandler func() engine.Handler, s Script) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(s.Except)) {
		if !slices.ContainsFunc(properties, func(p property) bool { return p.name == name }) {
			t.Errorf("handlertest: no property is called %q", name)
		}
	}
	if s.Seed == 0 {
		s.Seed = 1
	}
	for _, p := range properties {
		if _, excepted := s.Except[p.name]; !excepted {
			t.Run(p.name, func(t *testing.T) { p.check(&suite{t, newHandler, &s}) })
		}
	}
}

// property is something that holds for every good handler.
type property struct {
	name  string
	check func(*suite)
}

// suite is a handler and its script under one property's test.
type suite struct {
	t          testing.TB
	newHandler func() engine.Handler
	*Script
}

// input is all that a client sends.
func (s *suite) input() string {
	var b strings.Builder
	for _, e := range s.Exchanges {
		b.WriteString(e.Send)
	}
	return b.String()
}

// loop is a loop for one run, with a configuration that change has changed.
func (s *suite) loop(change ...func(*engine.Config)) *Loop {
	s.t.Helper()
	cfg := s.Config
	for _, f := range change {
		f(&cfg)
	}
	return New(s.t, s.newHandler(), append(slices.Clone(s.Options), WithConfig(cfg), Namespaces("a", "b"))...)
}

// transcript is what the client is to receive: all of it, and how much of it after each of
// the exchanges.
type transcript struct {
	all   string
	after []int
}

// transcript has the conversation once, exchange by exchange, and fails the test if a
// reply is wrong.
func (s *suite) transcript() transcript {
	s.t.Helper()
	lp := s.loop()
	c := lp.Connect()
	var tr transcript
	for i, e := range s.Exchanges {
		if e.Send != "" {
			c.Send(e.Send)
		}
		reply := string(c.Take())
		if err := e.judge(reply); err != nil {
			s.t.Fatalf("exchange %d of %d, which sends %q: %v", i+1, len(s.Exchanges), clip(e.Send), err)
		}
		tr.after = append(tr.after, len(c.Received()))
	}
	tr.all = string(c.Received())
	c.Close()
	lp.end()
	if s.input() == "" {
		s.t.Fatalf("the script sends nothing")
	}
	return tr
}

// judge says what is wrong with a reply.
func (e *Exchange) judge(reply string) error {
	switch {
	case e.Check != nil:
		if err := e.Check(reply); err != nil {
			return fmt.Errorf("the reply %q is wrong: %w", clip(reply), err)
		}
	case reply != e.Want:
		return fmt.Errorf("the reply is %q, want %q", clip(reply), clip(e.Want))
	}
	return nil
}

func (s *suite) normal(received string) string {
	if s.Normalize == nil {
		return received
	}
	return s.Normalize(received)
}

// same fails the test unless a client has received what it was to receive.
func (s *suite) same(c *Conn, tr transcript, how string, args ...any) bool {
	s.t.Helper()
	got, want := s.normal(string(c.Received())), s.normal(tr.all)
	if got == want {
		return true
	}
	s.t.Errorf("%s: %s%s", fmt.Sprintf(how, args...), difference(got, want), ending(c))
	return false
}

// begins fails the test unless what a client has received is how its transcript begins,
// and at least least bytes of it.
func (s *suite) begins(c *Conn, tr transcript, least int, how string, args ...any) bool {
	s.t.Helper()
	got := string(c.Received())
	n := min(len(got), len(tr.all))
	switch {
	case len(got) <= len(tr.all) && s.normal(got) == s.normal(tr.all[:n]) && len(got) >= least:
		return true
	case s.Normalize != nil && len(got) >= least:
		return true // what is cut off in the middle can't be told from what differs
	}
	s.t.Errorf("%s: %s%s", fmt.Sprintf(how, args...), difference(got, tr.all), ending(c))
	return false
}

// difference says where two transcripts part.
func difference(got, want string) string {
	i := 0
	for i < len(got) && i < len(want) && got[i] == want[i] {
		i++
	}
	at := func(s string) string { return clip(s[max(i-16, 0):min(i+48, len(s))]) }
	text := fmt.Sprintf("received %d bytes, want %d; they part at byte %d: %q, want %q", len(got), len(want), i, at(got), at(want))
	if strings.Contains(got[i:], "\xDB") && !strings.Contains(want[i:], "\xDB") {
		text += " (0xDB is what bytes are overwritten with that a callback was shown: they must not be kept)"
	}
	return text
}

// ending says how a connection has ended, if it has.
func ending(c *Conn) string {
	if !c.ended {
		return "; the connection is open"
	}
	return fmt.Sprintf("; OnClose got %v", c.err)
}
