package peers

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/nsreactor/nsreactor/bench/internal/lab"
	"github.com/nsreactor/nsreactor/bench/internal/progress"
	"github.com/nsreactor/nsreactor/bench/internal/record"
	"github.com/nsreactor/nsreactor/bench/internal/trial"
)

// A Holding is what a server holds for connections on which nothing happens.
type Holding struct {
	Server      string  `json:"server"`
	Shape       string  `json:"shape"`
	Connections int     `json:"connections"`
	BarePSSKB   int     `json:"bare_pss_kb"`  // listening, no connections
	OpenPSSKB   int     `json:"open_pss_kb"`  // all open, nothing ever sent
	AfterPSSKB  int     `json:"after_pss_kb"` // after one message on each
	OpenBytes   float64 `json:"open_bytes_per_connection"`
	AfterBytes  float64 `json:"after_bytes_per_connection"`
	Threads     int     `json:"threads"`
	Processes   int     `json:"processes"`
}

// descriptorsApart is how many descriptors a server or a load needs beyond one for each
// connection and two for each namespace: listeners, and an engine's or a loop's own.
const descriptorsApart = 100

// idle opens many connections, looks at the memory, sends one message on each, and
// looks again. The servers run one after the other: memory is not a matter of time.
func (r *run) idle(ctx context.Context) error {
	bar := progress.New(len(r.Idle)*len(r.servers), "idle")
	defer bar.Finish()
	for _, wanted := range r.Idle {
		shape, err := r.idleShape(wanted)
		if err != nil {
			return err
		}
		for _, s := range r.servers {
			held, err := r.hold(ctx, s, trial.Cell{Shape: shape, Size: 64, Depth: 1, Kind: trial.Echo})
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil {
				r.record.Warn("not measured: idle, %s, %v: %v", s.Name, shape, err)
			} else {
				r.record.Summary.Idle = append(r.record.Summary.Idle, held)
				if err := r.saveIdle(); err != nil {
					return err
				}
			}
			bar.Step(s.Name)
		}
	}
	return nil
}

// saveIdle writes a line a server into a file of its own: the record's CSV has windows,
// of which this part has none.
func (r *run) saveIdle() error {
	name := filepath.Join(r.Out, r.record.Base()+"-idle.csv")
	return record.SaveCSV(name, r.record.Machine, r.record.Summary.Idle)
}

// idleShape spreads connections over namespaces, as many as the limit on descriptors
// allows.
func (r *run) idleShape(wanted int) (trial.Shape, error) {
	limit, err := lab.RaiseFileLimit()
	if err != nil {
		return trial.Shape{}, err
	}
	namespaces := min(r.IdleIn, wanted)
	// gnet has six descriptors for each of its engines.
	allowed := limit - 7*namespaces - descriptorsApart
	shape := trial.Shape{Namespaces: namespaces, Conns: max(min(wanted, allowed)/namespaces, 1)}
	if got := shape.Namespaces * shape.Conns; got < wanted {
		r.record.Warn("idle: the hard limit of %d descriptors (RLIMIT_NOFILE) allows %d connections instead of %d", limit, got, wanted)
	}
	return shape, nil
}

// hold measures one server.
func (r *run) hold(ctx context.Context, s trial.Server, c trial.Cell) (held Holding, err error) {
	bare, err := r.bareMemory(ctx, s, c)
	if err != nil {
		return held, err
	}
	k, err := r.host.Enter(ctx, s, c, 0)
	if err != nil {
		return held, err
	}
	defer func() {
		_, leaveErr := k.Leave()
		err = errors.Join(err, leaveErr)
	}()
	open, err := k.Look()
	if err != nil {
		return held, err
	}
	if err := k.Once(ctx); err != nil {
		return held, fmt.Errorf("a message on each: %w", err)
	}
	after, err := k.Look()
	n := c.Shape.Namespaces * c.Shape.Conns
	each := func(m lab.Memory) float64 { return float64(m.PSS-bare.PSS) * 1024 / float64(n) }
	return Holding{
		Server: s.Name, Shape: c.Shape.String(), Connections: n,
		BarePSSKB: bare.PSS, OpenPSSKB: open.Memory.PSS, AfterPSSKB: after.Memory.PSS,
		OpenBytes: each(open.Memory), AfterBytes: each(after.Memory), Threads: after.Threads, Processes: after.Processes,
	}, err
}

// bareMemory is a server's memory when it listens and nobody has come.
func (r *run) bareMemory(ctx context.Context, s trial.Server, c trial.Cell) (lab.Memory, error) {
	process, err := r.host.Serve(ctx, s, c, r.Port)
	if err != nil {
		return lab.Memory{}, err
	}
	pids, err := process.PIDs()
	if err != nil {
		_, stopErr := process.Stop()
		return lab.Memory{}, errors.Join(err, stopErr)
	}
	memory, err := lab.MeasureMemory(pids)
	_, stopErr := process.Stop()
	return memory, errors.Join(err, stopErr)
}
