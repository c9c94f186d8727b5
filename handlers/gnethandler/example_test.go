package gnethandler_test

import (
	"bufio"
	"context"
	"fmt"
	"log"
	"log/slog"
	"net"

	"github.com/panjf2000/gnet/v2"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/handlers/gnethandler"
	"github.com/nsreactor/nsreactor/nsctx"
)

// upper is a handler as it was written for gnet.
type upper struct{ gnet.BuiltinEventEngine }

func (*upper) OnTraffic(c gnet.Conn) gnet.Action {
	b, _ := c.Next(-1)
	for i, ch := range b {
		if 'a' <= ch && ch <= 'z' {
			b[i] -= 'a' - 'A'
		}
	}
	if _, err := c.Write(b); err != nil {
		return gnet.Close
	}
	return gnet.None
}

// A gnet handler on a port that the kernel chooses, in the process's own
// namespace: what needs no privilege. Watch, in place of Attach, serves all
// namespaces of a directory.
func ExampleNew() {
	ctx, cancel := context.WithCancel(context.Background())
	h, err := gnethandler.New(new(upper), gnethandler.Config{Shutdown: cancel})
	if err != nil {
		log.Fatal(err)
	}
	defer h.Close() // OnShutdown
	eng, err := engine.New(engine.Config{Loops: 1, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		log.Fatal(err)
	}
	if err := eng.Handle("tcp", 0, h, engine.AnyNamespace); err != nil {
		log.Fatal(err)
	}
	home, err := eng.Attach(nsctx.Home())
	if err != nil {
		log.Fatal(err)
	}

	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", home.Port("tcp", 0)))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Fprintln(conn, "hello")
	reply, err := bufio.NewReader(conn).ReadString('\n')
	fmt.Print(reply, err, "\n")
	conn.Close()

	cancel()
	fmt.Println(eng.Run(ctx))
	// Output:
	// HELLO
	// <nil>
	// <nil>
}
