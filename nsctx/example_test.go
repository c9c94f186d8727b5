package nsctx_test

import (
	"context"
	"fmt"
	"net"

	"github.com/nsreactor/nsreactor/nsctx"
	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

// lab stands in for what `ip netns add` makes.
func lab(names ...string) *nstest.Lab {
	l, err := nstest.NewLab("")
	if err != nil {
		panic(err)
	}
	for _, name := range names {
		if _, err := l.AddBare(name); err != nil {
			panic(err)
		}
	}
	return l
}

func ExampleNamespace_Do() {
	lab := lab("tenant-a")
	defer lab.Close()

	ns, err := nsctx.ByPath(lab.Path("tenant-a")).Open() // or ByName("tenant-a")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer ns.Close()
	err = ns.Do(func() error {
		links, err := net.Interfaces()
		for _, link := range links {
			fmt.Println(ns.Name(), "has", link.Name)
		}
		return err
	})
	fmt.Println(err)
	// Output:
	// tenant-a has lo
	// <nil>
}

func ExampleThread_Enter() {
	lab := lab("tenant-a")
	defer lab.Close()

	ns, err := nsctx.ByPath(lab.Path("tenant-a")).Open()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer ns.Close()
	err = nsctx.RunLocked(func(t *nsctx.Thread) {
		for range 1000 {
			if err := t.Enter(ns); err != nil {
				fmt.Println(err)
				return
			}
		}
		s := t.Stats()
		fmt.Println(s.Switches, "switch,", s.Avoided, "avoided")
	})
	fmt.Println(err)
	// Output:
	// 1 switch, 999 avoided
	// <nil>
}

func ExampleWatcher_Run() {
	lab := lab("tenant-a")
	defer lab.Close()

	w, err := nsctx.NewWatcher(lab.Dir(), nsctx.WatchOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	err = w.Run(ctx, func(c nsctx.Change) {
		fmt.Printf("%v %q\n", c.Kind, c.Name)
		switch c.Kind {
		case nsctx.Appeared:
			defer c.NS.Close()
		case nsctx.Synced:
			cancel()
		}
	})
	fmt.Println(err)
	// Output:
	// appeared "tenant-a"
	// synced ""
	// <nil>
}

func ExampleNamespace_Track() {
	lab := lab("tenant-a")
	defer lab.Close()

	ns, err := nsctx.ByPath(lab.Path("tenant-a")).Open()
	if err != nil {
		fmt.Println(err)
		return
	}
	release, err := ns.Track()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer release.Close()
	gone, err := release.Gone()
	fmt.Println(gone, err)

	_ = lab.Close() // the name
	_ = ns.Close()  // the last descriptor
	fmt.Println(release.Wait(context.Background()))
	// Output:
	// false <nil>
	// <nil>
}
