package docs

import (
	"bytes"
	"context"
	"io"
	"testing"
	"time"

	"github.com/panjf2000/gnet/v2"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/handlers/gnethandler"
)

// snippet gnet
func serveGnet(ctx context.Context, eng *engine.Engine, server gnet.EventHandler) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	h, err := gnethandler.New(server, gnethandler.Config{
		Ticker:   true, // call OnTick
		Shutdown: stop, // what the action gnet.Shutdown does
	})
	if err != nil {
		return err
	}
	defer h.Close() // calls OnShutdown
	if err := eng.Handle("tcp", 7000, h); err != nil {
		return err
	}
	return eng.Run(ctx)
}

// end

// gnetServer is a handler as gnet's users have them.
type gnetServer struct {
	gnet.BuiltinEventEngine
	ticked, ended chan bool
}

func (s *gnetServer) OnTraffic(c gnet.Conn) gnet.Action {
	b, _ := c.Next(-1)
	if string(b) == "quit" {
		return gnet.Shutdown
	}
	_, _ = c.Write(bytes.ToUpper(b))
	return gnet.None
}

func (s *gnetServer) OnTick() (time.Duration, gnet.Action) {
	select {
	case s.ticked <- true:
	default:
	}
	return time.Millisecond, gnet.None
}

func (s *gnetServer) OnShutdown(gnet.Engine) { close(s.ended) }

// served7000 waits until port 7000 is served in all namespaces.
func served7000(t *testing.T, eng *engine.Engine) {
	t.Helper()
	for _, ns := range eng.Namespaces() {
		for deadline := time.Now().Add(patience); ns.Port("tcp", 7000) == 0; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: port 7000 is not served", ns.Name())
			}
		}
	}
}

// The server ticks before its port is served, which is why the test waits for both.
func TestGnet(t *testing.T) {
	eng, lab := start(t)
	must(t, eng.Watch(lab.Dir()))
	server := &gnetServer{ticked: make(chan bool), ended: make(chan bool)}
	served := make(chan error, 1)
	go func() { served <- serveGnet(t.Context(), eng, server) }()
	<-server.ticked
	served7000(t, eng)
	ask(t, lab, "hello", "HELLO")
	conn := dial(t, lab, "tenant-a")
	if _, err := conn.Write([]byte("quit")); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(conn); len(got) > 0 || err != nil {
		t.Errorf("quit was answered by %q, %v", got, err)
	}
	_ = conn.Close()
	must(t, <-served)
	<-server.ended
}
