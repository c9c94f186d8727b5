package initiator_test

import (
	"testing"

	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

func TestMain(m *testing.M) { nstest.Main(m) }
