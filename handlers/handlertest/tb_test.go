package handlertest

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
)

// fakeTB is a test that may fail without anybody minding.
type fakeTB struct {
	testing.TB // nil: what is not below is not used

	mu       sync.Mutex
	log      strings.Builder
	failed   bool
	cleanups []func()
}

func (f *fakeTB) Helper()           {}
func (f *fakeTB) Name() string      { return "fake" }
func (f *fakeTB) Output() io.Writer { return io.Discard }
func (f *fakeTB) Cleanup(c func())  { f.cleanups = append(f.cleanups, c) }
func (f *fakeTB) Failed() bool      { return f.failed }
func (f *fakeTB) Logf(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fmt.Fprintf(&f.log, format+"\n", args...)
}

func (f *fakeTB) Errorf(format string, args ...any) {
	f.Logf(format, args...)
	f.failed = true
}

func (f *fakeTB) Fatalf(format string, args ...any) {
	f.Errorf(format, args...)
	runtime.Goexit()
}

// fails runs a test that is to fail, and returns what it says.
func fails(t *testing.T, test func(testing.TB)) string {
	t.Helper()
	f := runFake(test)
	if !f.failed {
		t.Error("the test did not fail")
	}
	return f.log.String()
}

func runFake(test func(testing.TB)) *fakeTB {
	f := new(fakeTB)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			for _, cleanup := range slices.Backward(f.cleanups) {
				cleanup()
			}
		}()
		test(f)
	}()
	<-done
	return f
}
