package switching

import (
	"context"
	"errors"
	"fmt"

	"github.com/nsreactor/nsreactor/bench/internal/lab"
	"github.com/nsreactor/nsreactor/bench/internal/progress"
	"github.com/nsreactor/nsreactor/nsctx"
)

// chunk is how many namespaces are made between two looks at the context.
const chunk = 64

// spaces are namespaces as nsctx holds them, shared by all threads as an engine's loops
// share them.
type spaces struct {
	all []*nsctx.Namespace
	fds []int // of all, for bare setns(2)
}

// makeSpaces makes count namespaces. Only this process's descriptors keep them.
func makeSpaces(ctx context.Context, count int) (*spaces, error) {
	s := &spaces{}
	bar := progress.New((count+chunk-1)/chunk, "making namespaces")
	defer bar.Finish()
	for len(s.all) < count {
		if err := errors.Join(ctx.Err(), s.grow(min(chunk, count-len(s.all)))); err != nil {
			s.Close()
			return nil, err
		}
		bar.Step(fmt.Sprintf("%d of %d", len(s.all), count))
	}
	return s, nil
}

func (s *spaces) grow(count int) error {
	made, err := lab.NewNamespaces(count)
	if err != nil {
		return err
	}
	defer made.Close()
	for i := range count {
		ns, err := nsctx.ByFD(made.FD(i)).Open()
		if err != nil {
			return err
		}
		s.all, s.fds = append(s.all, ns), append(s.fds, ns.FD())
	}
	return nil
}

// Close gives the namespaces up.
func (s *spaces) Close() {
	for _, ns := range s.all {
		_ = ns.Close() // close(2) of an nsfs descriptor has nothing to say
	}
	s.all, s.fds = nil, nil
}
