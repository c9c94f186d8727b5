package regress

import (
	"context"
	"errors"
	"math"

	"github.com/nsreactor/nsreactor/bench/internal/strace"
	"github.com/nsreactor/nsreactor/bench/internal/trial"
)

// counted are the system calls whose number a message is known exactly. A loop may wait
// once or twice for a message, so epoll_wait(2) is not among them.
var counted = []string{"recvfrom", "sendto", "setns", "epoll_ctl", "writev"}

// countCalls counts a server's system calls from outside, with strace(1).
func countCalls(ctx context.Context, host *trial.Host, mode string) (metrics []Metric, err error) {
	c := trial.Cell{Shape: trial.Shape{Namespaces: structureNamespaces, Conns: 1}, Size: 64, Depth: 1, Kind: trial.Echo}
	s := trial.Server{Name: "nsr-" + mode, Program: "nsr", Args: []string{"-mode", mode, "-park", "1h"}}
	server, err := host.Serve(ctx, s, c, structurePort)
	if err != nil {
		return nil, err
	}
	defer func() {
		_, stopErr := server.Stop()
		err = errors.Join(err, stopErr)
	}()
	clients, err := dialAll(host)
	if err != nil {
		return nil, err
	}
	defer closeAll(clients)
	if err := converse(clients, len(clients)); err != nil {
		return nil, err
	}
	pids, err := server.PIDs()
	if err != nil {
		return nil, err
	}
	calls, err := strace.Count(ctx, pids[0], counted, func() error { return converse(clients, structureMessages) })
	if err != nil {
		return nil, err
	}
	for _, name := range counted {
		metrics = append(metrics, exact(mode+": "+name+" a message", each(calls[name])))
	}
	return metrics, nil
}

// each is a count a message, to a hundredth: what follows the last answer may come after
// the counting has ended.
func each(calls int) float64 {
	return math.Round(float64(calls)*100/structureMessages) / 100
}
