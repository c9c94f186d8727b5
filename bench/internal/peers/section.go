package peers

import (
	"fmt"
	"io"
	"strings"

	"github.com/nsreactor/nsreactor/bench/internal/page"
	"github.com/nsreactor/nsreactor/bench/internal/trial"
)

// Section writes the newest figures' part of the results page.
func Section(w io.Writer, dir string) error {
	used, err := newest(dir)
	if err != nil {
		return err
	}
	fmt.Fprint(w, "\n## Peers\n")
	for _, r := range used.records {
		page.About(w, r.Args, r.Machine, r.Seconds)
	}
	page.Text(w, "One server on one CPU, its load on the other; windows of load go round between servers that are all up and connected, "+
		"ratios are taken within a round, and brackets hold the median's 95 %% bootstrap interval. nsr-http knows the smallest HTTP that is correct, HAProxy all of it. "+
		"gnet has one engine for each namespace, since an engine's listeners are all in one; gnet-enroll is one engine whose connections package net "+
		"has accepted. Versions: %s.", strings.Join(used.records[0].Versions, ", "))
	page.Verdicts(w, used.result.verdicts())
	for _, r := range used.records {
		page.Pictures(w, r.Pictures)
	}
	page.Table(w, overviewHead, used.result.overview())
	for _, t := range used.result.tables() {
		end := page.Fold(w, t.title)
		if t.note != "" {
			page.Text(w, "%s", t.note)
		}
		page.Table(w, t.head, t.rows)
		end()
	}
	for _, r := range used.records {
		page.Warnings(w, r.Warnings)
	}
	return nil
}

var overviewHead = []string{
	"closed loop, CPU a message as a ratio to the C loop", anyMode, namespace, "namespace to any", "c-group", goNet, gnet, gnetOne, "nbio", "netpoll",
}

// overview has a line a cell.
func (r Result) overview() [][]string {
	var rows [][]string
	for _, cells := range byCell(r.summaries()) {
		ratios := map[string]string{}
		for _, s := range cells {
			ratios[s.Server] = interval(s.CPURatio)
		}
		toAny := "–"
		if c := r.find(cellOf(cells[0]), namespace); c != nil {
			toAny = interval(c.ToAny)
		}
		row := []string{cellOf(cells[0]).String(), ratios[anyMode], ratios[namespace], toAny}
		for _, name := range overviewHead[4:] {
			row = append(row, orDash(ratios[name]))
		}
		rows = append(rows, row)
	}
	return rows
}

func orDash(text string) string {
	if text == "" {
		return "–"
	}
	return text
}

// find is one server in one cell of the closed loop, nil if it was not measured.
func (r Result) find(c trial.Cell, server string) *Cell {
	for i := range r.Cells {
		if r.Cells[i].Server == server && cellOf(r.Cells[i].Summary) == c {
			return &r.Cells[i]
		}
	}
	return nil
}

// verdicts compares the figures to what was aimed for.
func (r Result) verdicts() []page.Verdict {
	var all []page.Verdict
	for _, c := range r.Cells {
		all = append(all, c.verdicts()...)
	}
	for _, cells := range byCell(r.Open) {
		all = append(all, openVerdicts(cells)...)
	}
	return append(all, idleVerdicts(r.Idle)...)
}

// The targets of the closed loop.
const (
	mostOfFloor = 1.03
)

// mostOfAny and mostSwitches are what mode namespace may cost, by shape.
var (
	mostOfAny    = map[trial.Shape]float64{{Namespaces: 512, Conns: 20}: 1.03, {Namespaces: 64, Conns: 4}: 1.08}
	mostSwitches = map[trial.Shape]float64{{Namespaces: 512, Conns: 20}: 0.1, {Namespaces: 64, Conns: 4}: 0.3}
)

func (c Cell) verdicts() []page.Verdict {
	var all []page.Verdict
	if c.Server == anyMode && c.CPURatio != nil && c.Size > 1 {
		all = append(all, page.Verdict{
			What: fmt.Sprintf("mode any at most %.2f × the C loop, %v", mostOfFloor, cellOf(c.Summary)),
			Got:  interval(c.CPURatio), Reached: c.CPURatio.Median <= mostOfFloor,
		})
	}
	if most, aimed := mostOfAny[c.Shape]; aimed && c.Server == namespace && c.ToAny != nil {
		all = append(all, page.Verdict{
			What: fmt.Sprintf("mode namespace at most %.2f × mode any, %v", most, cellOf(c.Summary)),
			Got:  interval(c.ToAny), Reached: c.ToAny.Median <= most,
		})
	}
	if most, aimed := mostSwitches[c.Shape]; aimed && c.Server == namespace && c.Batch > 0 {
		all = append(all, page.Verdict{
			What: fmt.Sprintf("mode namespace under %.1f setns an event, %v", most, cellOf(c.Summary)),
			Got:  fmt.Sprintf("%.3f, with %.1f events a wait", c.Switches, c.Batch), Reached: c.Switches < most,
		})
	}
	return all
}

// openVerdicts compares one rate's servers: CPU and context switches at the light one,
// the 99.9 % quantile from half of saturation.
func openVerdicts(cells []trial.Summary) []page.Verdict {
	var own, rivals []trial.Summary
	var c trial.Summary
	for _, s := range cells {
		switch s.Server {
		case floor:
			c = s
		case anyMode, namespace:
			own = append(own, s)
		case goNet, gnet, gnetOne:
			rivals = append(rivals, s)
		}
	}
	var all []page.Verdict
	below := func(s trial.Summary, what, format string, value func(trial.Summary) float64) {
		v := page.Verdict{What: fmt.Sprintf("%s at %.0f messages a second, %v: %s below Go net and both gnets", s.Server, s.Asked, s.Shape, what), Reached: true}
		v.Got = fmt.Sprintf(format, value(s))
		for _, rival := range rivals {
			v.Got += fmt.Sprintf(", %s "+format, rival.Server, value(rival))
			v.Reached = v.Reached && value(s) < value(rival)
		}
		v.Got += fmt.Sprintf("; the C loop "+format, value(c))
		all = append(all, v)
	}
	for _, s := range own {
		if s.Asked == lightRate {
			below(s, "CPU µs a request", "%.1f", func(s trial.Summary) float64 { return s.CPUMicros })
			below(s, "context switches a request", "%.2f", func(s trial.Summary) float64 { return s.Slices })
		} else {
			below(s, "p99.9 µs of the median window", "%.0f", func(s trial.Summary) float64 { return s.TypicalP999 })
		}
	}
	return all
}

// The targets of idle connections.
const (
	mostIdleBytes = 1024
	partOfGoNet   = 20
)

func idleVerdicts(all []Holding) []page.Verdict {
	by := map[string]map[string]Holding{}
	for _, h := range all {
		if by[h.Shape] == nil {
			by[h.Shape] = map[string]Holding{}
		}
		by[h.Shape][h.Server] = h
	}
	var verdicts []page.Verdict
	for _, h := range all {
		if h.Server != anyMode {
			continue
		}
		aim := func(what, got string, reached bool) {
			verdicts = append(verdicts, page.Verdict{What: fmt.Sprintf("%d idle connections (%s): %s", h.Connections, h.Shape, what), Got: got, Reached: reached})
		}
		aim(fmt.Sprintf("at most %d bytes each", mostIdleBytes), fmt.Sprintf("%.0f", h.AfterBytes), h.AfterBytes <= mostIdleBytes)
		for _, name := range []string{gnet, gnetOne} {
			if rival, ok := by[h.Shape][name]; ok {
				aim("memory below that of "+name, fmt.Sprintf("%s MiB, %s %s", mib(h.AfterPSSKB), name, mib(rival.AfterPSSKB)), h.AfterPSSKB < rival.AfterPSSKB)
			}
		}
		if rival, ok := by[h.Shape][goNet]; ok {
			aim(fmt.Sprintf("a %dth of Go net's memory", partOfGoNet), fmt.Sprintf("%s MiB, Go net %s: a %.1fth", mib(h.AfterPSSKB), mib(rival.AfterPSSKB),
				float64(rival.AfterPSSKB)/float64(h.AfterPSSKB)), h.AfterPSSKB*partOfGoNet <= rival.AfterPSSKB)
		}
	}
	return verdicts
}
