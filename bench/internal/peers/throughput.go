package peers

import (
	"context"
	"slices"

	"github.com/nsreactor/nsreactor/bench/internal/lab"
	"github.com/nsreactor/nsreactor/bench/internal/progress"
	"github.com/nsreactor/nsreactor/bench/internal/stats"
	"github.com/nsreactor/nsreactor/bench/internal/trial"
)

// A Cell is one server in one cell of the closed loop.
type Cell struct {
	trial.Summary
	// ToAny is the CPU a message as a ratio to mode any, of mode namespace alone.
	ToAny *stats.Estimate `json:"to_any,omitempty"`
}

// plan says how a cell is measured. Much that is outstanding takes long to get under
// way: a connection's first answer may take a quarter of a second among ten thousand.
func (r *run) plan(c trial.Cell) trial.Plan {
	conns := c.Shape.Namespaces * c.Shape.Conns
	megabytes := float64(conns*c.Size*c.Depth) / (1 << 20)
	settle := min(0.05+float64(conns)/40_000+megabytes/2000, 1)
	seconds := r.Seconds
	if conns > 4096 {
		seconds *= 2
	}
	if r.Short {
		settle, seconds = 0.05, r.Seconds
	}
	return trial.Plan{Rounds: r.Rounds, Span: trial.Span{Seconds: seconds, Warmup: settle}}
}

// throughput is the closed loop: as many messages as the server takes.
func (r *run) throughput(ctx context.Context) error {
	cells := trial.Cells(r.Shapes, r.Sizes, r.Depths)
	cells = slices.DeleteFunc(cells, r.overflows)
	bar := progress.New(len(cells)*len(r.servers)*r.Rounds, "throughput")
	defer bar.Finish()
	for _, c := range cells {
		summaries, results, err := r.contest(ctx, r.servers, c, r.plan(c), bar)
		for _, s := range summaries {
			cell := Cell{Summary: s}
			if s.Server == namespace {
				cell.ToAny = trial.CPURatio(results, namespace, anyMode)
			}
			r.record.Summary.Cells = append(r.record.Summary.Cells, cell)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// overflows reports whether a cell's outstanding bytes are more than the kernel's TCP may
// hold. All would wait for memory then, and some for so long that their connections end.
func (r *run) overflows(c trial.Cell) bool {
	outstanding := c.Shape.Namespaces * c.Shape.Conns * c.Size * c.Depth
	limit, err := lab.TCPMemory()
	if err != nil || outstanding <= limit {
		return false
	}
	r.record.Warn("not measured: %v: %d MiB outstanding, and TCP may hold %d (tcp_mem, tcp(7))", c, outstanding>>20, limit>>20)
	return true
}

// http is the same with GET, where HAProxy can take part.
func (r *run) http(ctx context.Context) error {
	var cells []trial.Cell
	for _, c := range trial.Cells(r.Shapes, r.Sizes, []int{1}) {
		if c.Size > 1 && c.Size <= 16<<10 || r.Short {
			c.Kind = trial.HTTP
			cells = append(cells, c)
		}
	}
	bar := progress.New(len(cells)*len(r.web)*r.Rounds, "http")
	defer bar.Finish()
	for _, c := range cells {
		summaries, _, err := r.contest(ctx, r.web, c, r.plan(c), bar)
		r.record.Summary.HTTP = append(r.record.Summary.HTTP, summaries...)
		if err != nil {
			return err
		}
	}
	return nil
}

// accept is a connection a message: how many are accepted a second.
func (r *run) accept(ctx context.Context) error {
	shapes := []trial.Shape{{Namespaces: 1, Conns: 16}, {Namespaces: 64, Conns: 1}}
	if r.Short {
		shapes = r.Shapes
	}
	bar := progress.New(len(shapes)*len(r.servers)*r.Rounds, "accept")
	defer bar.Finish()
	for _, shape := range shapes {
		if shape.Namespaces > r.host.Spaces.Len() {
			continue
		}
		c := trial.Cell{Shape: shape, Size: 64, Depth: 1, Kind: trial.Connect}
		plan := trial.Plan{Rounds: r.Rounds, Span: trial.Span{Seconds: r.Seconds, Warmup: 0.05}}
		summaries, _, err := r.contest(ctx, r.servers, c, plan, bar)
		r.record.Summary.Accept = append(r.record.Summary.Accept, summaries...)
		if err != nil {
			return err
		}
	}
	return nil
}
