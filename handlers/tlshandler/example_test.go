package tlshandler_test

import (
	"context"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/handlers"
	"github.com/nsreactor/nsreactor/handlers/tlshandler"
	"github.com/nsreactor/nsreactor/nsctx"
)

// An echo server behind TLS in every namespace of the machine: one tenant with a
// certificate of its own, all others with another. SIGHUP loads the files again.
func Example() {
	store, err := tlshandler.NewStore(
		tlshandler.Site{Namespaces: "tenant-a", CertFile: "a.pem", KeyFile: "a.key", ClientCAFile: "a-clients.pem"},
		tlshandler.Site{CertFile: "all.pem", KeyFile: "all.key"},
	)
	if err != nil {
		log.Fatal(err)
	}
	eng, err := engine.New(engine.Config{})
	if err != nil {
		log.Fatal(err)
	}
	echo := tlshandler.New(handlers.Echo{}, tlshandler.Config{GetConfig: store.GetConfig})
	if err := eng.Handle("tcp", 7007, echo, engine.AnyNamespace); err != nil {
		log.Fatal(err)
	}
	if err := eng.Watch(nsctx.NamedDir); err != nil {
		log.Fatal(err)
	}
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	go func() {
		for range hup {
			if err := store.Reload(); err != nil {
				log.Print(err) // and go on with what there was
			}
		}
	}()
	log.Fatal(eng.Run(context.Background()))
}
