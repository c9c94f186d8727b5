// Command gonet is an echo server as package net suggests it: a goroutine for each
// connection. Its listeners are opened inside the namespaces; nothing switches later. With
// -bridge there is one instead, nsreactor's over all namespaces.
package main

import (
	"flag"
	"log"
	"net"

	"github.com/nsreactor/nsreactor/bench/internal/serve"
	"github.com/nsreactor/nsreactor/bench/internal/serve/reactor"
)

func main() {
	bridge := flag.Bool("bridge", false, "one engine.Listener instead of a listener in each namespace")
	options := serve.Parse()
	ctx := serve.UntilTerminated()
	listeners, err := reactor.Listeners(*bridge, &options)
	if err != nil {
		log.Fatal(err)
	}
	for _, listener := range listeners {
		go accept(listener, options.BufferSize)
	}
	serve.Ready()
	<-ctx.Done()
}

// accept starts a goroutine for each connection.
func accept(listener net.Listener, bufferSize int) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go echo(conn, bufferSize)
	}
}

// echo returns what arrives, until the peer closes or fails. io.Copy would do the same
// with splice(2) through a pipe, which costs three more descriptors a connection and is
// slower for small messages.
func echo(conn net.Conn, bufferSize int) {
	defer conn.Close()
	buffer := make([]byte, bufferSize)
	for {
		n, err := conn.Read(buffer)
		if err != nil {
			return
		}
		if _, err := conn.Write(buffer[:n]); err != nil {
			return
		}
	}
}
