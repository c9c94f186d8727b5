package engine

import (
	"testing"

	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

// TestMain fails the package when a goroutine, a descriptor, a thread in a
// foreign namespace or a namespace outlives its tests.
func TestMain(m *testing.M) { nstest.Main(m) }
