// Package serve is what the servers under measurement have in common: their arguments,
// their way to say that they are ready, and their end.
//
// Of all that, only Messages runs while requests are served.
package serve

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/nsreactor/nsreactor/bench/internal/lab"
)

// Options are the arguments that every server takes, and those that some take.
type Options struct {
	Port       int      // to listen on, in each namespace
	BufferSize int      // of one read
	Namespaces []string // paths

	Messages Messages // what WithMessages asks for
	Control  bool     // what WithControl asks for
}

// A Flag is something that only some servers take.
type Flag func(*Options)

// WithMessages defines -size and -work.
func WithMessages(o *Options) {
	flag.IntVar(&o.Messages.Size, "size", 0, "bytes of a message; 0: whatever one read brings is one")
	flag.Float64Var(&o.Messages.micros, "work", 0, "microseconds of CPU time to compute for each message")
}

// WithControl defines -control.
func WithControl(o *Options) {
	flag.BoolVar(&o.Control, "control", false, "read lines from stdin: add PATH")
}

// Parse reads the command line, together with the flags that the caller has defined
// before. It ends the program if the line makes no sense, and lifts the limit on
// descriptors.
func Parse(extra ...Flag) Options {
	var options Options
	flag.IntVar(&options.Port, "p", 0, "port to listen on in each namespace")
	flag.IntVar(&options.BufferSize, "b", 4096, "bytes to read at once")
	for _, define := range extra {
		define(&options)
	}
	flag.Usage = usage
	flag.Parse()

	namespaces, err := ExpandPaths(flag.Args())
	if err != nil {
		log.Fatal(err)
	}
	options.Namespaces = namespaces
	if options.Port <= 0 || options.BufferSize <= 0 || len(namespaces) == 0 || !options.Messages.valid() {
		usage()
		os.Exit(2)
	}
	if _, err := lab.RaiseFileLimit(); err != nil {
		log.Fatal(err)
	}
	options.Messages.prepare()
	return options
}

func usage() {
	fmt.Fprintf(os.Stderr, "usage: %s -p PORT [flags] NETNS_PATH|@FILE...\n", os.Args[0])
	flag.PrintDefaults()
}

// Listen opens a listener of package net inside the namespace at path, on all its IPv4
// addresses.
func Listen(path string, port int) (listener net.Listener, err error) {
	err = In(path, func() (err error) {
		listener, err = net.Listen("tcp4", fmt.Sprintf(":%d", port))
		return err
	})
	return listener, err
}

// Ready tells the harness that every namespace is listened in.
func Ready() {
	fmt.Fprintln(os.Stderr, "ready")
}

// UntilTerminated returns a context that ends with SIGTERM or SIGINT.
func UntilTerminated() context.Context {
	ctx, _ := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	return ctx
}

// PrintCounters prints a server's counters as the line of JSON that the harness looks
// for at a server's end.
func PrintCounters(counters any) {
	if err := json.NewEncoder(os.Stdout).Encode(counters); err != nil {
		log.Fatal(err)
	}
}
