package figure

import "math"

// A Collector gathers series from figures that come group by group, as they are
// measured. The zero Collector is ready.
type Collector struct {
	Groups []string
	order  []string
	series map[string]*Series
}

// Group begins the next group of bars.
func (c *Collector) Group(name string) { c.Groups = append(c.Groups, name) }

// Bar sets a series' bar in the present group, with the ends of its error bar.
func (c *Collector) Bar(series string, y, low, high float64) {
	s := c.find(series)
	pad(s, len(c.Groups)-1)
	s.Y, s.Low, s.High = append(s.Y, y), append(s.Low, low), append(s.High, high)
}

// Point adds a point to a series of a picture of lines.
func (c *Collector) Point(series string, x, y float64) {
	s := c.find(series)
	s.X, s.Y = append(s.X, x), append(s.Y, y)
}

func (c *Collector) find(name string) *Series {
	if c.series == nil {
		c.series = map[string]*Series{}
	}
	if c.series[name] == nil {
		c.series[name] = &Series{Name: name}
		c.order = append(c.order, name)
	}
	return c.series[name]
}

// pad leaves bars out in groups where a series has nothing to show.
func pad(s *Series, groups int) {
	for len(s.Y) < groups {
		s.Y, s.Low, s.High = append(s.Y, math.NaN()), append(s.Low, math.NaN()), append(s.High, math.NaN())
	}
}

// List is the series in the order in which they were first met.
func (c *Collector) List() []Series {
	all := make([]Series, len(c.order))
	for i, name := range c.order {
		s := c.series[name]
		if len(s.X) == 0 {
			pad(s, len(c.Groups))
		}
		all[i] = *s
	}
	return all
}
