package figure

import (
	"image/color"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// barSet draws one series' bars. gonum's own bar chart has a place for every group,
// also where there is nothing to show, and does not start at a logarithm's foot.
type barSet struct {
	bars  []bar
	low   float64 // where they stand
	half  float64 // half a bar's width, in groups
	color color.Color
}

type bar struct{ x, y, low, high float64 }

// Plot implements plot.Plotter.
func (s barSet) Plot(canvas draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&canvas)
	whisker := draw.LineStyle{Color: color.Gray{0x30}, Width: vg.Points(0.8)}
	for _, b := range s.bars {
		left, right := x(b.x-s.half*0.92), x(b.x+s.half*0.92)
		canvas.FillPolygon(s.color, []vg.Point{{X: left, Y: y(s.low)}, {X: left, Y: y(b.y)}, {X: right, Y: y(b.y)}, {X: right, Y: y(s.low)}})
		if b.high > b.low {
			canvas.StrokeLine2(whisker, x(b.x), y(max(b.low, s.low)), x(b.x), y(b.high))
		}
	}
}

// DataRange implements plot.DataRanger.
func (s barSet) DataRange() (xmin, xmax, ymin, ymax float64) {
	xmin, xmax, ymin, ymax = 0, 0, s.low, s.low
	for _, b := range s.bars {
		xmin, xmax, ymax = min(xmin, b.x-s.half), max(xmax, b.x+s.half), max(ymax, b.y, b.high)
	}
	return xmin, xmax, ymin, ymax * 1.02
}

// Thumbnail implements plot.Thumbnailer.
func (s barSet) Thumbnail(canvas *draw.Canvas) {
	canvas.FillPolygon(s.color, []vg.Point{canvas.Min, {X: canvas.Min.X, Y: canvas.Max.Y}, canvas.Max, {X: canvas.Max.X, Y: canvas.Min.Y}})
}
