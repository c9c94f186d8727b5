package engine

import (
	"testing"

	"github.com/nsreactor/nsreactor/nsctx"
)

// Home is there to reach out from, without its ports, until it is attached.
func TestHomeIsBareUntilAttached(t *testing.T) {
	s := startBare(t, Config{})
	unitMust(t, s.Detach(t.Context(), s.home))
	unitMust(t, s.Handle("tcp", 0, hooks{}))
	home, err := s.Home()
	unitMust(t, err)
	if again, err := s.Home(); err != nil || again != home {
		t.Errorf("a second Home is %p, %v, not %p", again, err, home)
	}
	if n := len(s.stats().Listeners); n != 0 || home.State() != StateServing {
		t.Errorf("home has %d listeners and is %v", n, home.State())
	}
	attached, err := s.Attach(nsctx.Home())
	unitMust(t, err)
	if attached != home || home.Port("tcp", 0) == 0 {
		t.Errorf("attached %p, not %p, with port %d", attached, home, home.Port("tcp", 0))
	}
	unitMust(t, s.Detach(t.Context(), home))
	if next, err := s.Home(); err != nil || next == home || next.Port("tcp", 0) != 0 {
		t.Errorf("after Detach: %v", err)
	}
}
