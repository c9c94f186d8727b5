package engine_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/nsctx"
)

// shout answers every line in capitals.
type shout struct{ engine.BaseHandler }

func (shout) OnData(c *engine.Conn) {
	for {
		b, _ := c.Peek(-1)
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			return // comes again when there is more
		}
		if _, err := c.Write(bytes.ToUpper(b[:i+1])); err != nil {
			return // the connection is closing
		}
		c.Discard(i + 1)
	}
}

// A server for the process's own namespace. Watch, in place of Attach, serves
// all namespaces of a directory as they come and go.
func Example() {
	eng, err := engine.New(engine.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		log.Fatal(err)
	}
	if err := eng.Handle("tcp", 0, shout{}, engine.AnyNamespace); err != nil {
		log.Fatal(err)
	}
	ns, err := eng.Attach(nsctx.Home())
	if err != nil {
		log.Fatal(err)
	}

	client, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", ns.Port("tcp", 0)))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Fprintln(client, "hello")
	reply, err := bufio.NewReader(client).ReadString('\n')
	fmt.Print(reply, err, "\n")
	client.Close()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	fmt.Println(eng.Shutdown(ctx))
	// Output:
	// HELLO
	// <nil>
	// <nil>
}

// What runs on package net serves all namespaces through one listener.
func ExampleEngine_Listener() {
	eng, err := engine.New(engine.Config{Loops: 1, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		log.Fatal(err)
	}
	listener, err := eng.Listener(0)
	if err != nil {
		log.Fatal(err)
	}
	srv := &http.Server{
		ConnContext: engine.ConnContext,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ns, _ := engine.NamespaceFromContext(r.Context())
			fmt.Fprintln(w, "hello from", ns.Name())
		}),
	}
	go func() { _ = srv.Serve(listener) }() // ends with the listener
	ns, err := eng.Attach(nsctx.Home())
	if err != nil {
		log.Fatal(err)
	}

	answer, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d", ns.Port("tcp", 0)))
	if err != nil {
		log.Fatal(err)
	}
	_, err = io.Copy(os.Stdout, answer.Body)
	fmt.Println(err)

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	fmt.Println(srv.Shutdown(ctx), eng.Shutdown(ctx))
	http.DefaultClient.CloseIdleConnections()
	// Output:
	// hello from home
	// <nil>
	// <nil> <nil>
}

// Stats says what the loops have done and what the namespaces hold.
func ExampleEngine_Stats() {
	eng, err := engine.New(engine.Config{Loops: 1, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = eng.Shutdown(context.Background()) }()
	if _, err := eng.Attach(nsctx.Home()); err != nil {
		log.Fatal(err)
	}
	stats := eng.Stats()
	for _, ns := range stats.Namespaces {
		fmt.Println(ns.Names, ns.State, ns.Conns, "connections")
	}
	// Output: [home] serving 0 connections
}

// A wrong call says what is wrong, and is one of a few errors.
func ExampleEngine_Handle() {
	eng, err := engine.New(engine.Config{Loops: 1, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = eng.Shutdown(context.Background()) }()
	fmt.Println(eng.Handle("tcp", 70000, shout{}))
	fmt.Println(eng.Handle("sctp", 7000, shout{}))
	// Output:
	// engine: handle: bad handler registration: port 70000 is not within 0 to 65535
	// engine: handle: bad handler registration: network "sctp" is not "tcp"
}
