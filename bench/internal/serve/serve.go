// Package serve is what the servers under measurement have in common: their arguments,
// their way to say that they are ready, and their end.
//
// None of it runs while requests are served.
package serve

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// Options are the arguments that every server takes.
type Options struct {
	Port       int      // to listen on, in each namespace
	BufferSize int      // of one read
	Namespaces []string // paths
}

// Parse reads the command line, together with the flags that the caller has defined
// before. It ends the program if the line makes no sense, and lifts the limit on
// descriptors.
func Parse() Options {
	var options Options
	flag.IntVar(&options.Port, "p", 0, "port to listen on in each namespace")
	flag.IntVar(&options.BufferSize, "b", 4096, "bytes to read at once")
	flag.Usage = usage
	flag.Parse()

	namespaces, err := ExpandPaths(flag.Args())
	if err != nil {
		log.Fatal(err)
	}
	options.Namespaces = namespaces
	if options.Port <= 0 || options.BufferSize <= 0 || len(namespaces) == 0 {
		usage()
		os.Exit(2)
	}
	if err := RaiseFileLimit(); err != nil {
		log.Fatal(err)
	}
	return options
}

func usage() {
	fmt.Fprintf(os.Stderr, "usage: %s -p PORT [flags] NETNS_PATH|@FILE...\n", os.Args[0])
	flag.PrintDefaults()
}

// ExpandPaths replaces each @file by the lines of that file.
func ExpandPaths(args []string) ([]string, error) {
	var paths []string
	for _, arg := range args {
		file, isList := strings.CutPrefix(arg, "@")
		if !isList {
			paths = append(paths, arg)
			continue
		}
		lines, err := readLines(file)
		if err != nil {
			return nil, err
		}
		paths = append(paths, lines...)
	}
	return paths, nil
}

// readLines returns the lines of a file that are not empty.
func readLines(name string) ([]string, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var lines []string
	scanner := bufio.NewScanner(file)
	for scanner.Scan() {
		if line := strings.TrimSpace(scanner.Text()); line != "" {
			lines = append(lines, line)
		}
	}
	return lines, scanner.Err()
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
