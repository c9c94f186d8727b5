package docs

import (
	"bytes"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/handlers/middleware"
)

func chained(inner engine.Handler, logger *slog.Logger) engine.Handler {
	// snippet middleware
	accessLog := &middleware.AccessLog{Logger: logger}
	proxied := &middleware.ProxyProtocol{Trusted: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/28")}}
	limits := &middleware.Limits{PerNamespace: 10_000, PerPeer: 100}
	timeouts := &middleware.Timeouts{First: 10 * time.Second, Idle: 5 * time.Minute}
	rates := &middleware.RateLimit{Bytes: middleware.Rate{PerSecond: 50 << 20}} // of each namespace
	h := middleware.Chain(inner, accessLog.Wrap, proxied.Wrap, limits.Wrap, timeouts.Wrap, rates.Wrap)
	// end
	return h
}

// snippet own-middleware
// greeting says hello before the handler inside does anything.
type greeting struct{ middleware.Base }

func (g *greeting) OnOpen(c *engine.Conn) {
	_, _ = c.Write([]byte("hello, "))
	g.Base.OnOpen(c)
}

func greet(h engine.Handler) engine.Handler { return &greeting{middleware.Base{Handler: h}} }

// end

func TestMiddleware(t *testing.T) {
	var mu sync.Mutex
	var lines bytes.Buffer
	h := chained(middleware.Chain(shout{}, greet), slog.New(slog.NewTextHandler(writer(func(p []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return lines.Write(p)
	}), nil)))
	eng, lab := serve(t, h)
	ask(t, lab, "you", "hello, YOU")
	ctx, cancel := hanging(t)
	defer cancel()
	must(t, eng.Shutdown(ctx)) // its lines are written by then
	mu.Lock()
	defer mu.Unlock()
	for _, tenant := range []string{"tenant-a", "tenant-b"} {
		if !strings.Contains(lines.String(), tenant) {
			t.Errorf("no line of %s in\n%s", tenant, lines.String())
		}
	}
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }
