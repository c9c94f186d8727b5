package gnethandler_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/panjf2000/gnet/v2"
)

// plain is for handlers that write nothing into the journal.
func plain(events gnet.EventHandler) func(*journal) gnet.EventHandler {
	return func(*journal) gnet.EventHandler { return events }
}

func TestEchoIsEqual(t *testing.T) {
	equal(
		t, plain(new(echo)),
		script{name: "pieces", act: func(c *client) {
			c.say("a", "bc", "def")
			c.read(6)
			c.say(strings.Repeat("long ", 1000))
			c.read(5000)
			c.closeWrite()
			c.readAll()
		}},
		script{name: "nothing said", act: func(c *client) {
			c.closeWrite()
			c.readAll()
		}},
		script{name: "closed by peer", act: func(c *client) {
			c.say("hello")
			c.read(5)
			_ = c.Close()
		}},
		script{name: "reset by peer", act: func(c *client) {
			c.say("hello")
			c.read(5)
			c.reset()
		}},
		script{name: "reset with replies unread", act: func(c *client) {
			c.say("hello", "again")
			c.reset()
		}},
		script{name: "slow reader", bulk: true, act: func(c *client) {
			const size = 3 << 20
			var sender sync.WaitGroup
			sender.Go(func() { c.send(strings.Repeat("0123456789abcdef", size/16)) })
			for range 3 * 4 {
				c.read(size / 12)
			}
			sender.Wait()
			c.closeWrite()
			c.readAll()
		}},
	)
}

func TestGreeterIsEqual(t *testing.T) {
	equal(
		t, plain(new(greeter)),
		script{name: "quit", act: func(c *client) {
			c.read(11)
			c.say("hello")
			c.read(5)
			c.say("quit")
			c.readAll()
		}},
		// What OnClose writes reaches a peer that has only shut down its half.
		script{name: "half-close", act: func(c *client) {
			c.read(11)
			c.closeWrite()
			c.readAll()
		}},
		script{name: "closed from outside", act: func(c *client) {
			c.read(11)
			if err := c.conn().Close(); err != nil {
				c.t.Fatal(err)
			}
			c.readAll()
		}},
	)
}

func TestProtocolIsEqual(t *testing.T) {
	big := frame(strings.Repeat("abc", 100_000))
	equal(
		t, plain(new(protocol)),
		script{name: "whole", act: func(c *client) {
			c.say(frame("hello"), frame(""), frame("x"))
			c.read(3*frameHead + 6)
			c.closeWrite()
			c.readAll()
		}},
		script{name: "byte by byte", act: func(c *client) {
			c.say(strings.Split(frame("hello"), "")...)
			c.read(frameHead + 5)
			c.closeWrite()
			c.readAll()
		}},
		script{name: "several and a piece", act: func(c *client) {
			c.say(frame("one")+frame("two")+frame("three")[:8], frame("three")[8:])
			c.read(3*frameHead + 11)
			c.closeWrite()
			c.readAll()
		}},
		script{name: "big", bulk: true, act: func(c *client) {
			c.send(big + big)
			c.read(2 * len(big))
			c.closeWrite()
			c.readAll()
		}},
		script{name: "cut short", act: func(c *client) {
			c.say(frame("hello")[:9])
			c.closeWrite()
			c.readAll()
		}},
		script{name: "wrong magic", act: func(c *client) {
			c.say(frame("fine"), "wrong")
			c.say("!") // now there are six
			c.readAll()
		}},
		script{name: "over the limit", act: func(c *client) {
			c.say("\x13\x14\xff\xff\xff\xff")
			c.readAll()
		}},
	)
}

func TestWebIsEqual(t *testing.T) {
	equal(
		t, plain(new(web)),
		script{name: "keep-alive", act: func(c *client) {
			c.say("GET /10 HTTP/1.1\r\nHost: a\r\n\r\n")
			c.read(48)
			c.say("GET /0 HTTP/1.1\r\nHo", "st: a\r\n\r", "\n")
			c.read(37)
			c.closeWrite()
			c.readAll()
		}},
		script{name: "pipelined", act: func(c *client) {
			c.say("GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\nPOST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhel", "lo")
			c.closeWrite()
			c.readAll()
		}},
		script{name: "large reply", act: func(c *client) {
			c.say("GET /1000000 HTTP/1.1\r\nHost: a\r\n\r\n")
			c.read(1000043)
			c.say("GET /3 HTTP/1.1\r\nConnection: close\r\n\r\n")
			c.readAll()
		}},
		script{name: "large body", bulk: true, act: func(c *client) {
			c.send("POST / HTTP/1.1\r\nContent-Length: 500000\r\n\r\n" + strings.Repeat("body!", 100_000))
			c.read(500042)
			c.closeWrite()
			c.readAll()
		}},
		script{name: "bad request", act: func(c *client) {
			c.say("nonsense\r\n\r\n")
			c.readAll()
		}},
		script{name: "cut short", act: func(c *client) {
			c.say("POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n", "he")
			c.closeWrite()
			c.readAll()
		}},
	)
}

func TestPushIsEqual(t *testing.T) {
	equal(
		t, func(j *journal) gnet.EventHandler { return &push{journal: j} },
		script{name: "to its end", act: func(c *client) {
			c.readAll()
			c.server.await(c.t, "closed:", 1)
		}},
		// gnet's own write of a large piece may be cut short and wait for the
		// reader, so that Close finds bytes unsent: the peer reads late.
		script{name: "late reader", act: func(c *client) {
			c.server.await(c.t, "closed:", 1)
			c.readAll()
		}},
	)
}

func TestReluctantIsEqual(t *testing.T) {
	equal(
		t, plain(new(reluctant)),
		script{name: "left and taken", act: func(c *client) {
			c.say("1", "2345", "6789", "0abcdef")
			c.read(13)
			c.say("ghi", "jklmnopq")
			c.read(11)
			c.closeWrite()
			c.readAll()
		}},
		// As many bytes come as were consumed outside of OnTraffic: they are new.
		script{name: "taken elsewhere", act: func(c *client) {
			c.say("12345")
			taken := make(chan bool)
			err := c.conn().EventLoop().Execute(context.Background(), gnet.RunnableFunc(func(context.Context) error {
				_, _ = c.conn().Next(-1)
				close(taken)
				return nil
			}))
			if err != nil {
				c.t.Fatal(err)
			}
			<-taken
			c.say("67890", "12345")
			c.read(7)
			c.closeWrite()
			c.readAll()
		}},
		script{name: "woken for what is left", act: func(c *client) {
			c.say("12345")
			woken := make(chan error, 1)
			if err := c.conn().Wake(func(_ gnet.Conn, err error) error { woken <- err; return nil }); err != nil {
				c.t.Fatal(err)
			}
			if err := <-woken; err != nil {
				c.t.Fatal(err)
			}
			c.closeWrite()
			c.readAll()
		}},
	)
}

func TestOperatorIsEqual(t *testing.T) {
	// ends has the connection ended by what the line says.
	ends := func(line string) script {
		return script{name: line, act: func(c *client) {
			c.say(line + "\nafter it")
			c.readAll()
		}}
	}
	// goesOn half-closes afterwards; with reply, that many bytes are read before.
	goesOn := func(line string, reply int) script {
		return script{name: line, act: func(c *client) {
			c.say(line + "\nafter it")
			c.read(reply)
			c.closeWrite()
			c.readAll()
		}}
	}
	equal(
		t, func(j *journal) gnet.EventHandler { return &operator{journal: j} },
		ends("close by action"), ends("close"), ends("close by loop"), ends("close with a reset"),
		script{name: "close with callback", act: func(c *client) {
			c.say("close with callback\nafter it")
			c.server.await(c.t, "closed: ", 1)
			c.readAll()
		}},
		goesOn("write", 8), goesOn("read from", 10_000), goesOn("copy", 10), goesOn("read from a broken reader", 4),
		goesOn("write to", 0), goesOn("unsupported", 0), goesOn("options", 0),
		script{name: "execute", act: func(c *client) {
			c.say("execute\nafter it")
			c.server.await(c.t, "executed", 1)
			c.closeWrite()
			c.readAll()
		}},
		// What comes too late is answered, and harms nobody.
		script{name: "used after its end", act: func(c *client) {
			conn := c.conn()
			c.closeWrite()
			c.readAll()
			c.server.await(c.t, "close", 1)
			noted := func(what string) gnet.AsyncCallback {
				return func(conn gnet.Conn, err error) error {
					c.server.note("%s: %s, context %v", what, describe(err), conn.Context())
					return nil
				}
			}
			asked := errs(
				conn.AsyncWrite([]byte("x"), noted("write")), conn.AsyncWritev([][]byte{{'x'}}, noted("writev")),
				conn.AsyncWrite([]byte("x"), nil),
				conn.Wake(noted("wake")), conn.Close(), conn.CloseWithCallback(noted("late close")),
			)
			c.server.await(c.t, "late close", 1)
			c.server.note("asked: %s", asked)
		}},
	)
}
