package nstest

// TB is the part of testing.TB that the helpers use. It is an interface of its own
// so that a program can use a Lab without linking package testing.
type TB interface {
	Helper()
	Cleanup(func())
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// New makes a lab in a temporary directory, closed when the test ends.
func New(tb TB) *Lab {
	tb.Helper()
	lab, err := NewLab("")
	if err != nil {
		tb.Fatalf("nstest: %v", err)
	}
	tb.Cleanup(func() {
		if err := lab.Close(); err != nil {
			tb.Errorf("nstest: close lab: %v", err)
		}
	})
	return lab
}

// MustAdd is Add that ends the test on an error.
func (l *Lab) MustAdd(tb TB, name string) *Tenant {
	tb.Helper()
	return must(tb, l.Add, name)
}

// MustAddBare is AddBare that ends the test on an error.
func (l *Lab) MustAddBare(tb TB, name string) *Tenant {
	tb.Helper()
	return must(tb, l.AddBare, name)
}

func must(tb TB, add func(string) (*Tenant, error), name string) *Tenant {
	tb.Helper()
	t, err := add(name)
	if err != nil {
		tb.Fatalf("%v", err)
	}
	return t
}
