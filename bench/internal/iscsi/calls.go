package iscsi

import (
	"context"
	"fmt"

	"github.com/nsreactor/nsreactor/bench/internal/strace"
)

// Calls are the system calls that a server made, an I/O.
type Calls struct {
	Case   string             `json:"case"`
	Server string             `json:"server"`
	Medium string             `json:"medium"`
	Total  float64            `json:"total"`
	Each   map[string]float64 `json:"each"` // by name
}

// countCalls counts the system calls of each server in each case, in runs of their own:
// strace(1) slows what it looks at, and so a client's queue may be fuller than it would be.
func (b *bench) countCalls(ctx context.Context) ([]Calls, error) {
	var all []Calls
	for _, p := range b.pairs() {
		calls, err := b.trace(ctx, p)
		if err != nil {
			return all, fmt.Errorf("%s, %s on %s: %w", p.load.name, p.server.name(), p.disk.medium, err)
		}
		all = append(all, calls)
	}
	return all, nil
}

// trace counts the system calls of one load.
func (b *bench) trace(ctx context.Context, p pair) (Calls, error) {
	var d done
	counts, err := strace.Count(ctx, p.server.pid(), nil, func() (err error) {
		d, err = b.load(ctx, p, max(1, p.load.ios/20))
		return err
	})
	c := Calls{Case: p.load.name, Server: p.server.name(), Medium: p.disk.medium, Each: map[string]float64{}}
	for name, n := range counts {
		c.Each[name] = float64(n) / d.ios
		c.Total += c.Each[name]
	}
	return c, err
}
