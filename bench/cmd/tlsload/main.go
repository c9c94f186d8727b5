// Command tlsload is c/load.c for TLS: the same arguments, the same lines on stdin and
// stdout, but always a closed loop with one message outstanding on a connection. Its
// kinds are tls-echo, tls-up (a message is written, and done when it is) and tls-down (read).
package main

import (
	"bufio"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"strings"
	"sync"

	"github.com/nsreactor/nsreactor/bench/internal/lab"
	"github.com/nsreactor/nsreactor/bench/internal/serve"
)

// options are the arguments.
type options struct {
	kind        string
	port, conns int
	size        int
	paths       []string
}

func main() {
	log.SetFlags(0)
	o := parse()
	conns, err := o.connect()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("connected", len(conns))
	l := newLoad(o, conns)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		if err := l.obey(lines.Text()); err != nil {
			log.Fatal(err)
		}
	}
}

func parse() options {
	var o options
	flag.StringVar(&o.kind, "k", "tls-echo", "tls-echo, tls-up or tls-down")
	flag.IntVar(&o.port, "p", 0, "port")
	flag.IntVar(&o.conns, "c", 1, "connections in each namespace")
	flag.IntVar(&o.size, "s", 64, "bytes of a message")
	flag.Int("d", 1, "ignored")
	flag.Bool("y", false, "ignored")
	flag.Parse()
	paths, err := serve.ExpandPaths(flag.Args())
	if err != nil {
		log.Fatal(err)
	}
	o.paths = paths
	return o
}

// handshakes is how many are under way at once.
const handshakes = 16

// connect connects in each namespace, and shakes hands.
func (o *options) connect() ([]*tls.Conn, error) {
	if _, err := lab.RaiseFileLimit(); err != nil {
		return nil, err
	}
	conns := make([]*tls.Conn, len(o.paths)*o.conns)
	errs := make([]error, len(conns))
	places := make(chan struct{}, handshakes)
	var all sync.WaitGroup
	for i := range conns {
		places <- struct{}{}
		all.Go(func() {
			conns[i], errs[i] = o.dial(o.paths[i%len(o.paths)])
			<-places
		})
	}
	all.Wait()
	return conns, errors.Join(errs...)
}

func (o *options) dial(path string) (*tls.Conn, error) {
	var raw net.Conn
	err := serve.In(path, func() (err error) {
		raw, err = net.Dial("tcp4", fmt.Sprintf("127.0.0.1:%d", o.port))
		return err
	})
	if err != nil {
		return nil, err
	}
	conn := tls.Client(raw, &tls.Config{InsecureSkipVerify: true})
	return conn, conn.Handshake()
}

// obey does what a line says.
func (l *load) obey(line string) error {
	word, rest, _ := strings.Cut(line, " ")
	switch word {
	case "watch":
		return l.watch(strings.Fields(rest))
	case "once":
		l.start(func() bool { return false })
		fmt.Println("done")
		return l.wait()
	case "run":
		var seconds, warmup, rate float64
		if _, err := fmt.Sscan(rest, &seconds, &warmup, &rate); err != nil || rate != 0 {
			return fmt.Errorf("want run SECONDS WARMUP 0, got %q: %w", line, err)
		}
		return l.run(seconds, warmup)
	}
	return fmt.Errorf("want run, watch or once, got %q", line)
}
