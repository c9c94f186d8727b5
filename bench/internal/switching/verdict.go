package switching

import (
	"fmt"

	"github.com/nsreactor/nsreactor/bench/internal/page"
	"github.com/nsreactor/nsreactor/bench/internal/record"
)

// What figures are held against. The paper's claim is that a switch takes as long among
// many namespaces as with one, and it gives 5 µs; nsctx's is that it adds next to
// nothing to setns(2), and that being there already is free.
const (
	flatWithin = 1.20 // of the time at one namespace
	missWithin = 1.05 // of bare setns(2)
	hitWithin  = 2.0  // nanoseconds
	noisyFrom  = 0.15 // of the median, between a point's quartiles
)

// verdicts compares what the paper's figures show: one thread in the order of the
// namespaces, at 512 and at the most; and the worst of all points.
func verdicts(r *record.Record[Row, Summary]) []page.Verdict {
	lines := tableLines(r)
	if len(lines) == 0 {
		return nil
	}
	var all []page.Verdict
	last := most(r.Rows)
	for _, l := range lines {
		if l.Threads == lines[0].Threads && l.Order == Sequential && (l.Namespaces == 512 || l.Namespaces == last) && l.Namespaces > 1 {
			all = append(all, flat(l))
		}
	}
	return append(all, worstMiss(lines), worstHit(lines), belowPaper(lines))
}

func flat(l tableLine) page.Verdict {
	return page.Verdict{
		What:    fmt.Sprintf("at %d namespaces a switch takes at most %.2f of the time it takes at one", l.Namespaces, flatWithin),
		Got:     fmt.Sprintf("%s, bare setns(2) %s", interval(l.MissFlat), interval(l.SetnsFlat)),
		Reached: l.SetnsFlat.Median <= flatWithin && l.MissFlat.Median <= flatWithin,
	}
}

// greatest is the line with the greatest value.
func greatest(lines []tableLine, value func(tableLine) float64) tableLine {
	worst := lines[0]
	for _, l := range lines {
		if value(l) > value(worst) {
			worst = l
		}
	}
	return worst
}

func worstMiss(lines []tableLine) page.Verdict {
	l := greatest(lines, func(l tableLine) float64 { return l.MissRatio.Median })
	return page.Verdict{
		What:    fmt.Sprintf("Enter on a miss takes at most %.2f of bare setns(2)", missWithin),
		Got:     fmt.Sprintf("%s, at worst, with %s", interval(l.MissRatio), l.where()),
		Reached: l.MissRatio.Median <= missWithin,
	}
}

func worstHit(lines []tableLine) page.Verdict {
	l := greatest(lines, func(l tableLine) float64 { return l.rows[Hit].Mean })
	return page.Verdict{
		What:    fmt.Sprintf("Enter on a hit takes at most %.0f ns", hitWithin),
		Got:     fmt.Sprintf("%.2f ns, at worst, with %s, where an empty call takes %.2f ns", l.rows[Hit].Mean, l.where(), l.rows[Call].Mean),
		Reached: l.rows[Hit].Mean <= hitWithin,
	}
}

func belowPaper(lines []tableLine) page.Verdict {
	l := greatest(lines, func(l tableLine) float64 { return l.rows[Miss].Mean })
	return page.Verdict{
		What:    fmt.Sprintf("Enter on a miss takes at most the %.0f µs that the paper gives for its hardware", paperAfter),
		Got:     fmt.Sprintf("%.2f µs, the greatest mean, with %s", l.rows[Miss].Mean/1000, l.where()),
		Reached: l.rows[Miss].Mean <= paperAfter*1000,
	}
}

// where names a point.
func (p Point) where() string {
	return fmt.Sprintf("%d namespace%s, %s, %d thread%s", p.Namespaces, plural(p.Namespaces), p.Order, p.Threads, plural(p.Threads))
}

// doubts lists what speaks against a run's figures.
func doubts(s Summary) []string {
	noisy, worst := 0, Point{}
	for _, p := range s.Points {
		if p.Spread > noisyFrom {
			noisy++
		}
		if p.Spread > worst.Spread {
			worst = p
		}
	}
	if noisy == 0 {
		return nil
	}
	return []string{fmt.Sprintf("noisy: bare setns(2) varies by more than %.0f %% between the quartiles of its visits at %d of %d points, most (%.0f %%) at %s",
		noisyFrom*100, noisy, len(s.Points), worst.Spread*100, worst.where())}
}
