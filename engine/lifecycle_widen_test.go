package engine_test

import (
	"testing"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

// The promise: what was detached stays so until somebody attaches it. It
// broke: a Watch of the same directory for other names attached it again.
func TestWideningDoesNotAttachWhatWasDetached(t *testing.T) {
	lab := nstest.New(t)
	a, b := lab.MustAddBare(t, "a"), lab.MustAddBare(t, "b")
	eng := tameEngine(t, engine.Config{Loops: 1})
	must(t, eng.Watch(lab.Dir(), engine.Match("a")))
	must(t, eng.Detach(hanging(t), attached(t, eng, a.NS.ID())))
	must(t, eng.Watch(lab.Dir(), engine.Match("b")))
	attached(t, eng, b.NS.ID())
	if all := eng.Namespaces(); len(all) != 1 {
		t.Errorf("%d attached", len(all))
	}
}
