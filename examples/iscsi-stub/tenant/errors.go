package tenant

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// Error is a mistake in a tenants file. Its text never has a secret's.
type Error struct {
	File string
	// Line and Column count from 1; they are 0 if the mistake is the whole file's.
	Line, Column int
	Text         string
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return e.File + ": " + e.Text
	}
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Column, e.Text)
}

// position is a place in the file that is being read.
type position struct{ line, column int }

// mistakes collects what is wrong with a file.
type mistakes struct {
	file string
	all  []*Error
}

func (m *mistakes) add(at position, format string, args ...any) {
	m.all = append(m.all, &Error{m.file, at.line, at.column, fmt.Sprintf(format, args...)})
}

// err is all of them, in the order of the file.
func (m *mistakes) err() error {
	slices.SortStableFunc(m.all, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	errs := make([]error, len(m.all))
	for i, e := range m.all {
		errs[i] = e
	}
	return errors.Join(errs...)
}
