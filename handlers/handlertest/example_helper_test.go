package handlertest_test

import (
	"io"
	"log"
	"testing"
)

// exampleTB is what an example has for a testing.TB.
type exampleTB struct {
	testing.TB
	cleanups []func()
}

func (*exampleTB) Helper()                           {}
func (*exampleTB) Output() io.Writer                 { return io.Discard }
func (*exampleTB) Errorf(format string, args ...any) { log.Printf(format, args...) }
func (*exampleTB) Fatalf(format string, args ...any) { log.Panicf(format, args...) }
func (t *exampleTB) Cleanup(f func())                { t.cleanups = append(t.cleanups, f) }

func example(f func(testing.TB)) {
	t := new(exampleTB)
	f(t)
	for _, f := range t.cleanups {
		f()
	}
}
