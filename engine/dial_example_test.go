package engine_test

import (
	"context"
	"fmt"
	"log"
	"net"

	"github.com/nsreactor/nsreactor/engine"
)

// greeting asks a server for its first line.
type greeting struct {
	engine.BaseHandler
	done chan struct{}
}

func (g greeting) OnOpen(c *engine.Conn) { fmt.Println("connected to port", c.Port() == c.Context()) }

func (g greeting) OnData(c *engine.Conn) {
	line, _ := c.Next(c.Buffered())
	fmt.Printf("%s", line)
	c.Close()
}

// OnClose is also what a dial ends with that comes to nothing.
func (g greeting) OnClose(_ *engine.Conn, err error) {
	fmt.Println("closed:", err)
	close(g.done)
}

// A connection to elsewhere, out of the process's own namespace. In a callback it
// is c.Dial, and out of the namespace of c.
func ExampleEngine_Dial() {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	go func() {
		if conn, err := server.Accept(); err == nil {
			fmt.Fprintln(conn, "220 hello")
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
	g := greeting{done: make(chan struct{})}
	port := server.Addr().(*net.TCPAddr).Port
	if _, err := eng.Dial(home, "tcp", server.Addr().String(), g, engine.WithContext(port)); err != nil {
		log.Fatal(err)
	}
	<-g.done
	// Output:
	// connected to port true
	// 220 hello
	// closed: <nil>
}
