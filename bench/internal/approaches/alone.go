package approaches

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nsreactor/nsreactor/bench/internal/lab"
	"github.com/nsreactor/nsreactor/bench/internal/stats"
	"github.com/nsreactor/nsreactor/bench/internal/trial"
)

// A Row is a window of load, and what there is to say of the server's life that it
// belongs to.
type Row struct {
	Alone bool `json:"alone"` // no other server was up
	trial.Window
	Life Life `json:"life"`
}

// Life is a server's life as a whole.
type Life struct {
	Started   float64    `json:"start_seconds"` // until it listened everywhere
	Added     float64    `json:"add_seconds"`   // median, to listen in one more namespace; 0 if that was not asked for
	Memory    lab.Memory `json:"memory"`        // with all connections open, after the load
	Processes int        `json:"processes"`
	Threads   int        `json:"threads"`
	Updates   uint64     `json:"updates"`  // that its table counts
	Answered  uint64     `json:"answered"` // requests, as its load counts them
}

func lifeOf(l trial.Life, added float64) Life {
	return Life{
		Started: l.Started, Added: added, Memory: l.Memory, Processes: l.Processes, Threads: l.Threads,
		Updates: l.Counters.Updates, Answered: l.Answered,
	}
}

// alone has each server live a few times while no other does: servers that are the same
// program would share its pages, and look smaller than they are.
func (r *run) alone(ctx context.Context, c trial.Cell) ([]Row, error) {
	var rows []Row
	for pass := range r.Lives {
		for i := range r.servers {
			s := r.servers[(i+pass)%len(r.servers)]
			row, err := r.live(ctx, s, c)
			if ctx.Err() != nil {
				return rows, ctx.Err()
			}
			r.bar.Step(fmt.Sprintf("%v %s alone", c, s.Name))
			if err != nil {
				r.record.Warn("not measured: %s, %v: %v", s.Name, c, err)
				continue
			}
			row.Round = pass
			rows = append(rows, row)
		}
	}
	return rows, nil
}

// live is one server's life: start, load, look, add namespaces, end.
func (r *run) live(ctx context.Context, s trial.Server, c trial.Cell) (row Row, err error) {
	k, err := r.host.Enter(ctx, s, c, 0)
	if err != nil {
		return row, err
	}
	var seen trial.Life
	var added float64
	row = Row{Alone: true}
	if row.Window, err = k.Measure(ctx, r.span(c)); err == nil {
		seen, err = k.Look()
	}
	if err == nil {
		added, err = r.add(ctx, k.Process, c.Shape.Namespaces)
	}
	end, leaveErr := k.Leave()
	seen.Counters = end.Counters // memory and threads are those of before the adding
	row.Life = lifeOf(seen, added)
	return row, errors.Join(err, leaveErr)
}

// add has a server listen in namespaces that it has not seen, one after the other, and
// returns how long one took, in seconds.
func (r *run) add(ctx context.Context, p *trial.Process, present int) (float64, error) {
	var all []float64
	for i := range r.Adds {
		took, err := p.Ask(ctx, "add "+r.host.Spaces.Path(present+i), "added")
		if err != nil {
			return 0, fmt.Errorf("add a namespace: %w", err)
		}
		all = append(all, took.Seconds())
		// What the last one has set off may go on a little; it is not the next one's.
		time.Sleep(10 * time.Millisecond)
	}
	return stats.Median(all), nil
}
