package poller

import (
	"testing"

	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

// Tests must leave no descriptor and no goroutine behind.
func TestMain(m *testing.M) { nstest.Main(m) }
