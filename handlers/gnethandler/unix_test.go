package gnethandler_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/panjf2000/gnet/v2"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/handlers/gnethandler"
)

// A unix socket's connections are what they are on gnet, addresses and all.
func TestUnixIsEqual(t *testing.T) {
	dir := t.TempDir()
	ends := make(chan error, 2)
	h := &events{
		open: func(c gnet.Conn) ([]byte, gnet.Action) {
			return fmt.Appendf(nil, "%v %v to %v %v, keepalive: %v; ", c.RemoteAddr().Network(), c.RemoteAddr(),
				c.LocalAddr().Network(), c.LocalAddr(), c.SetKeepAlivePeriod(time.Second)), gnet.None
		},
		traffic: func(c gnet.Conn) gnet.Action { b, _ := c.Next(-1); _, _ = c.Write(b); return gnet.None },
		close:   func(_ gnet.Conn, err error) gnet.Action { ends <- err; return gnet.None },
	}
	theirs, ours := filepath.Join(dir, "gnet"), filepath.Join(dir, "here")
	gnetOnUnix(t, theirs, h)
	engineOnUnix(t, ours, h)
	var saw []string
	for _, path := range []string{theirs, ours} {
		reply := strings.ReplaceAll(talk(t, path), path, "PATH")
		saw = append(saw, fmt.Sprint(reply, " ", wait(t, ends)))
	}
	if saw[0] != saw[1] || !strings.Contains(saw[1], "PATH") {
		t.Errorf("on gnet: %s\nhere: %s", saw[0], saw[1])
	}
}

// talk says something, and returns everything that the server says.
func talk(t *testing.T, path string) string {
	t.Helper()
	dialed, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer dialed.Close()
	conn := dialed.(*net.UnixConn)
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	const said = "hello"
	if _, err := io.WriteString(conn, said); err != nil {
		t.Fatal(err)
	}
	var reply strings.Builder
	for b := make([]byte, 256); !strings.HasSuffix(reply.String(), said); {
		n, err := conn.Read(b)
		if err != nil {
			t.Fatalf("after %q: %v", reply.String(), err)
		}
		reply.Write(b[:n])
	}
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(conn)
	return fmt.Sprint(reply.String(), string(rest), err)
}

func gnetOnUnix(t *testing.T, path string, events gnet.EventHandler) {
	t.Helper()
	runGnet(t, "unix://"+path, events, func(run func() error) error { return run() })
}

func engineOnUnix(t *testing.T, path string, events gnet.EventHandler) {
	t.Helper()
	h, err := gnethandler.New(events, gnethandler.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	eng, err := engine.New(engine.Config{Loops: 1, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := eng.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
	if err := eng.HandleUnix(path, h); err != nil {
		t.Fatal(err)
	}
}
