package approaches

import (
	"slices"

	"github.com/nsreactor/nsreactor/bench/internal/stats"
	"github.com/nsreactor/nsreactor/bench/internal/trial"
)

// Result is what a run comes to, cell by cell and there in the order of the servers.
type Result struct {
	Cells []Cell `json:"cells"`
}

// A Cell is one server at one number of namespaces.
type Cell struct {
	Server     string            `json:"server"`
	Namespaces int               `json:"namespaces"`
	Conns      int               `json:"conns"` // in each
	Size       int               `json:"size"`
	Windows    int               `json:"windows"` // side by side
	Lives      int               `json:"lives"`   // alone
	LoadShare  float64           `json:"load_cpu_share"`
	CPUShare   float64           `json:"server_cpu_share"`
	Company    float64           `json:"cpu_in_company_to_alone"` // a check: others that are up should not matter
	Figures    map[string]Figure `json:"figures"`                 // by metric; what was not measured is not there
}

// A Figure is a median, and its ratios to nsreactor's two modes, round by round.
type Figure struct {
	Median      float64         `json:"median"`
	ToAny       *stats.Estimate `json:"to_any,omitempty"`
	ToNamespace *stats.Estimate `json:"to_namespace,omitempty"`
}

// to is the ratio to one of the modes, nil if there is none.
func (f Figure) to(mode string) *stats.Estimate {
	if mode == anyMode {
		return f.ToAny
	}
	return f.ToNamespace
}

// summarize sums up one cell's rows, in the order of servers. Servers without a row are
// left out.
func summarize(servers []trial.Server, rows []Row) []Cell {
	var cells []Cell
	for _, s := range servers {
		own := pick(rows, s.Name)
		if len(own) == 0 {
			continue
		}
		c := Cell{
			Server: s.Name, Namespaces: own[0].Shape.Namespaces, Conns: own[0].Shape.Conns, Size: own[0].Size,
			Windows: len(of(own, false)), Lives: len(of(own, true)), Figures: map[string]Figure{},
		}
		c.fill(own, rows)
		cells = append(cells, c)
	}
	return cells
}

// fill computes the figures of a server's own rows.
func (c *Cell) fill(own, rows []Row) {
	for _, m := range metrics {
		mine := of(own, m.alone)
		if len(mine) == 0 {
			continue
		}
		c.Figures[m.key] = Figure{
			Median: stats.Median(stats.Column(mine, m.value)),
			ToAny:  ratio(mine, rows, anyMode, m), ToNamespace: ratio(mine, rows, namespace, m),
		}
	}
	together, alone := of(own, false), of(own, true)
	if len(together) == 0 {
		return
	}
	c.LoadShare = stats.Median(stats.Column(together, func(r Row) float64 { return r.LoadShare }))
	c.CPUShare = stats.Median(stats.Column(together, func(r Row) float64 { return r.CPUShare }))
	if len(alone) > 0 {
		cpu := func(r Row) float64 { return r.CPUMicros }
		c.Company = stats.Median(stats.Column(together, cpu)) / stats.Median(stats.Column(alone, cpu))
	}
}

// ratio divides round by round. It is nil if no round has both.
func ratio(mine, rows []Row, server string, m metric) *stats.Estimate {
	theirs := of(pick(rows, server), m.alone)
	ratios := stats.Ratios(stats.ByRound(mine, round, m.value), stats.ByRound(theirs, round, m.value))
	if len(ratios) == 0 {
		return nil
	}
	e := stats.Bootstrap(ratios)
	return &e
}

func pick(rows []Row, server string) []Row {
	return slices.DeleteFunc(slices.Clone(rows), func(r Row) bool { return r.Server != server })
}

// of returns the rows of lives alone, or those of windows side by side.
func of(rows []Row, alone bool) []Row {
	return slices.DeleteFunc(slices.Clone(rows), func(r Row) bool { return r.Alone != alone })
}

func round(r Row) int { return r.Round }

// byNamespaces cuts the cells into groups of one number of namespaces each. They come
// so.
func (r Result) byNamespaces() [][]Cell {
	var groups [][]Cell
	for i, c := range r.Cells {
		if i == 0 || c.Namespaces != r.Cells[i-1].Namespaces {
			groups = append(groups, nil)
		}
		groups[len(groups)-1] = append(groups[len(groups)-1], c)
	}
	return groups
}

// find is a server's cell in a group, nil if it was not measured.
func find(group []Cell, server string) *Cell {
	if i := slices.IndexFunc(group, func(c Cell) bool { return c.Server == server }); i >= 0 {
		return &group[i]
	}
	return nil
}
