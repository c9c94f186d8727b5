package peers

import (
	"errors"
	"testing"

	"github.com/nsreactor/nsreactor/bench/internal/record"
	"github.com/nsreactor/nsreactor/bench/internal/trial"
)

func TestNewestTakesEachPartFromTheNewestRecordThatHasIt(t *testing.T) {
	dir := t.TempDir()
	if _, err := newest(dir); !errors.Is(err, record.ErrNone) {
		t.Errorf("no record: got %v", err)
	}
	one := func(server string) trial.Summary {
		return trial.Summary{Server: server, Shape: trial.Shape{Namespaces: 1, Conns: 1}}
	}
	save := func(date string, r Result) {
		t.Helper()
		saved := record.Record[trial.Window, Result]{Command: "peers", Machine: record.Machine{Date: date}, Summary: r}
		if err := saved.Save(dir); err != nil {
			t.Fatal(err)
		}
	}
	save("2026-01-01T00:00:00Z", Result{Cells: []Cell{{Summary: one("old")}}, Idle: []Holding{{Server: "old"}}})
	save("2026-01-02T00:00:00Z", Result{Accept: []trial.Summary{one("older")}})
	save("2026-01-03T00:00:00Z", Result{Idle: []Holding{{Server: "new"}}, Accept: []trial.Summary{one("newer")}})
	f, err := newest(dir)
	if err != nil || len(f.result.Cells) != 1 || f.result.Idle[0].Server != "new" || f.result.Accept[0].Server != "newer" {
		t.Errorf("got %+v, %v", f.result, err)
	}
	if used, err := Used(dir); err != nil || len(used) != 2 {
		t.Errorf("used %q, %v; want two records, since all of the second is older", used, err)
	}
}
