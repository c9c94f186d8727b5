package docs

import (
	"context"
	"log"
	"os/signal"
	"syscall"

	"github.com/nsreactor/nsreactor/engine"
)

// Example is compiled and not run: it serves what is in /run/netns.
func Example() {
	// snippet main
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	eng, err := engine.New(engine.Config{}) // a loop a CPU; every field has a default
	if err != nil {
		log.Fatal(err)
	}
	if err := eng.Handle("tcp", 7000, shout{}); err != nil {
		log.Fatal(err)
	}
	if err := eng.Watch("/run/netns"); err != nil { // every named namespace, now and later
		log.Fatal(err)
	}
	if err := eng.Run(ctx); err != nil { // until SIGTERM, then a graceful drain
		log.Print(err)
	}
	// end
}
