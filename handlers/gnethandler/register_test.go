package gnethandler_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/panjf2000/gnet/v2"
	gneterrors "github.com/panjf2000/gnet/v2/pkg/errors"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/handlers/gnethandler"
	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

// registered is what a handler saw of a connection that Register made.
type registered struct {
	context       any
	local, remote net.Addr
	keepAlive     error
	namespace     string
}

// loopOf serves a tenant and returns the loop of a connection to it, and what
// the connections see that Register makes on it.
func loopOf(t *testing.T) (gnet.EventLoop, *nstest.Tenant, <-chan registered) {
	t.Helper()
	lab := nstest.New(t)
	tenant := lab.MustAdd(t, "a")
	conns, opened := make(chan gnet.Conn, 1), make(chan registered, 1)
	serve(t, lab, &events{
		open: func(c gnet.Conn) ([]byte, gnet.Action) {
			if c.Context() == nil {
				conns <- c
				return nil, gnet.None
			}
			opened <- registered{c.Context(), c.LocalAddr(), c.RemoteAddr(), c.SetKeepAlivePeriod(1e9), gnethandler.Namespace(c).Name()}
			return []byte("I have called"), gnet.None
		},
	}, gnethandler.Config{})
	dial(t, tenant, enginePort)
	return wait(t, conns).EventLoop(), tenant, opened
}

// Register connects from the namespace of the connection that it was asked of.
func TestRegister(t *testing.T) {
	loop, tenant, opened := loopOf(t)
	listener, err := tenant.Listen(t.Context(), "tcp", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	port := listener.Addr().(*net.TCPAddr).Port
	results, err := loop.Register(gnet.NewContext(t.Context(), "carried"), &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
	if err != nil {
		t.Fatal(err)
	}
	peer, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	saw, result := wait(t, opened), wait(t, results)
	if result.Err != nil || result.Conn.RemoteAddr() != saw.remote {
		t.Fatalf("got %+v", result)
	}
	if saw.context != "carried" || saw.keepAlive != nil || saw.namespace != "a" ||
		saw.remote.String() != fmt.Sprint("127.0.0.1:", port) || saw.local.String() != peer.RemoteAddr().String() {
		t.Errorf("saw %+v", saw)
	}
	got := make([]byte, 13)
	if _, err := io.ReadFull(peer, got); err != nil || string(got) != "I have called" {
		t.Errorf("read %q, %v", got, err)
	}
	if _, more := <-results; more {
		t.Error("a second result")
	}
}

func TestRegisterUnix(t *testing.T) {
	loop, _, opened := loopOf(t)
	path := filepath.Join(t.TempDir(), "socket")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	results, err := loop.Register(gnet.NewContext(t.Context(), "carried"), &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	saw, result := wait(t, opened), wait(t, results)
	if result.Err != nil || saw.remote.String() != path || saw.remote.Network() != "unix" || saw.local.Network() != "unix" ||
		!errors.Is(saw.keepAlive, gneterrors.ErrUnsupportedOp) {
		t.Errorf("saw %+v, got %+v", saw, result)
	}
}

func TestRegisterFails(t *testing.T) {
	loop, _, _ := loopOf(t)
	if _, err := loop.Register(t.Context(), nil); !errors.Is(err, gneterrors.ErrInvalidNetworkAddress) {
		t.Errorf("no address: %v", err)
	}
	local := net.IPv4(127, 0, 0, 1)
	for want, addr := range map[error]net.Addr{
		syscall.ECONNREFUSED: &net.TCPAddr{IP: local, Port: 1},
		engine.ErrBadDial:    &net.UDPAddr{IP: local, Port: 1},
		syscall.ENOENT:       &net.UnixAddr{Name: "/nonexistent/socket", Net: "unix"},
	} {
		results, err := loop.Register(t.Context(), addr)
		if err != nil {
			t.Fatal(err)
		}
		if result := wait(t, results); !errors.Is(result.Err, want) || result.Conn != nil {
			t.Errorf("%v: got %+v, want %v", addr, result, want)
		}
	}
}
