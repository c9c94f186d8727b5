package iscsi

import (
	"fmt"
	"io"
	"time"

	"github.com/nsreactor/nsreactor/bench/internal/page"
	"github.com/nsreactor/nsreactor/bench/internal/record"
	"github.com/nsreactor/nsreactor/bench/internal/stats"
)

// hear makes medians of each scene, in their order.
func hear(rows []Hearing) []Hearing {
	groups := map[string][]Hearing{}
	var order []string
	for _, h := range rows {
		if groups[h.Scene] == nil {
			order = append(order, h.Scene)
		}
		groups[h.Scene] = append(groups[h.Scene], h)
	}
	var all []Hearing
	for _, name := range order {
		median := func(value func(Hearing) float64) float64 { return stats.Median(stats.Column(groups[name], value)) }
		span := func(value func(Hearing) time.Duration) time.Duration {
			return time.Duration(median(func(h Hearing) float64 { return float64(value(h)) }))
		}
		all = append(all, Hearing{
			Scene: name,
			IOPS:  median(func(h Hearing) float64 { return h.IOPS }),
			P50:   span(func(h Hearing) time.Duration { return h.P50 }),
			P99:   span(func(h Hearing) time.Duration { return h.P99 }),
			P999:  span(func(h Hearing) time.Duration { return h.P999 }),
			Noise: median(func(h Hearing) float64 { return h.Noise }),
			Share: median(func(h Hearing) float64 { return h.Share }),
		})
	}
	return all
}

// verdicts hold what was heard against what was promised.
func (c *Noise) verdicts(all []Hearing) []page.Verdict {
	var verdicts []page.Verdict
	for _, h := range all {
		switch h.Scene {
		case noisyMax:
			verdicts = append(verdicts, page.Verdict{
				What: fmt.Sprintf("a maximum of %d MiB/s holds", c.Max), Got: fmt.Sprintf("%.0f", h.Noise), Reached: h.Noise <= 1.03*float64(c.Max),
			})
		case quietMin:
			verdicts = append(verdicts, page.Verdict{
				What: fmt.Sprintf("a minimum of %d I/Os a second is met", c.Min), Got: fmt.Sprintf("%.0f", h.IOPS), Reached: h.IOPS >= 0.95*float64(c.Min),
			})
		}
	}
	return verdicts
}

// section writes the results page's part.
func (c *Noise) section(w io.Writer, r *record.Record[Hearing, []Hearing]) {
	page.Head(w, "A noisy neighbour", r.Args, r.Machine, r.Seconds)
	page.Text(w, "Two tenants with the same address, one loop, memory volumes. The quiet one reads 4 KiB at QD 1, with the initiator of this repository; the noisy one is %d iscsi-perf at QD %d, "+
		"which read %d KiB each. Where there is quality of service, the noisy one has a maximum of %d MiB/s, or the quiet one a minimum of %d I/Os a second. Medians of %d rounds of %d s.",
		noisyClients, noisyDepth, noisyBlock>>10, c.Max, c.Min, c.Rounds, c.Seconds)
	page.Verdicts(w, c.verdicts(r.Summary))
	var rows [][]string
	millis := func(d time.Duration) string { return fmt.Sprintf("%.2f", d.Seconds()*1e3) }
	for _, h := range r.Summary {
		noise := "–"
		if h.Noise > 0 {
			noise = fmt.Sprintf("%.0f", h.Noise)
		}
		rows = append(rows, []string{h.Scene, fmt.Sprintf("%.0f", h.IOPS), millis(h.P50), millis(h.P99), millis(h.P999), noise, fmt.Sprintf("%.2f", h.Share)})
	}
	page.Table(w, []string{"the quiet one", "I/Os a second", "p50, ms", "p99, ms", "p99.9, ms", "noisy, MiB/s", "server CPU"}, rows)
	page.Warnings(w, r.Warnings)
}
