package catalog

import (
	"os"
	"testing"

	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(victimDir); dir != "" {
		victim(dir) // until it is killed
	}
	nstest.Main(m)
}
