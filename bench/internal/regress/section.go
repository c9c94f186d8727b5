package regress

import (
	"fmt"
	"io"

	"github.com/nsreactor/nsreactor/bench/internal/page"
	"github.com/nsreactor/nsreactor/bench/internal/record"
)

// Section writes the newest run's part of the results page.
func Section(w io.Writer, dir string) error {
	name, err := record.Newest(dir, "regress")
	if err != nil {
		return err
	}
	r, err := record.Load[Metric, Result](name)
	if err != nil {
		return err
	}
	page.Head(w, "Regressions", r.Args, r.Machine, r.Seconds)
	page.Text(w, "Ratios and counts only, against a baseline of %d runs on %s, commit %s. A tolerance is %.1f times the distance of the worst of "+
		"those runs from their median, %.0f %% at least; counts have to hold exactly.",
		r.Summary.BaselineRuns, r.Summary.BaselineMachine.CPU, r.Summary.BaselineMachine.Commit, margin, minTolerance*100)
	bad := failures(r.Summary.Lines)
	page.Verdicts(w, []page.Verdict{{
		What: "no figure is worse than the baseline allows", Got: fmt.Sprintf("%d of %d are", bad, len(r.Summary.Lines)), Reached: bad == 0,
	}})
	end := page.Fold(w, "All figures")
	page.Table(w, []string{"figure", "baseline", "now", "change", "limit", "outcome"}, rows(r.Summary.Lines))
	end()
	page.Warnings(w, r.Warnings)
	return nil
}
