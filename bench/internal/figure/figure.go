// Package figure draws what benchmarks have found, as SVG and PNG, in one style.
package figure

import (
	"errors"
	"fmt"
	"image/color"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Width and height of every picture.
const (
	width  = 22 * vg.Centimeter
	height = 13 * vg.Centimeter
)

// colors tells series apart, also for most who are colour-blind (Okabe and Ito, 2008);
// shades of what is left follow.
var colors = []color.RGBA{
	{0x00, 0x72, 0xb2, 0xff},
	{0xd5, 0x5e, 0x00, 0xff},
	{0x00, 0x9e, 0x73, 0xff},
	{0xcc, 0x79, 0xa7, 0xff},
	{0xe6, 0x9f, 0x00, 0xff},
	{0x56, 0xb4, 0xe9, 0xff},
	{0x55, 0x55, 0x55, 0xff},
	{0xaa, 0xaa, 0x00, 0xff},
	{0x88, 0x22, 0x55, 0xff},
	{0x44, 0xaa, 0x99, 0xff},
}

// A Series is a line, or a set of bars, with its name in the legend.
type Series struct {
	Name string
	X, Y []float64
	// Low and High are the ends of error bars; none if empty.
	Low, High []float64
	// Foreign marks figures that were not measured here: they are dashed.
	Foreign bool
}

// Lines is a picture of lines.
type Lines struct {
	Title, X, Y string
	// Caption says where and of what the figures are.
	Caption    string
	LogX, LogY bool
	Series     []Series
}

// Save writes BASE.svg and BASE.png. Points that a logarithmic axis can't show are left
// out.
func (l Lines) Save(base string) error {
	p := newPlot(l.Title, l.Caption)
	p.X.Label.Text, p.Y.Label.Text = l.X, l.Y
	if l.LogX {
		p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, logTicks{}
	}
	if l.LogY {
		logY(p)
	} else {
		p.Y.Min = 0
	}
	p.Add(plotter.NewGrid())
	for i, s := range l.Series {
		if err := l.add(p, i, s); err != nil {
			return fmt.Errorf("%s, %s: %w", l.Title, s.Name, err)
		}
	}
	headroom(p, len(l.Series), l.LogY)
	return save(p, base)
}

func (l Lines) add(p *plot.Plot, i int, s Series) error {
	var points plotter.XYs
	var bars plotter.YErrors
	for j := range s.X {
		if !(drawable(s.X[j], l.LogX) && drawable(s.Y[j], l.LogY)) {
			continue
		}
		points = append(points, plotter.XY{X: s.X[j], Y: s.Y[j]})
		if len(s.Low) > 0 {
			bars = append(bars, struct{ Low, High float64 }{s.Y[j] - s.Low[j], s.High[j] - s.Y[j]})
		}
	}
	if len(points) == 0 {
		return nil
	}
	line, dots, err := plotter.NewLinePoints(points)
	if err != nil {
		return err
	}
	line.Color, line.Width = colors[i%len(colors)], vg.Points(1.6)
	dots.Color, dots.Shape, dots.Radius = line.Color, draw.CircleGlyph{}, vg.Points(2.2)
	if s.Foreign {
		line.Dashes = []vg.Length{vg.Points(5), vg.Points(4)}
		dots.Shape = draw.RingGlyph{}
	}
	p.Add(line, dots)
	p.Legend.Add(s.Name, line, dots)
	if len(bars) == 0 {
		return nil
	}
	whiskers, err := plotter.NewYErrorBars(struct {
		plotter.XYer
		plotter.YErrorer
	}{points, bars})
	if err != nil {
		return err
	}
	whiskers.Color = line.Color
	p.Add(whiskers)
	return nil
}

// Bars is a picture of grouped bars.
type Bars struct {
	Title, Y, Caption string
	Groups            []string
	// Series has one Y for each group; X is not used. NaN leaves a bar out.
	Series []Series
	// Reference is where a line goes across, 0 for none: a ratio's 1.
	Reference float64
	LogY      bool
}

// Save writes BASE.svg and BASE.png.
func (b Bars) Save(base string) error {
	p := newPlot(b.Title, b.Caption)
	p.Y.Label.Text = b.Y
	p.NominalX(b.Groups...)
	if len(b.Groups) > 8 {
		p.X.Tick.Label.Rotation = math.Pi / 6
		p.X.Tick.Label.XAlign, p.X.Tick.Label.YAlign = text.XRight, text.YCenter
	}
	grid := plotter.NewGrid()
	grid.Vertical.Width = 0
	p.Add(grid)
	low := 0.0
	if b.LogY {
		low = b.least() / 2
		logY(p)
	}
	p.Y.Min = low
	for i, s := range b.Series {
		b.add(p, i, s, low)
	}
	if b.Reference > 0 {
		line := plotter.NewFunction(func(float64) float64 { return b.Reference })
		line.Color, line.Width = color.Gray{0x40}, vg.Points(1)
		line.Dashes = []vg.Length{vg.Points(3), vg.Points(3)}
		p.Add(line)
	}
	p.X.Min, p.X.Max = -0.5, float64(len(b.Groups))-0.5
	headroom(p, len(b.Series), b.LogY)
	return save(p, base)
}

// least is the smallest value above 0.
func (b Bars) least() float64 {
	least := math.Inf(1)
	for _, s := range b.Series {
		for _, y := range s.Y {
			if y > 0 {
				least = min(least, y)
			}
		}
	}
	return least
}

// add draws one series' bars, with whiskers, beside those of the others.
func (b Bars) add(p *plot.Plot, i int, s Series, low float64) {
	n := float64(len(b.Series))
	bars := barSet{low: low, half: 0.4 / n, color: colors[i%len(colors)]}
	for group, y := range s.Y {
		if math.IsNaN(y) || y <= low {
			continue
		}
		bar := bar{x: float64(group) + (float64(i)-(n-1)/2)*0.8/n, y: y, low: y, high: y}
		if len(s.Low) > 0 {
			bar.low, bar.high = s.Low[group], s.High[group]
		}
		bars.bars = append(bars.bars, bar)
	}
	p.Add(bars)
	p.Legend.Add(s.Name, bars)
}

func newPlot(title, caption string) *plot.Plot {
	p := plot.New()
	p.Title.Text = title
	p.Title.TextStyle.Font.Size, p.Title.Padding = vg.Points(13), vg.Points(8)
	p.BackgroundColor = color.White
	p.Legend.Top, p.Legend.Left = true, true
	p.Legend.XOffs, p.Legend.YOffs = vg.Points(8), vg.Points(-4)
	p.Legend.TextStyle.Font.Size = vg.Points(9)
	p.X.Padding, p.Y.Padding = 0, 0
	p.Add(captioned{caption, p.X.Label.TextStyle, text.XRight})
	return p
}

// save draws a plot twice.
func save(p *plot.Plot, base string) error {
	return errors.Join(p.Save(width, height, base+".svg"), p.Save(width, height, base+".png"))
}

// drawable reports whether an axis can show a value.
func drawable(v float64, logarithmic bool) bool {
	return !math.IsNaN(v) && !math.IsInf(v, 0) && (v > 0 || !logarithmic)
}

// logTicks labels 1, 2 and 5 of each power of ten, or the powers alone where there are
// many.
type logTicks struct{}

// Ticks implements plot.Ticker.
func (logTicks) Ticks(least, most float64) []plot.Tick {
	var ticks []plot.Tick
	decades := math.Log10(most / least)
	for power := math.Floor(math.Log10(least)); power <= math.Ceil(math.Log10(most)); power++ {
		for _, digit := range []float64{1, 2, 5} {
			value := digit * math.Pow(10, power)
			label := fmt.Sprintf("%.12g", value)
			if digit != 1 && decades > 3 {
				label = ""
			}
			if value >= least*0.999 && value <= most*1.001 {
				ticks = append(ticks, plot.Tick{Value: value, Label: label})
			}
		}
	}
	return ticks
}

// logY makes the vertical axis logarithmic. gonum centres an axis's label at the mean of
// its ends, which is at the very top of a logarithmic one, and shrinks the picture to
// make room there; so the label lies above the axis.
func logY(p *plot.Plot) {
	p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, logTicks{}
	p.Add(captioned{p.Y.Label.Text, p.Y.Label.TextStyle, text.XLeft})
	p.Y.Label.Text = ""
}

// captioned writes a small line above the picture, to its left or its right.
type captioned struct {
	text  string
	style text.Style
	align text.XAlignment
}

// Plot implements plot.Plotter.
func (c captioned) Plot(canvas draw.Canvas, p *plot.Plot) {
	style := c.style
	style.Font = font.From(style.Font, vg.Points(7))
	style.Color = color.Gray{0x60}
	style.Rotation, style.XAlign, style.YAlign = 0, c.align, text.YTop
	x := canvas.Max.X
	if c.align == text.XLeft {
		style.Font, style.Color, x = font.From(style.Font, vg.Points(9)), color.Black, canvas.Min.X
	}
	canvas.FillText(style, vg.Point{X: x, Y: canvas.Max.Y + vg.Points(11)}, c.text)
}
