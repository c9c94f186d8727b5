// Command gonet is an echo server as package net suggests it: a goroutine for each
// connection. Its listeners are opened inside the namespaces; nothing switches later.
package main

import (
	"log"
	"net"

	"github.com/nsreactor/nsreactor/bench/internal/serve"
)

func main() {
	options := serve.Parse()
	ctx := serve.UntilTerminated()
	for _, path := range options.Namespaces {
		listener, err := serve.Listen(path, options.Port)
		if err != nil {
			log.Fatal(err)
		}
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
