package trial

import (
	"context"
	"fmt"
)

// A Plan is how often and how long the servers of a cell are measured.
type Plan struct {
	Rounds int
	Span   Span
}

// Results is what a contest has found.
type Results struct {
	Windows []Window
	Lives   []Life
	// Failed has a line for each server that could not be measured.
	Failed []string
}

// Contest measures servers side by side in one cell. A server that fails is left out,
// and said so; after each window step is called. An error is the context's.
func (h *Host) Contest(ctx context.Context, servers []Server, c Cell, plan Plan, step func(what string)) (results Results, err error) {
	var field []*Contestant
	defer func() {
		for _, k := range field {
			life, err := k.Leave()
			if err != nil && ctx.Err() == nil {
				results.fail(k.Server, c, err)
			}
			results.Lives = append(results.Lives, life)
		}
	}()
	for place, s := range servers {
		k, err := h.Enter(ctx, s, c, place)
		if ctx.Err() != nil {
			return results, ctx.Err()
		}
		if err != nil {
			results.fail(s, c, err)
			continue
		}
		field = append(field, k)
	}
	err = results.rounds(ctx, &field, c, plan, step)
	return results, err
}

// rounds goes round. A contestant that fails leaves.
func (r *Results) rounds(ctx context.Context, field *[]*Contestant, c Cell, plan Plan, step func(string)) error {
	for round := range plan.Rounds {
		for _, k := range rotate(*field, round) {
			if k.load.ended {
				continue
			}
			w, err := k.Measure(ctx, plan.Span)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil {
				r.fail(k.Server, c, err)
				continue
			}
			w.Round = round
			r.Windows = append(r.Windows, w)
			step(fmt.Sprintf("%v %s", c, k.Server.Name))
		}
	}
	return nil
}

func (r *Results) fail(s Server, c Cell, err error) {
	r.Failed = append(r.Failed, fmt.Sprintf("%s, %v: %v", s.Name, c, err))
}
