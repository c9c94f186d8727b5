// Command bench measures nsreactor: against the paper's figures, against the paper's
// other approaches, against today's servers and a floor in C, and against its own past.
//
//	cd bench && go run . COMMAND [flags]
//
// README.md says what each command measures and how. Where to start reading: the
// command's package in internal/, then internal/trial, which most of them stand on.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/nsreactor/nsreactor/bench/internal/approaches"
	"github.com/nsreactor/nsreactor/bench/internal/iscsi"
	"github.com/nsreactor/nsreactor/bench/internal/packets"
	"github.com/nsreactor/nsreactor/bench/internal/parallel"
	"github.com/nsreactor/nsreactor/bench/internal/peers"
	"github.com/nsreactor/nsreactor/bench/internal/regress"
	"github.com/nsreactor/nsreactor/bench/internal/report"
	"github.com/nsreactor/nsreactor/bench/internal/switching"
	"github.com/nsreactor/nsreactor/bench/internal/toolkit"
	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

// commands are what the command line offers.
type commands struct {
	Switch     switching.Command  `cmd:"" help:"The paper's Figures 7 and 8: latency of a namespace switch by number of namespaces."`
	Approaches approaches.Command `cmd:"" help:"The paper's three approaches: a process a namespace, a thread a namespace, nsreactor."`
	Peers      peers.Command      `cmd:"" help:"Today's servers and a floor in C: throughput, CPU a request, latency, memory, accepts."`
	Parallel   parallel.Command   `cmd:"" help:"One hot namespace on a device with several queues: loops against a thread a namespace."`
	Toolkit    toolkit.Command    `cmd:"" help:"What a protocol author builds with, against what else there is: net/http through Engine.Listener, TLS on a loop."`
	Packets    packets.Command    `cmd:"" help:"UDP: packets a CPU second, against loops around package net."`
	Iscsi      iscsi.Command      `cmd:"" help:"examples/iscsi-stub against tgtd: I/Os a second, CPU and system calls an I/O."`
	Tenants    iscsi.Tenants      `cmd:"" help:"examples/iscsi-stub for many tenants with one address against a tgtd for each: memory, threads, CPU."`
	Noise      iscsi.Noise        `cmd:"" help:"What a noisy tenant of examples/iscsi-stub does to a quiet one, with quality of service and without."`
	Regress    regress.Command    `cmd:"" help:"Ratios against a kept baseline; exits 1 on a regression."`
	Report     report.Command     `cmd:"" help:"Makes the page docs/results of the newest results."`
}

func main() {
	// Without root it goes on as the root of a user namespace of its own.
	done, code, err := nstest.Reexec()
	if err != nil {
		log.Fatal(err)
	}
	if done {
		os.Exit(code)
	}
	os.Exit(run())
}

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	var cli commands
	parsed := kong.Parse(&cli, kong.Name("bench"), kong.ShortUsageOnError(), kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Description("Measures nsreactor. Needs gcc and two CPUs that nothing else uses; root, or a user namespace. "+
			"Writes CSV, JSON and pictures into results/."))
	parsed.BindTo(ctx, (*context.Context)(nil))
	if err := parsed.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		return 1
	}
	return 0
}
