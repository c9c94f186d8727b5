package gnethandler_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/panjf2000/gnet/v2"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/handlers/gnethandler"
	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

// patience is met by a hang only.
const patience = 30 * time.Second

// The ports of a tenant on which gnet and the engine serve.
const (
	gnetPort   = 7001
	enginePort = 7002
)

// dial connects to a port of the tenant. The connection is closed when the test
// ends, before what serves it.
func dial(t testing.TB, tenant *nstest.Tenant, port int) *net.TCPConn {
	t.Helper()
	client, err := tenant.Dial(t.Context(), "tcp", port)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	if err := client.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return client.(*net.TCPConn)
}

// dialPackets is dial for UDP.
func dialPackets(t testing.TB, tenant *nstest.Tenant, port int) net.Conn {
	t.Helper()
	client, err := tenant.Dial(t.Context(), "udp", port)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	if err := client.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return client
}

// serve has an engine serve the handler on enginePort, TCP and UDP, in every
// tenant of the lab. The handler's OnShutdown is called when the engine has shut down, at the
// end of the test.
func serve(t testing.TB, lab *nstest.Lab, events gnet.EventHandler, cfg gnethandler.Config) *engine.Engine {
	t.Helper()
	return serveWith(t, lab, engine.Config{Loops: 1, CheckThread: true}, events, cfg)
}

func serveWith(t testing.TB, lab *nstest.Lab, ec engine.Config, events gnet.EventHandler, cfg gnethandler.Config) *engine.Engine {
	t.Helper()
	h, err := gnethandler.New(events, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	ec.Logger = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	eng, err := engine.New(ec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := eng.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
	})
	if err := errors.Join(eng.Handle("tcp", enginePort, h), eng.HandlePackets("udp", enginePort, h.Packets())); err != nil {
		t.Fatal(err)
	}
	if err := eng.Watch(lab.Dir()); err != nil {
		t.Fatal(err)
	}
	return eng
}

// booted passes on the gnet.Engine, by which alone a test can stop gnet.
type booted struct {
	gnet.EventHandler
	engine chan gnet.Engine
}

func (b booted) OnBoot(e gnet.Engine) gnet.Action {
	action := b.EventHandler.OnBoot(e)
	b.engine <- e
	return action
}

// serveByGnet has gnet itself serve the handler on gnetPort of the tenant,
// until the test ends. gnet makes its listener on the thread that calls Run,
// which is why that happens inside the namespace. The channel says when Run has
// returned.
func serveByGnet(t testing.TB, network string, tenant *nstest.Tenant, events gnet.EventHandler) <-chan struct{} {
	t.Helper()
	return runGnet(t, fmt.Sprintf("%s://%v:%d", network, tenant.Addr4, gnetPort), events, tenant.NS.Do)
}

// runGnet runs gnet until the test ends, in where do puts it.
func runGnet(t testing.TB, address string, events gnet.EventHandler, do func(func() error) error) <-chan struct{} {
	t.Helper()
	b := booted{events, make(chan gnet.Engine, 1)}
	failed, ended := make(chan error, 1), make(chan struct{})
	go func() {
		defer close(ended)
		failed <- do(func() error {
			return gnet.Run(b, address, gnet.WithNumEventLoop(1), gnet.WithReusePort(true), gnet.WithReuseAddr(true), gnet.WithLogger(gnetLogger{t}))
		})
	}()
	select {
	case eng := <-b.engine:
		t.Cleanup(func() {
			now, cancel := context.WithCancel(context.Background())
			cancel()          // or Stop would look every half second whether it is done
			_ = eng.Stop(now) // the context's error
			if err := <-failed; err != nil {
				t.Errorf("gnet: %v", err)
			}
		})
	case err := <-failed:
		t.Fatalf("gnet did not start: %v", err)
	}
	return ended
}

// gnetLogger keeps gnet from writing to the terminal.
type gnetLogger struct{ t testing.TB }

func (gnetLogger) Debugf(string, ...any) {}
func (gnetLogger) Infof(string, ...any)  {}

func (l gnetLogger) Warnf(format string, args ...any)  { l.t.Logf("gnet: "+format, args...) }
func (l gnetLogger) Errorf(format string, args ...any) { l.t.Logf("gnet: "+format, args...) }
func (l gnetLogger) Fatalf(format string, args ...any) { l.t.Errorf("gnet: "+format, args...) }
