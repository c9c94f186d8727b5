package trial

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/nsreactor/nsreactor/bench/internal/lab"
)

// TestLoadGoesWhereItsServersAreOrElsewhere looks at what a load is told: the servers'
// own namespaces and loopback, or others and an address.
func TestLoadGoesWhereItsServersAreOrElsewhere(t *testing.T) {
	servers, err := lab.NewNamespaces(2)
	if err != nil {
		t.Fatal(err)
	}
	defer servers.Close()
	loads, err := lab.NewNamespaces(1)
	if err != nil {
		t.Fatal(err)
	}
	defer loads.Close()
	h := &Host{Spaces: servers, dir: t.TempDir()}
	cell := Cell{Shape: Shape{1, 4}, Size: 64, Depth: 2, Kind: Echo}
	for _, test := range []struct {
		remote  *Remote
		path    string
		address []string
	}{
		{nil, servers.Path(0), nil},
		{&Remote{loads, "10.0.0.1"}, loads.Path(0), []string{"-a", "10.0.0.1"}},
	} {
		h.Remote = test.remote
		args, err := h.loadArgs(cell, 7)
		if err != nil {
			t.Fatal(err)
		}
		last := len(args) - 1
		list, err := os.ReadFile(strings.TrimPrefix(args[last], "@"))
		if err != nil || strings.TrimSpace(string(list)) != test.path {
			t.Errorf("%v: the load goes to %q, %v; want %s", args, list, err, test.path)
		}
		if i := slices.Index(args, "-a"); (i >= 0) != (test.address != nil) || (i >= 0 && !slices.Equal(args[i:last], test.address)) {
			t.Errorf("got %q, want %q", args, test.address)
		}
	}
}
