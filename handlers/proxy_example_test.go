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

// A port of every namespace leads to a backend in the process's own.
func ExampleProxy() {
	backend, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer backend.Close()
	go func() {
		if conn, err := backend.Accept(); err == nil {
			line, _ := bufio.NewReader(conn).ReadString('\n')
			fmt.Fprintf(conn, "you said %s", line)
			_ = conn.Close()
		}
	}()

	eng, err := engine.New(engine.Config{Loops: 1})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = eng.Shutdown(context.Background()) }()
	home, err := eng.Home()
	if err != nil {
		log.Fatal(err)
	}
	proxy := handlers.Proxy{Address: backend.Addr().String(), In: home}
	if err := eng.Handle("tcp", 0, proxy, engine.AnyNamespace); err != nil {
		log.Fatal(err)
	}
	tenant, err := eng.Attach(nsctx.Home()) // nsctx.ByName("tenant-a"), with the right to
	if err != nil {
		log.Fatal(err)
	}

	conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(tenant.Port("tcp", 0))))
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintln(conn, "hello")
	reply, err := bufio.NewReader(conn).ReadString('\n')
	fmt.Print(reply, err)
	// Output:
	// you said hello
	// <nil>
}
