package peers

import (
	"errors"
	"fmt"
	"slices"

	"github.com/nsreactor/nsreactor/bench/internal/figure"
	"github.com/nsreactor/nsreactor/bench/internal/record"
	"github.com/nsreactor/nsreactor/bench/internal/trial"
)

// draw returns what draws the pictures of what was measured.
func (r Result) draw(m record.Machine) func(base string) ([]string, error) {
	return func(base string) ([]string, error) {
		var names []string
		var errs []error
		add := func(suffix string, save func(base string) error) {
			errs = append(errs, save(base+"-"+suffix))
			names = append(names, base+"-"+suffix)
		}
		for _, size := range sizesOf(r.Cells) {
			add(fmt.Sprintf("cpu-%d", size), r.cpuPicture(size, m.String()).Save)
		}
		if len(r.HTTP) > 0 {
			add("http", httpPicture(r.HTTP, m.String()).Save)
		}
		for _, shape := range shapesOf(r.Open) {
			add("latency-"+shape.String(), latencyPicture(r.Open, shape, m.String()).Save)
		}
		if len(r.Idle) > 0 {
			add("idle", idlePicture(r.Idle, m.String()).Save)
		}
		return names, errors.Join(errs...)
	}
}

func sizesOf(cells []Cell) []int {
	var sizes []int
	for _, c := range cells {
		if !slices.Contains(sizes, c.Size) {
			sizes = append(sizes, c.Size)
		}
	}
	return sizes
}

// shapesOf lists the shapes with rates enough for a line.
func shapesOf(open []trial.Summary) []trial.Shape {
	rates := map[trial.Shape]map[float64]bool{}
	var shapes []trial.Shape
	for _, s := range open {
		if rates[s.Shape] == nil {
			rates[s.Shape] = map[float64]bool{}
			shapes = append(shapes, s.Shape)
		}
		rates[s.Shape][s.Asked] = true
	}
	return slices.DeleteFunc(shapes, func(s trial.Shape) bool { return len(rates[s]) < 2 })
}

// cpuPicture is CPU a message as a ratio to the floor, of messages of one size.
func (r Result) cpuPicture(size int, caption string) figure.Bars {
	p := figure.Bars{
		Title: fmt.Sprintf("Server CPU a message of %d bytes, as a ratio to the C loop", size), Y: "ratio, less is better",
		Caption: caption, Reference: 1,
	}
	var bars figure.Collector
	for _, cells := range byCell(r.summaries()) {
		if cells[0].Size != size {
			continue
		}
		bars.Group(fmt.Sprintf("%v, depth %d", cells[0].Shape, cells[0].Depth))
		for _, s := range cells {
			if s.Server != floor && s.CPURatio != nil {
				bars.Bar(s.Server, s.CPURatio.Median, s.CPURatio.Low, s.CPURatio.High)
			}
		}
	}
	p.Groups, p.Series = bars.Groups, bars.List()
	return p
}

func httpPicture(all []trial.Summary, caption string) figure.Bars {
	var bars figure.Collector
	for _, cells := range byCell(all) {
		bars.Group(fmt.Sprintf("%v, %d bytes", cells[0].Shape, cells[0].Size))
		for _, s := range cells {
			bars.Bar(s.Server, s.Rate/1000, s.Rate/1000, s.Rate/1000)
		}
	}
	return figure.Bars{
		Title: "HTTP: requests a second", Y: "thousands a second", Caption: caption, Groups: bars.Groups, Series: bars.List(),
	}
}

// latencyPicture is the 99.9 % quantile by rate.
func latencyPicture(all []trial.Summary, shape trial.Shape, caption string) figure.Lines {
	var lines figure.Collector
	for _, s := range all {
		if s.Shape == shape {
			lines.Point(s.Server, s.Asked, s.TypicalP999)
		}
	}
	return figure.Lines{
		Title: fmt.Sprintf("p99.9 of the median window, from when a message was due, %v connections, 64 bytes", shape), X: "messages a second", Y: "µs",
		Caption: caption, LogX: true, LogY: true, Series: lines.List(),
	}
}

func idlePicture(all []Holding, caption string) figure.Bars {
	var bars figure.Collector
	last := ""
	for _, h := range all {
		if h.Shape != last {
			last = h.Shape
			bars.Group(fmt.Sprintf("%d connections (%s)", h.Connections, h.Shape))
		}
		mib := float64(h.AfterPSSKB) / 1024
		bars.Bar(h.Server, mib, mib, mib)
	}
	return figure.Bars{
		Title: "Memory of idle connections, after one message on each", Y: "MiB (PSS)", Caption: caption, LogY: true,
		Groups: bars.Groups, Series: bars.List(),
	}
}
