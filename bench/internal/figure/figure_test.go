package figure

import (
	"bytes"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// pictures are drawn with what benchmarks may come up with: gaps, zeroes, one point.
func TestPicturesAreDrawnTwiceWithTheirCaption(t *testing.T) {
	var bars Collector
	bars.Group("64x4")
	bars.Bar("a", 1.1, 1, 1.2)
	bars.Group("512x1")
	bars.Bar("b", 2, 2, 2)
	for name, save := range map[string]func(string) error{
		"lines": Lines{
			Title: "T", X: "x", Y: "y", Caption: "machine", LogX: true, LogY: true,
			Series: []Series{{Name: "s", X: []float64{0, 1, 10}, Y: []float64{1, math.NaN(), 3}}, {Name: "one", X: []float64{2}, Y: []float64{1}, Foreign: true}},
		}.Save,
		"bars": Bars{Title: "T", Y: "y", Caption: "machine", Groups: bars.Groups, Series: bars.List(), Reference: 1}.Save,
		"log":  Bars{Title: "T", Y: "y", Caption: "machine", Groups: bars.Groups, Series: bars.List(), LogY: true}.Save,
	} {
		base := filepath.Join(t.TempDir(), name)
		if err := save(base); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		svg, err := os.ReadFile(base + ".svg")
		if err != nil || !strings.Contains(string(svg), "machine") {
			t.Errorf("%s: no caption in the SVG (%v)", name, err)
		}
		raster, err := os.ReadFile(base + ".png")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := png.Decode(bytes.NewReader(raster)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCollectorLeavesGapsWhereASeriesHasNothing(t *testing.T) {
	var c Collector
	c.Group("first")
	c.Bar("a", 1, 1, 1)
	c.Group("second")
	c.Bar("b", 2, 2, 2)
	list := c.List()
	if len(list) != 2 || list[0].Name != "a" || len(list[0].Y) != 2 || !math.IsNaN(list[0].Y[1]) || !math.IsNaN(list[1].Y[0]) || list[1].Y[1] != 2 {
		t.Errorf("got %+v", list)
	}
}
