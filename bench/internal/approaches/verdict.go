package approaches

import (
	"fmt"
	"strings"

	"github.com/nsreactor/nsreactor/bench/internal/page"
	"github.com/nsreactor/nsreactor/bench/internal/stats"
)

// A side says how a rival compares.
type side int

const (
	even  side = iota // no more than chance tells them apart
	worse             // the rival is
	better
)

// compare looks at a ratio of a rival's figure to ours: it is better or worse if the
// whole interval says so.
func compare(e stats.Estimate, more bool) side {
	switch {
	case e.Low > 1 && more, e.High < 1 && !more:
		return better
	case e.High < 1 && more, e.Low > 1 && !more:
		return worse
	}
	return even
}

// verdicts hold the figures against the paper's argument, that its approach 3 beats
// the other two, and against what nsreactor's modes are for.
func (r Result) verdicts() []page.Verdict {
	var all []page.Verdict
	for _, mode := range []string{anyMode, namespace} {
		for _, rival := range []string{forked, threaded, locked} {
			all = append(all, r.duel(mode, rival)...)
		}
	}
	return append(all, append(r.cost(), r.duel(namespace, always)...)...)
}

// cost is what it costs to have handlers in the right namespace: where nsreactor's
// default is worse than its cheapest mode.
func (r Result) cost() []page.Verdict {
	var all []page.Verdict
	var free []string
	for _, m := range metrics {
		s := r.standing(anyMode, namespace, m)
		switch {
		case m.phrase == "" || s.cells == 0:
		case len(s.worse) > 0:
			all = append(all, page.Verdict{
				What: fmt.Sprintf("%s is worse than %s in %s, as a ratio", namespace, anyMode, m.phrase), Got: places(s.worse),
			})
		default:
			free = append(free, m.phrase)
		}
	}
	if len(free) > 0 {
		all = append(all, page.Verdict{What: fmt.Sprintf("%s is nowhere worse than %s", namespace, anyMode), Got: strings.Join(free, ", "), Reached: true})
	}
	return all
}

// duel has a line for each metric in which the rival is better somewhere, and one for
// all the others.
func (r Result) duel(mode, rival string) []page.Verdict {
	var all []page.Verdict
	var won, tied []string
	for _, m := range metrics {
		s := r.standing(mode, rival, m)
		switch {
		case m.phrase == "" || s.cells == 0:
		case len(s.better) > 0:
			all = append(all, page.Verdict{
				What: fmt.Sprintf("%s is better than %s in %s, as a ratio", rival, mode, m.phrase), Got: places(s.better),
			})
		case len(s.worse) > 0:
			won = append(won, fmt.Sprintf("%s %s", m.phrase, s.span()))
		default:
			tied = append(tied, m.phrase)
		}
	}
	if len(won) > 0 {
		all = append(all, page.Verdict{What: fmt.Sprintf("%s is somewhere worse than %s and nowhere better, as ratios", rival, mode), Got: strings.Join(won, ", "), Reached: true})
	}
	if len(tied) > 0 {
		all = append(all, page.Verdict{What: fmt.Sprintf("%s and %s can't be told apart", rival, mode), Got: strings.Join(tied, ", "), Reached: true})
	}
	return all
}

// A standing is how a rival compares in one metric, over all numbers of namespaces.
type standing struct {
	cells         int
	better, worse []string // where, and by how much
	least, most   float64  // of the ratios
}

func (r Result) standing(mode, rival string, m metric) standing {
	var s standing
	for _, group := range r.byNamespaces() {
		c := find(group, rival)
		if c == nil {
			continue
		}
		e := c.Figures[m.key].to(mode)
		if e == nil {
			continue
		}
		if s.cells == 0 {
			s.least, s.most = e.Median, e.Median
		}
		s.cells++
		s.least, s.most = min(s.least, e.Median), max(s.most, e.Median)
		where := fmt.Sprintf("%s with %d", interval(e), c.Namespaces)
		switch compare(*e, m.more) {
		case better:
			s.better = append(s.better, where)
		case worse:
			s.worse = append(s.worse, where)
		}
	}
	return s
}

// span is the range of the ratios.
func (s standing) span() string {
	if digits(s.least) == digits(s.most) {
		return digits(s.most)
	}
	return digits(s.least) + "–" + digits(s.most)
}

// places writes where something is so.
func places(list []string) string {
	text := strings.Join(list, ", ") + " namespace"
	if !strings.HasSuffix(text, " with 1 namespace") {
		text += "s"
	}
	return text
}
