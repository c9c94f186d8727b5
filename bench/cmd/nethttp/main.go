// Command nethttp is net/http in many namespaces: on a listener of package net in each,
// or, with -bridge, on one of nsreactor's over all. GET /N is answered with N bytes.
package main

import (
	"bytes"
	"flag"
	"log"
	"net/http"
	"strconv"

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
	srv := &http.Server{Handler: http.HandlerFunc(answer)}
	for _, listener := range listeners {
		go func() { log.Fatal(srv.Serve(listener)) }()
	}
	serve.Ready()
	<-ctx.Done()
}

// body is shared by all answers.
var body = bytes.Repeat([]byte{'x'}, 1<<20)

// answer gives the number of bytes that the path asks for.
func answer(w http.ResponseWriter, r *http.Request) {
	size, err := strconv.Atoi(r.URL.Path[1:])
	if err != nil || size < 0 || size > len(body) {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	w.Header().Set("Content-Length", r.URL.Path[1:])
	_, _ = w.Write(body[:size]) // a client that is gone needs none
}
