package figure

import (
	"math"

	"gonum.org/v1/plot"
)

// lineShare is how much of a picture's height one line of the legend takes.
const lineShare = 0.034

// headroom lifts the top of the vertical axis, so that a legend of so many lines hides
// nothing that is drawn.
func headroom(p *plot.Plot, lines int, logarithmic bool) {
	share := min(lineShare*float64(lines), 0.5)
	if logarithmic {
		p.Y.Max = p.Y.Min * math.Pow(p.Y.Max/p.Y.Min, 1/(1-share))
		return
	}
	p.Y.Max = p.Y.Min + (p.Y.Max-p.Y.Min)/(1-share)
}
