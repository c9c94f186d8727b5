package middleware_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/handlers"
	"github.com/nsreactor/nsreactor/handlers/middleware"
	"github.com/nsreactor/nsreactor/metrics"
	"github.com/nsreactor/nsreactor/nsctx"
)

// An echo server that logs, limits and times out, and shows what it has done. The home
// namespace needs no privilege; eng.Watch(nsctx.NamedDir) is for all of a machine.
func Example() {
	access := &middleware.AccessLog{Logger: slog.New(slog.NewJSONHandler(os.Stderr, nil))}
	limits := &middleware.Limits{PerNamespace: 10_000, PerPeer: 100}
	times := &middleware.Timeouts{Idle: 5 * time.Minute, First: 10 * time.Second}
	rates := &middleware.RateLimit{Bytes: middleware.Rate{PerSecond: 10 << 20}}
	echo := middleware.Chain(handlers.Echo{}, access.Wrap, limits.Wrap, times.Wrap, rates.Wrap)

	prometheus.MustRegister(metrics.NewHandlerCollector("echo", access, limits, times, rates))
	eng, err := engine.New(engine.Config{Loops: 1})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = eng.Shutdown(context.Background()) }()
	if err := eng.Handle("tcp", 0, echo, engine.AnyNamespace); err != nil {
		log.Fatal(err)
	}
	home, err := eng.Attach(nsctx.Home())
	if err != nil {
		log.Fatal(err)
	}

	conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(home.Port("tcp", 0))))
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintln(conn, "hello")
	reply, err := bufio.NewReader(conn).ReadString('\n')
	fmt.Print(reply, err, "\n", limits.Stats().Open, " open")
	// Output:
	// hello
	// <nil>
	// 1 open
}

// A middleware of one's own greets every connection.
func ExampleBase() {
	greet := func(h engine.Handler) engine.Handler { return &greeting{middleware.Base{Handler: h}} }
	_ = middleware.Chain(handlers.Echo{}, greet)

	// where greeting is
	//
	//	type greeting struct{ middleware.Base }
	//
	//	func (g *greeting) OnOpen(c *engine.Conn) {
	//		_, _ = c.Write([]byte("hello "))
	//		g.Base.OnOpen(c)
	//	}
}

// A client is told that it was not its fault.
func ExampleRecover() {
	recovers := &middleware.Recover{Hook: func(c *engine.Conn, value any, stack []byte) bool {
		slog.Error("panic", "peer", c.RemoteAddr(), "value", value, "stack", string(stack))
		_, _ = c.Write([]byte("500 internal error\r\n"))
		c.CloseWith(errors.New("internal error"))
		return true
	}}
	_ = recovers.Wrap(handlers.Echo{})
}

// Errors all, of the rest one in a hundred, with what the handler knows.
func ExampleAccessLog() {
	access := &middleware.AccessLog{Every: 100}
	_ = access.Wrap(hooks{data: func(c *engine.Conn) {
		user, _ := c.Next(-1)
		middleware.Annotate(c, slog.String("user", string(user)))
	}})
}

// Ten connections of an address, or of an IPv6 site with its /48; the eleventh is told so.
func ExampleLimits() {
	limits := &middleware.Limits{PerPeer: 10, IPv6Bits: 48, Reply: []byte("421 too many connections\r\n")}
	_ = limits.Wrap(handlers.Echo{})
}

// A login that takes several messages has ten seconds in all.
func ExampleEstablished() {
	times := &middleware.Timeouts{First: 10 * time.Second, Explicit: true}
	_ = times.Wrap(hooks{data: func(c *engine.Conn) {
		if line, _ := c.Next(-1); string(line) == "login\r\n" {
			middleware.Established(c)
		}
	}})
}

// A thousand messages a second for a namespace, and of them a hundred for one peer.
func ExampleRateLimit() {
	peers := &middleware.RateLimit{Messages: middleware.Rate{PerSecond: 100}, PerPeer: true}
	all := &middleware.RateLimit{Messages: middleware.Rate{PerSecond: 1000, Burst: 100}}
	_ = middleware.Chain(handlers.Echo{}, peers.Wrap, all.Wrap)
}

// Load balancers declare their clients; whoever comes directly may not pretend to be one.
func ExampleProxyProtocol() {
	proxy := &middleware.ProxyProtocol{Trusted: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")}}
	limits := &middleware.Limits{PerPeer: 10} // by the declared address
	_ = middleware.Chain(hooks{open: func(c *engine.Conn) {
		fmt.Println("from", middleware.ClientAddr(c), "by way of", c.RemoteAddr())
	}}, proxy.Wrap, limits.Wrap)
}

// What one tenant's connections say, for as long as one looks.
func ExampleTap() {
	tap := &middleware.Tap{Writer: os.Stderr, Hex: true, MaxBytes: 4 << 10, Match: func(c *engine.Conn) bool {
		return c.Namespace().Name() == "tenant-a"
	}}
	_ = tap.Wrap(handlers.Echo{})
}
