package figure

import (
	"math"
	"testing"

	"gonum.org/v1/plot"
)

// TestHeadroomLeavesTheLegendItsShare: the old top has to be below the legend, on either
// kind of axis.
func TestHeadroomLeavesTheLegendItsShare(t *testing.T) {
	const lines = 5
	for name, logarithmic := range map[string]bool{"linear": false, "logarithmic": true} {
		p := plot.New()
		p.Y.Min, p.Y.Max = 1, 100
		headroom(p, lines, logarithmic)
		height := (100 - p.Y.Min) / (p.Y.Max - p.Y.Min)
		if logarithmic {
			height = math.Log(100/p.Y.Min) / math.Log(p.Y.Max/p.Y.Min)
		}
		if want := 1 - lines*lineShare; math.Abs(height-want) > 1e-9 {
			t.Errorf("%s: what is drawn ends at %.3f of the height, want %.3f", name, height, want)
		}
	}
}
