package main

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"unicode"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/nsctx"
)

// maxLine is how long a line may be, in bytes. A longer one ends its connection.
const maxLine = 512

// hall has a room for every tenant of whom somebody is there. The connections of a room
// live on several loops, hence the lock; a connection's context is its name.
type hall struct {
	engine.BaseHandler
	mu    sync.Mutex
	rooms map[nsctx.ID]room
}

func newHall() *hall { return &hall{rooms: make(map[nsctx.ID]room)} }

// room is who is there, by name.
type room map[string]*engine.Conn

// OnOpen shows somebody in.
func (h *hall) OnOpen(c *engine.Conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	id := c.Namespace().ID()
	if h.rooms[id] == nil {
		h.rooms[id] = make(room)
	}
	name := "guest1"
	for n := 2; h.rooms[id][name] != nil; n++ {
		name = fmt.Sprint("guest", n)
	}
	h.rooms[id][name] = c
	c.SetContext(name)
	fmt.Fprintf(c, "* you are %s; /nick NAME, /who and /quit are known here\n", name)
	h.rooms[id].tell(c, "* %s has joined\n", name)
}

// OnMessage hears a line.
func (h *hall) OnMessage(c *engine.Conn, line []byte) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	name, here := c.Context().(string), h.rooms[c.Namespace().ID()]
	text := strings.Map(printable, string(line))
	command, argument, _ := strings.Cut(text, " ")
	switch {
	case text == "":
	case command == "/nick":
		here.rename(c, name, argument)
	case command == "/who":
		fmt.Fprintf(c, "* here are %s\n", strings.Join(slices.Sorted(maps.Keys(here)), ", "))
	case command == "/quit":
		c.Close()
	case text[0] == '/':
		fmt.Fprintf(c, "* %s is not known here\n", command)
	default:
		here.tell(c, "%s: %s\n", name, text)
	}
	return nil
}

// OnClose sees somebody out, and closes the room behind the last one.
func (h *hall) OnClose(c *engine.Conn, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	id, name := c.Namespace().ID(), c.Context().(string)
	delete(h.rooms[id], name)
	if len(h.rooms[id]) == 0 {
		delete(h.rooms, id)
		return
	}
	how := ""
	if errors.Is(err, engine.ErrOverflow) {
		how = ", being too slow"
	}
	h.rooms[id].tell(c, "* %s has left%s\n", name, how)
}

var goodName = regexp.MustCompile(`^[\w-]{1,20}$`)

func (r room) rename(c *engine.Conn, name, wanted string) {
	switch {
	case !goodName.MatchString(wanted):
		fmt.Fprintf(c, "* a name is 1 to 20 letters, digits, - or _\n")
	case r[wanted] != nil:
		fmt.Fprintf(c, "* %s is taken\n", wanted)
	default:
		delete(r, name)
		r[wanted] = c
		c.SetContext(wanted)
		fmt.Fprintf(c, "* you are %s\n", wanted)
		r.tell(c, "* %s is now %s\n", name, wanted)
	}
}

// tell has all others hear a line. The speaker is not read until the line has come to
// everybody's loop, so that nobody talks faster than the loops take it; and a listener who
// does not read is sent off when Config.WriteBufferMax is full. So memory is bounded,
// whoever is fast or slow. The caller holds the hall's lock: everybody hears
// everything in one order.
func (r room) tell(speaker *engine.Conn, format string, args ...any) {
	line := fmt.Appendf(nil, format, args...) // read by all, changed by none
	var left atomic.Int64
	left.Store(1)
	done := func() {
		if left.Add(-1) == 0 {
			speaker.Call((*engine.Conn).Resume)
		}
	}
	speaker.Pause()
	for _, c := range r {
		if c == speaker {
			continue
		}
		left.Add(1)
		c.AsyncWrite(line, func(err error) { // on c's loop
			if errors.Is(err, engine.ErrOverflow) {
				c.Fail(err)
			}
			done()
		})
	}
	done()
}

// printable keeps what could move a listener's cursor out of a line.
func printable(r rune) rune {
	if unicode.IsPrint(r) {
		return r
	}
	return ' '
}
