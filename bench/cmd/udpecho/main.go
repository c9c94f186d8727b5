// Command udpecho sends datagrams back, in one of several ways. It says its port on a line, and
// ends with its input.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"os"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/handlers"
	"github.com/nsreactor/nsreactor/nsctx"
)

// servers are the ways. Each starts one, and says its port.
var servers = map[string]func() (int, error){
	"nsr-any":       func() (int, error) { return reactor(engine.AnyNamespace) },
	"nsr-namespace": func() (int, error) { return reactor() },
	"gonet":         func() (int, error) { return listen(readFrom) },
	"gonet-netip":   func() (int, error) { return listen(readFromAddrPort) },
}

func main() {
	server := flag.String("server", "nsr-any", "which")
	flag.Parse()
	start := servers[*server]
	if start == nil {
		log.Fatalf("there is no server %q", *server)
	}
	port, err := start()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(port)
	_, _ = io.Copy(io.Discard, os.Stdin) // its end is all that is waited for
}

// reactor is nsreactor with one loop. It ends with the process.
func reactor(options ...engine.HandleOption) (int, error) {
	eng, err := engine.New(engine.Config{Loops: 1})
	if err != nil {
		return 0, err
	}
	if err := eng.HandlePackets("udp", 0, handlers.PacketEcho{}, options...); err != nil {
		return 0, err
	}
	home, err := eng.Attach(nsctx.Home())
	if err != nil {
		return 0, err
	}
	go func() { log.Fatal(eng.Run(context.Background())) }()
	return home.Port("udp", 0), nil
}

// listen is package net, in a loop as its documentation suggests it.
func listen(loop func(*net.UDPConn) error) (int, error) {
	conn, err := net.ListenUDP("udp", nil)
	if err != nil {
		return 0, err
	}
	go func() { log.Fatal(loop(conn)) }()
	return conn.LocalAddr().(*net.UDPAddr).Port, nil
}

func readFrom(conn *net.UDPConn) error {
	buffer := make([]byte, 65535)
	for {
		n, addr, err := conn.ReadFrom(buffer)
		if err == nil {
			_, err = conn.WriteTo(buffer[:n], addr)
		}
		if err != nil {
			return err
		}
	}
}

// readFromAddrPort is the same without an allocation a datagram.
func readFromAddrPort(conn *net.UDPConn) error {
	buffer := make([]byte, 65535)
	for {
		n, addr, err := conn.ReadFromUDPAddrPort(buffer)
		if err == nil {
			_, err = conn.WriteToUDPAddrPort(buffer[:n], addr)
		}
		if err != nil {
			return err
		}
	}
}
