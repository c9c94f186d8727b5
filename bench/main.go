// Command bench measures echo servers against each other and against a floor in C.
//
//	go run . echo [-rounds 5] [-seconds 3] [-shapes 1x64,64x4] [-sizes 64] [-servers c-never,gonet]
//
// README.md says what is measured and how. Where to start reading: plan.go has the
// servers and the shapes, trial.go one measurement, echo.go the order of all of them,
// summary.go what is made of the figures.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("bench: ")
	if len(os.Args) < 2 || os.Args[1] != "echo" {
		fmt.Fprintln(os.Stderr, "usage: go run . echo [flags]; go run . echo -h lists them")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	err := runEcho(ctx, os.Args[2:])
	stop()
	if err != nil {
		log.Fatal(err)
	}
}
