package gnethandler_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing/iotest"
	"time"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"
)

// Handlers as gnet's users write them. They know nothing of this module.

// echo returns what arrives.
type echo struct{ gnet.BuiltinEventEngine }

func (*echo) OnTraffic(c gnet.Conn) gnet.Action {
	b, _ := c.Next(-1)
	_, _ = c.Write(b)
	return gnet.None
}

// greeter sends a banner, and says goodbye when it is told quit.
type greeter struct{ gnet.BuiltinEventEngine }

func (*greeter) OnOpen(c gnet.Conn) ([]byte, gnet.Action) {
	c.SetContext("greeted")
	return []byte("220 hello\r\n"), gnet.None
}

func (*greeter) OnTraffic(c gnet.Conn) gnet.Action {
	b, _ := c.Next(0)
	if bytes.HasPrefix(b, []byte("quit")) {
		_, _ = c.Write([]byte("221 bye\r\n"))
		return gnet.Close
	}
	_, _ = c.Write(bytes.ToUpper(b))
	return gnet.None
}

func (*greeter) OnClose(c gnet.Conn, err error) gnet.Action {
	_, _ = c.Write([]byte("closing\r\n")) // a peer that has only shut down its half gets it
	return gnet.None
}

// protocol has frames: two magic bytes, a length of four, a body. It answers
// each with its body reversed, and hangs up on a wrong one.
type protocol struct{ gnet.BuiltinEventEngine }

const (
	frameMagic = 0x1314
	frameHead  = 6
	frameLimit = 1 << 20
)

func frame(body string) string {
	b := binary.BigEndian.AppendUint16(nil, frameMagic)
	b = binary.BigEndian.AppendUint32(b, uint32(len(body)))
	return string(append(b, body...))
}

func (*protocol) OnTraffic(c gnet.Conn) gnet.Action {
	for {
		head, err := c.Peek(frameHead)
		if err != nil {
			return gnet.None // io.ErrShortBuffer: more will come
		}
		if binary.BigEndian.Uint16(head) != frameMagic {
			return gnet.Close
		}
		size := int(binary.BigEndian.Uint32(head[2:]))
		if size > frameLimit {
			return gnet.Close
		}
		whole, err := c.Peek(frameHead + size)
		if err != nil {
			return gnet.None
		}
		reply := bytes.Clone(whole)
		_, _ = c.Discard(len(whole))
		for i, j := frameHead, len(reply)-1; i < j; i, j = i+1, j-1 {
			reply[i], reply[j] = reply[j], reply[i]
		}
		_, _ = c.Writev([][]byte{reply[:frameHead], reply[frameHead:]})
	}
}

// web is a small HTTP/1.1 server: GET /N has a body of N bytes, POST returns
// its body, requests may be pipelined.
type web struct{ gnet.BuiltinEventEngine }

// webRequest is what a connection is in the middle of.
type webRequest struct {
	method, path string
	body         int
	last         bool
}

func (r *webRequest) String() string { return r.method + " " + r.path }

func (*web) OnOpen(c gnet.Conn) ([]byte, gnet.Action) {
	c.SetContext(new(webRequest))
	return nil, gnet.None
}

func (*web) OnTraffic(c gnet.Conn) gnet.Action {
	r := c.Context().(*webRequest)
	for c.InboundBuffered() > 0 {
		if r.method == "" {
			b, _ := c.Peek(-1)
			end := bytes.Index(b, []byte("\r\n\r\n"))
			if end < 0 {
				return gnet.None
			}
			if !r.parse(string(b[:end])) {
				_, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"))
				return gnet.Close
			}
			_, _ = c.Discard(end + 4)
		}
		if c.InboundBuffered() < r.body {
			return gnet.None
		}
		if r.answer(c); r.last {
			return gnet.Close
		}
		*r = webRequest{}
	}
	return gnet.None
}

func (r *webRequest) parse(head string) bool {
	lines := strings.Split(head, "\r\n")
	words := strings.Fields(lines[0])
	if len(words) != 3 || words[2] != "HTTP/1.1" {
		return false
	}
	r.method, r.path = words[0], words[1]
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch strings.ToLower(name) {
		case "content-length":
			n, err := strconv.Atoi(value)
			if err != nil || n < 0 {
				return false
			}
			r.body = n
		case "connection":
			r.last = strings.EqualFold(value, "close")
		}
	}
	return true
}

func (r *webRequest) answer(c gnet.Conn) {
	body := make([]byte, r.body)
	if r.body > 0 {
		_, _ = c.Read(body)
	} else if n, err := strconv.Atoi(strings.TrimPrefix(r.path, "/")); err == nil {
		body = bytes.Repeat([]byte("0123456789"), (n+9)/10)[:n]
	}
	_, _ = c.Write(fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", len(body)))
	_, _ = c.Write(body)
}

// push sends from goroutines of its own, as a chat or a market feed does, and
// closes the connection when it is through.
type push struct {
	gnet.BuiltinEventEngine
	*journal
}

func (p *push) OnOpen(c gnet.Conn) ([]byte, gnet.Action) {
	go func() {
		p.noteErr("write asked", c.AsyncWrite([]byte("one "), p.done("written")))
		p.noteErr("writev asked", c.AsyncWritev([][]byte{[]byte("two "), []byte("three ")}, p.done("both written")))
		p.noteErr("wake asked", c.Wake(p.done("woken")))
		p.noteErr("write asked", c.AsyncWrite(bytes.Repeat([]byte("x"), 100_000), nil))
		p.noteErr("close asked", c.CloseWithCallback(p.done("closed")))
	}()
	return nil, gnet.None
}

func (p *push) OnTraffic(c gnet.Conn) gnet.Action {
	_, _ = fmt.Fprintf(c, "[woken, %d unread] ", c.InboundBuffered())
	return gnet.None
}

// noteErr leaves successes out: their place among the callbacks is chance.
func (p *push) noteErr(what string, err error) {
	if err != nil {
		p.note("%s: %v", what, err)
	}
}

func (p *push) done(what string) gnet.AsyncCallback {
	return func(c gnet.Conn, err error) error {
		p.note("%s: %s, context %v", what, describe(err), c.Context())
		return fmt.Errorf("nobody hears %s", what)
	}
}

// reluctant takes nothing until ten bytes are there, then all but three.
type reluctant struct{ gnet.BuiltinEventEngine }

func (*reluctant) OnTraffic(c gnet.Conn) gnet.Action {
	if n := c.InboundBuffered(); n >= 10 {
		b, _ := c.Next(n - 3)
		_, _ = c.Write(b)
	}
	return gnet.None
}

// operator does what each line that it is sent names, and notes what comes of
// it: every method of gnet.Conn that a test can compare.
type operator struct {
	gnet.BuiltinEventEngine
	*journal
}

func (o *operator) OnTraffic(c gnet.Conn) gnet.Action {
	for {
		b, _ := c.Peek(-1)
		end := bytes.IndexByte(b, '\n')
		if end < 0 {
			return gnet.None
		}
		line := string(b[:end])
		_, _ = c.Discard(end + 1)
		operate, known := operations[line]
		if !known {
			o.note("unknown: %q", line)
			return gnet.Close
		}
		if action := operate(o, c); action != gnet.None {
			return action
		}
	}
}

// errs is what calls returned.
func errs(all ...error) string {
	var b strings.Builder
	for _, err := range all {
		b.WriteString(describe(err) + "; ")
	}
	return b.String()
}

var operations = map[string]func(*operator, gnet.Conn) gnet.Action{
	"close by action": func(o *operator, c gnet.Conn) gnet.Action {
		_, _ = c.Write([]byte("last words"))
		return gnet.Close
	},
	"close": func(o *operator, c gnet.Conn) gnet.Action {
		o.note("%s", errs(c.Close(), c.Close()))
		_, _ = c.Write([]byte("Close comes later"))
		return gnet.None
	},
	"close with callback": func(o *operator, c gnet.Conn) gnet.Action {
		err := c.CloseWithCallback(func(c gnet.Conn, err error) error {
			o.note("closed: %s, %v, %d", describe(err), c.Context(), c.InboundBuffered())
			return nil
		})
		o.note("%s", errs(err))
		return gnet.None
	},
	"close by loop": func(o *operator, c gnet.Conn) gnet.Action {
		c.SetContext("closing")
		err := c.EventLoop().Close(c)
		o.note("closed by loop: %s, context %v, %d unread", describe(err), c.Context(), c.InboundBuffered())
		return gnet.Close // once more changes nothing
	},
	"close with a reset": func(o *operator, c gnet.Conn) gnet.Action {
		o.note("%s", errs(c.SetLinger(0)))
		return gnet.Close
	},
	"write": func(o *operator, c gnet.Conn) gnet.Action {
		n, err := c.Write([]byte("abc"))
		m, err2 := c.Writev([][]byte{[]byte("de"), nil, []byte("fgh")})
		k, err3 := c.Write(nil)
		o.note("written %d, %d, %d: %s unsent %d", n, m, k, errs(err, err2, err3), c.OutboundBuffered())
		return gnet.None
	},
	"read from": func(o *operator, c gnet.Conn) gnet.Action {
		n, err := c.ReadFrom(strings.NewReader(strings.Repeat("0123456789", 1000)))
		o.note("read from: %d, %s", n, errs(err, c.Flush()))
		return gnet.None
	},
	"copy": func(o *operator, c gnet.Conn) gnet.Action {
		n, err := io.Copy(c, iotest.OneByteReader(strings.NewReader("one by one")))
		o.note("copied: %d, %s", n, errs(err, c.Flush(), c.Flush()))
		return gnet.None
	},
	"read from a broken reader": func(o *operator, c gnet.Conn) gnet.Action {
		n, err := c.ReadFrom(io.MultiReader(strings.NewReader("half"), iotest.ErrReader(io.ErrUnexpectedEOF)))
		o.note("read from: %d, %s", n, errs(err, c.Flush()))
		return gnet.None
	},
	"write to": func(o *operator, c gnet.Conn) gnet.Action {
		var b bytes.Buffer
		n, err := c.WriteTo(&b)
		o.note("write to: %d, %q, %s %d unread", n, b.String(), errs(err), c.InboundBuffered())
		return gnet.None
	},
	"unsupported": func(o *operator, c gnet.Conn) gnet.Action {
		_, err := c.SendTo([]byte("x"), c.RemoteAddr())
		o.note("%s", errs(err,
			c.SetDeadline(time.Time{}), c.SetReadDeadline(time.Time{}), c.SetWriteDeadline(time.Time{}),
			c.EventLoop().Schedule(context.Background(), nil, 0), c.EventLoop().Execute(context.Background(), nil)))
		return gnet.None
	},
	"execute": func(o *operator, c gnet.Conn) gnet.Action {
		ctx := gnet.NewContext(context.Background(), "carried")
		err := c.EventLoop().Execute(ctx, gnet.RunnableFunc(func(ctx context.Context) error {
			o.note("executed: %v, %d unread", gnet.FromContext(ctx), c.InboundBuffered())
			return errors.New("nobody hears")
		}))
		o.note("%s", errs(err))
		return gnet.None
	},
	"options": func(o *operator, c gnet.Conn) gnet.Action {
		o.note("%s", errs(c.SetReadBuffer(50_000), c.SetWriteBuffer(60_000), c.SetNoDelay(false), c.SetLinger(5),
			c.SetKeepAlivePeriod(20*time.Second)))
		o.noteOptions(c.Fd())
		o.note("%s", errs(c.SetNoDelay(true), c.SetLinger(-1), c.SetKeepAlive(true, 30*time.Second, 4*time.Second, 3)))
		dup, err := c.Dup()
		o.noteOptions(dup)
		o.note("%s", errs(err, closeFD(dup)))
		o.note("%s", errs(c.SetKeepAlive(false, 0, 0, 0), c.SetKeepAlive(true, 0, 0, 0), c.SetKeepAlivePeriod(time.Millisecond)))
		o.noteOptions(c.Fd())
		return gnet.None
	},
}

// socketOptions are those that gnet has words for.
var socketOptions = map[string]struct{ level, name int }{
	"SO_RCVBUF":     {unix.SOL_SOCKET, unix.SO_RCVBUF},
	"SO_SNDBUF":     {unix.SOL_SOCKET, unix.SO_SNDBUF},
	"SO_KEEPALIVE":  {unix.SOL_SOCKET, unix.SO_KEEPALIVE},
	"SO_LINGER":     {unix.SOL_SOCKET, unix.SO_LINGER},
	"TCP_NODELAY":   {unix.IPPROTO_TCP, unix.TCP_NODELAY},
	"TCP_KEEPIDLE":  {unix.IPPROTO_TCP, unix.TCP_KEEPIDLE},
	"TCP_KEEPINTVL": {unix.IPPROTO_TCP, unix.TCP_KEEPINTVL},
	"TCP_KEEPCNT":   {unix.IPPROTO_TCP, unix.TCP_KEEPCNT},
}

// noteOptions asks the kernel.
func (j *journal) noteOptions(fd int) {
	for _, word := range slices.Sorted(maps.Keys(socketOptions)) {
		j.noteOption(fd, word)
	}
}

func (j *journal) noteOption(fd int, word string) {
	option := socketOptions[word]
	n, err := unix.GetsockoptInt(fd, option.level, option.name)
	j.note("%s is %d, %s", word, n, errs(err))
}

func closeFD(fd int) error { return unix.Close(fd) }
