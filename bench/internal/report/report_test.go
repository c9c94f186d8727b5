package report

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nsreactor/nsreactor/bench/internal/record"
	"github.com/nsreactor/nsreactor/bench/internal/regress"
)

// save makes a record of a run of regress.
func save(t *testing.T, dir, date string, outcome regress.Outcome) {
	t.Helper()
	r := record.New[regress.Metric, regress.Result]("regress", []string{"regress"})
	r.Machine.Date, r.Machine.CPU = date, "a machine"
	r.Summary.Lines = []regress.Line{{Name: "hit", Expected: 1, Value: 1, Limit: 1.1, Outcome: outcome}}
	if err := r.Save(dir); err != nil {
		t.Fatal(err)
	}
}

func TestPageShowsTheNewestAndWhatIsMissing(t *testing.T) {
	from, to := t.TempDir(), filepath.Join(t.TempDir(), "results")
	save(t, from, "2026-01-01T00:00:00Z", "REGRESSED")
	c := Command{From: from, To: to}
	if err := c.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	save(t, from, "2026-01-02T00:00:00Z", "ok")
	if err := c.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(to, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	for _, want := range []string{"a machine", "2026-01-02", "0 of 1 are", "Not measured yet: `cd bench && go run . peers`"} {
		if !strings.Contains(page, want) {
			t.Errorf("%q is not on the page:\n%s", want, page)
		}
	}
	for name, want := range map[string]bool{
		"regress-20260101T000000Z.json": false, "regress-20260102T000000Z.json": true, "regress-20260102T000000Z.csv": true,
	} {
		if _, err := os.Stat(filepath.Join(to, name)); (err == nil) != want {
			t.Errorf("%s: %v; want it there: %v", name, err, want)
		}
	}
}

func TestPageOfNothingIsAnError(t *testing.T) {
	c := Command{From: t.TempDir(), To: t.TempDir()}
	if err := c.Run(context.Background()); !errors.Is(err, record.ErrNone) {
		t.Errorf("got %v, want ErrNone", err)
	}
	if _, err := os.Stat(filepath.Join(c.To, "README.md")); err == nil {
		t.Error("a page was written all the same")
	}
}

func TestACopyWithoutRowsStillMakesAPage(t *testing.T) {
	got, err := withoutRows([]byte(`{"command":"peers","rows":[1,2],"summary":{"a":1}}`))
	if err != nil || strings.Contains(string(got), "rows") || !strings.Contains(string(got), `"a": 1`) {
		t.Errorf("got %s, %v", got, err)
	}
}
