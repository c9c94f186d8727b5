package nstest_test

import (
	"context"
	"errors"
	"io"
	"os"
	"testing"

	"github.com/nsreactor/nsreactor/nsctx"
	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

func TestTenantsShareAddresses(t *testing.T) {
	lab := nstest.New(t)
	for _, name := range []string{"a", "b"} {
		tenant := lab.MustAdd(t, name)
		for _, network := range []string{"tcp4", "tcp6"} {
			greet(t, tenant, network, name)
		}
	}
}

func TestBareTenantIsReachedFromWithin(t *testing.T) {
	tenant := nstest.New(t).MustAddBare(t, "a")
	greet(t, tenant, "tcp", "a")
	greet(t, tenant, "tcp6", "a")
}

// greet serves one connection in the tenant and reads the greeting from its peer.
func greet(t *testing.T, tenant *nstest.Tenant, network, greeting string) {
	t.Helper()
	listener, err := tenant.Listen(context.Background(), network, 7)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	served := make(chan error, 1)
	go func() {
		conn, err := listener.Accept()
		if err == nil {
			_, err = io.WriteString(conn, greeting)
			err = errors.Join(err, conn.Close())
		}
		served <- err
	}()
	conn, err := tenant.Dial(context.Background(), network, 7)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	got, err := io.ReadAll(conn)
	if err != nil || string(got) != greeting {
		t.Errorf("%s over %s: got %q, %v", tenant.Name, network, got, err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestAliasOutlivesTenant(t *testing.T) {
	lab := nstest.New(t)
	tenant := lab.MustAddBare(t, "a")
	id := tenant.NS.ID()
	if err := lab.Alias("a", "b"); err != nil {
		t.Fatal(err)
	}
	if err := tenant.Delete(); err != nil {
		t.Fatal(err)
	}
	if err := tenant.Delete(); err != nil {
		t.Error("second Delete:", err)
	}
	ns, err := nsctx.ByPath(lab.Path("b")).Open()
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	if ns.ID() != id {
		t.Errorf("alias is %v, was %v", ns.ID(), id)
	}
	if _, err := os.Stat(tenant.Path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("name still there: %v", err)
	}
}

func TestRecreateMakesAnother(t *testing.T) {
	tenant := nstest.New(t).MustAdd(t, "a")
	old := tenant.NS.ID()
	if err := tenant.Recreate(); err != nil {
		t.Fatal(err)
	}
	if tenant.NS.ID() == old {
		t.Errorf("still %v", old)
	}
	greet(t, tenant, "tcp", "again")
}

func TestNameIsTakenOnce(t *testing.T) {
	lab := nstest.New(t)
	lab.MustAddBare(t, "a")
	if _, err := lab.AddBare("a"); !errors.Is(err, os.ErrExist) {
		t.Errorf("got %v", err)
	}
}
