package peers

import (
	"context"
	"math"
	"slices"

	"github.com/nsreactor/nsreactor/bench/internal/progress"
	"github.com/nsreactor/nsreactor/bench/internal/trial"
)

// lightRate is one request a millisecond.
const lightRate = 1000

// shares are the rates of the open loop, as shares of the slowest server's saturation:
// what all of them can sustain, so that latency is a server's and not a queue's.
var shares = []float64{0.25, 0.5, 0.75}

// At one request a millisecond a window has to be long for a quantile of 99.9 % to mean
// something. At more it may be short, and there may be more of them.
const (
	lightSeconds = 1.2
	lightRounds  = 3
	openSeconds  = 0.4
)

// latency is the open loop: messages are due at a rate that the server has no say in.
func (r *run) latency(ctx context.Context) error {
	shapes := slices.DeleteFunc(slices.Clone(r.Shapes), func(s trial.Shape) bool { return s.Namespaces*s.Conns > 4096 })
	light := trial.Plan{Rounds: min(r.Rounds, lightRounds), Span: trial.Span{Seconds: lightSeconds, Warmup: 0.1, Rate: lightRate}}
	plan := trial.Plan{Rounds: r.Rounds, Span: trial.Span{Seconds: openSeconds, Warmup: 0.1}}
	if r.Short {
		light.Rounds, light.Span.Seconds, plan.Span.Seconds = 1, r.Seconds, r.Seconds
	}
	perShape := light.Rounds + (len(shares)+1)*plan.Rounds
	bar := progress.New((len(shapes)*perShape+light.Rounds)*len(r.servers), "latency")
	defer bar.Finish()
	one := trial.Cell{Shape: trial.Shape{Namespaces: 1, Conns: 1}, Size: 64, Depth: 1, Kind: trial.Echo}
	if err := r.open(ctx, one, light, bar); err != nil {
		return err
	}
	for _, shape := range shapes {
		c := trial.Cell{Shape: shape, Size: 64, Depth: 1, Kind: trial.Echo}
		if err := r.open(ctx, c, light, bar); err != nil {
			return err
		}
		closed := plan
		closed.Span.Seconds = r.Seconds
		summaries, _, err := r.contest(ctx, r.servers, c, closed, bar)
		if err != nil {
			return err
		}
		for _, rate := range rates(summaries) {
			plan.Span.Rate = rate
			if err := r.open(ctx, c, plan, bar); err != nil {
				return err
			}
		}
	}
	return nil
}

// open measures one rate.
func (r *run) open(ctx context.Context, c trial.Cell, plan trial.Plan, bar *progress.Bar) error {
	summaries, _, err := r.contest(ctx, r.servers, c, plan, bar)
	r.record.Summary.Open = append(r.record.Summary.Open, summaries...)
	return err
}

// rates are the shares of the slowest server's rate, to two digits.
func rates(saturated []trial.Summary) []float64 {
	if len(saturated) == 0 {
		return nil
	}
	var all []float64
	for _, s := range saturated {
		all = append(all, s.Rate)
	}
	slowest := slices.Min(all)
	out := make([]float64, len(shares))
	for i, share := range shares {
		unit := math.Pow(10, math.Floor(math.Log10(slowest*share))-1)
		out[i] = math.Round(slowest*share/unit) * unit
	}
	return out
}
