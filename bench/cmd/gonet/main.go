// Command gonet is an echo server as package net suggests it: a goroutine for each
// connection. Its listeners are opened inside the namespaces; nothing switches later.
package main

import (
	"fmt"
	"log"
	"net"

	"github.com/nsreactor/nsreactor/bench/internal/serve"
)

func main() {
	options := serve.Parse()
	ctx := serve.UntilTerminated()
	for _, path := range options.Namespaces {
		listener, err := listen(path, options.Port)
		if err != nil {
			log.Fatal(err)
		}
		go accept(listener, options.BufferSize)
	}
	serve.Ready()
	<-ctx.Done()
}

// listen opens a listener inside the namespace at path.
func listen(path string, port int) (listener net.Listener, err error) {
	err = serve.In(path, func() (err error) {
		listener, err = net.Listen("tcp4", fmt.Sprintf(":%d", port))
		return err
	})
	return listener, err
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

// echo returns what arrives, until the peer closes or fails.
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
