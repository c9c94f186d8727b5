package switching

import "github.com/nsreactor/nsreactor/bench/internal/figure"

// What the paper says of a switch, in microseconds: its Figures 7 and 8 and the text
// around them. After the kernel's patch the time stays the same; before, three numbers
// are given, the last as "over half a second".
const paperAfter = 5.0

var paperBefore = figure.Series{
	Name:    "the paper, before the patch (2014 hardware)",
	X:       []float64{1, 64, 512},
	Y:       []float64{5, 150, 500_000},
	Foreign: true,
}

// paperSeries is the paper's two lines, up to some number of namespaces.
func paperSeries(most float64) []figure.Series {
	before := paperBefore
	before.X, before.Y = nil, nil
	for i, x := range paperBefore.X {
		if x <= most {
			before.X, before.Y = append(before.X, x), append(before.Y, paperBefore.Y[i])
		}
	}
	after := figure.Series{
		Name: "the paper, after the patch (2014 hardware)", X: []float64{1, min(most, 512)}, Y: []float64{paperAfter, paperAfter}, Foreign: true,
	}
	return []figure.Series{before, after}
}
