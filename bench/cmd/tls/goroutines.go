package main

import (
	"crypto/tls"
	"log"
	"net"

	"github.com/nsreactor/nsreactor/bench/internal/serve"
	"github.com/nsreactor/nsreactor/bench/internal/serve/reactor"
)

// onGoroutines serves as package crypto/tls suggests it.
func onGoroutines(cfg *tls.Config, kind string, options *serve.Options) error {
	ctx := serve.UntilTerminated()
	listeners, err := reactor.Listeners(false, options)
	if err != nil {
		return err
	}
	for _, listener := range listeners {
		go accept(tls.NewListener(listener, cfg), kind, options.BufferSize)
	}
	serve.Ready()
	<-ctx.Done()
	return nil
}

// accept starts a goroutine for each connection.
func accept(listener net.Listener, kind string, bufferSize int) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go serveConn(conn, kind, bufferSize)
	}
}

// serveConn goes on until the peer closes or fails.
func serveConn(conn net.Conn, kind string, bufferSize int) {
	defer conn.Close()
	buffer := make([]byte, bufferSize)
	for {
		n := len(buffer)
		var err error
		if kind != down {
			n, err = conn.Read(buffer)
		}
		if err == nil && kind != up {
			_, err = conn.Write(buffer[:n])
		}
		if err != nil {
			return
		}
	}
}
