package handlers_test

import (
	"bufio"
	"context"
	"fmt"
	"log"
	"net"
	"strconv"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/handlers"
	"github.com/nsreactor/nsreactor/nsctx"
)

// Echo on a port that the kernel chooses, in the process's own namespace: what
// needs no privilege.
func ExampleEcho() {
	eng, err := engine.New(engine.Config{Loops: 1})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = eng.Shutdown(context.Background()) }()
	if err := eng.Handle("tcp", 0, handlers.Echo{}, engine.AnyNamespace); err != nil {
		log.Fatal(err)
	}
	home, err := eng.Attach(nsctx.Home())
	if err != nil {
		log.Fatal(err)
	}

	conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(home.Port("tcp", 0))))
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintln(conn, "hello")
	reply, err := bufio.NewReader(conn).ReadString('\n')
	fmt.Print(reply, err)
	// Output:
	// hello
	// <nil>
}
