package approaches

import (
	"testing"

	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

// TestMain goes into a user namespace where the caller may not make namespaces, and
// fails where that is not permitted either.
func TestMain(m *testing.M) { nstest.Main(m) }
