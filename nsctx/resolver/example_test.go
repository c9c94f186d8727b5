package resolver_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/nsreactor/nsreactor/nsctx/nstest"
	"github.com/nsreactor/nsreactor/nsctx/resolver"
)

func ExampleResolver_LookupNetIP() {
	// A lab stands in for `ip netns add tenant-a`, and a directory for /etc/netns.
	lab, err := nstest.NewLab("")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer lab.Close()
	tenant, err := lab.AddBare("tenant-a")
	if err != nil {
		fmt.Println(err)
		return
	}
	dir := filepath.Join(lab.Dir(), "etc-netns")
	defer func() { _ = os.RemoveAll(dir) }()
	_ = os.MkdirAll(filepath.Join(dir, "tenant-a"), 0o755)
	_ = os.WriteFile(filepath.Join(dir, "tenant-a", "hosts"), []byte("10.0.0.7 db\nfd00::7 db\n"), 0o644)

	r := resolver.New(resolver.Config{NetnsDir: dir}) // or var r resolver.Resolver, for /etc/netns
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	addrs, err := r.LookupNetIP(ctx, tenant.NS, "tenant-a", "db")
	fmt.Println(addrs, err)

	_, err = r.LookupNetIP(ctx, tenant.NS, "tenant-a", "no..name")
	fmt.Println(err)
	// Output:
	// [fd00::7 10.0.0.7] <nil>
	// resolver: look up "no..name" in tenant-a: not a valid host name: empty label
}
