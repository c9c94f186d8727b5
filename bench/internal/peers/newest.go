package peers

import (
	"github.com/nsreactor/nsreactor/bench/internal/record"
	"github.com/nsreactor/nsreactor/bench/internal/trial"
)

// figures are the newest of each part, and the records that they are of.
type figures struct {
	records []*record.Record[trial.Window, Result]
	names   []string
	result  Result
}

// newest puts the newest figures of each part together: a run may have measured some
// parts only, as --parts says.
func newest(dir string) (figures, error) {
	var f figures
	names, err := record.All(dir, "peers")
	if err != nil {
		return f, err
	}
	for _, name := range names {
		r, err := record.Load[trial.Window, Result](name)
		if err != nil {
			return f, err
		}
		if f.result.take(r.Summary) {
			f.records, f.names = append(f.records, r), append(f.names, name)
		}
	}
	if len(f.records) == 0 {
		return f, record.ErrNone
	}
	return f, nil
}

// take takes over what is missing, and reports whether there was something.
func (r *Result) take(older Result) bool {
	taken := fill(&r.Cells, older.Cells)
	taken = fill(&r.HTTP, older.HTTP) || taken
	taken = fill(&r.Open, older.Open) || taken
	taken = fill(&r.Accept, older.Accept) || taken
	return fill(&r.Idle, older.Idle) || taken
}

func fill[T any](part *[]T, older []T) bool {
	if len(*part) > 0 || len(older) == 0 {
		return false
	}
	*part = older
	return true
}

// Used lists the records that Section shows.
func Used(dir string) ([]string, error) {
	f, err := newest(dir)
	return f.names, err
}
