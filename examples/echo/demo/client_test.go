package demo

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
)

// talkTo has a client talk to a server that is given the client's lines, and
// returns what the client thinks of it and how many messages it has verified.
func talkTo(t *testing.T, greeting string, server func(w io.Writer, number int, line string) bool) (uint64, error) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		serveLines(ln, greeting, server)
	}()
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	var messages atomic.Uint64
	c := &client{
		name: "a/0", prefix: "id:1 ", conn: conn, in: bufio.NewReader(conn), messages: &messages,
		forget: func() bool { return true },
	}
	if err = c.greeted("net:[1]"); err == nil {
		err = c.talk(nil)
	}
	c.hangUp()
	<-done
	return messages.Load(), err
}

// serveLines serves one connection until the client has sent its last. When the
// server's function returns false, that is the last which the client hears.
func serveLines(ln net.Listener, greeting string, server func(w io.Writer, number int, line string) bool) {
	conn, err := ln.Accept()
	if err != nil {
		return
	}
	defer conn.Close()
	fmt.Fprint(conn, greeting)
	lines := bufio.NewScanner(conn)
	for number := 0; lines.Scan(); number++ {
		if !server(conn, number, lines.Text()) {
			_ = conn.(*net.TCPConn).CloseWrite()
			_, _ = io.Copy(io.Discard, conn) // unread, it would make a reset of the end
			return
		}
	}
}

const greeting = "hello id:1 net:[1]\n"

func TestClientPartsAfterBye(t *testing.T) {
	messages, err := talkTo(t, greeting, func(w io.Writer, number int, line string) bool {
		if number == 20 {
			fmt.Fprint(w, bye)
		}
		fmt.Fprintf(w, "id:1 %s\n", line)
		return true
	})
	// What was on its way at the bye is still answered, and verified.
	if err != nil || messages != 24 {
		t.Errorf("%d messages verified, err %v; want 24 and none", messages, err)
	}
}

// Whatever a server does to one byte of a stream, the client sees it.
func TestClientSeesWhatIsWrong(t *testing.T) {
	// at has the server behave until one message, and then do something else.
	at := func(bad int, do func(w io.Writer, line string) bool) func(io.Writer, int, string) bool {
		return func(w io.Writer, number int, line string) bool {
			if number == bad {
				return do(w, line)
			}
			fmt.Fprintf(w, "id:1 %s\n", line)
			return true
		}
	}
	answerTo := func(reply func(line string) string) func(io.Writer, string) bool {
		return func(w io.Writer, line string) bool {
			fmt.Fprint(w, reply(line))
			return true
		}
	}
	end := func(io.Writer, string) bool { return false }
	for _, test := range []struct {
		name, greeting string
		server         func(io.Writer, int, string) bool
		want           error
		messages       uint64
	}{
		{"greeted from elsewhere", "hello id:2 net:[1]\n", at(0, end), errWrong, 0},
		{"thread is elsewhere", "hello id:1 net:[2]\n", at(0, end), errWrong, 0},
		{"answered from elsewhere", greeting, at(11, answerTo(func(l string) string { return "id:2 " + l + "\n" })), errWrong, 11},
		{"other tenant's message", greeting, at(11, answerTo(func(l string) string {
			return "id:1 " + strings.Replace(l, "a/", "b/", 1) + "\n"
		})), errWrong, 11},
		{"reply left out", greeting, at(11, answerTo(func(string) string { return "" })), errWrong, 11},
		{"reply doubled", greeting, at(11, answerTo(func(l string) string { return strings.Repeat("id:1 "+l+"\n", 2) })), errWrong, 12},
		{"byte left out", greeting, at(11, answerTo(func(l string) string { return "id:1 " + l[1:] + "\n" })), errWrong, 11},
		{"bye twice", greeting, at(11, answerTo(func(l string) string { return bye + bye + "id:1 " + l + "\n" })), errWrong, 11},
		{"cut short", greeting, at(11, end), io.ErrUnexpectedEOF, 11},
		{"more after the end", greeting, at(15, answerTo(func(l string) string { return bye + "id:1 " + l + "\nid:1 a/0 16\n" })), errWrong, 16},
	} {
		t.Run(test.name, func(t *testing.T) {
			messages, err := talkTo(t, test.greeting, test.server)
			if !errors.Is(err, test.want) {
				t.Errorf("err is %v, want %v", err, test.want)
			}
			if messages != test.messages {
				t.Errorf("%d messages were verified, want %d", messages, test.messages)
			}
		})
	}
}
