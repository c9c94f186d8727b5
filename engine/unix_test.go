package engine

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsreactor/nsreactor/nsctx"
)

// startUnix is an engine whose handler is served at a path, with home not attached.
func startUnix(t testing.TB, cfg Config, path string, h Handler, options ...HandleOption) *Engine {
	t.Helper()
	eng, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stopUnix(t, eng) })
	if err := eng.HandleUnix(path, h, options...); err != nil {
		t.Fatal(err)
	}
	return eng
}

func stopUnix(t testing.TB, eng *Engine) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := eng.Shutdown(ctx); err != nil {
		t.Error(err)
	}
}

// dialPath connects to a unix socket.
func dialPath(t testing.TB, path string) *net.UnixConn {
	t.Helper()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return conn.(*net.UnixConn)
}

// exchangeAll sends all, shuts its half down, and wants the same back and the end.
func exchangeAll(t testing.TB, conn *net.UnixConn, size int) {
	t.Helper()
	sent := pattern(uint64(size), size)
	wrote := make(chan error, 1)
	go func() {
		_, err := conn.Write(sent)
		wrote <- errors.Join(err, conn.CloseWrite())
	}()
	got, err := io.ReadAll(conn)
	if err := errors.Join(err, await(t, wrote, "the writer")); err != nil {
		t.Error(err)
	}
	wantSame(t, got, sent)
}

func isSocket(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.Mode()&os.ModeSocket != 0
}

// A unix socket is served as a port is, in home, on all loops, and its file goes when
// the engine does.
func TestUnixSocketServes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	type seen struct {
		network, ns string
		remote      netip.AddrPort
		port        int
		cred        Credentials
		err         error
	}
	conns := make(chan seen, 100)
	loops := make(chan int, 100)
	eng := startUnix(t, Config{Loops: 2}, path, hooks{data: echo, open: func(c *Conn) {
		cred, err := c.PeerCredentials()
		conns <- seen{c.Network(), c.Namespace().Name(), c.RemoteAddr(), c.Port(), cred, err}
		loops <- c.Loop()
	}})
	var clients sync.WaitGroup
	for i := range 8 {
		conn := dialPath(t, path)
		clients.Go(func() { exchangeAll(t, conn, i*100_000) })
	}
	awaitAll(t, &clients, "the clients")
	met := map[int]bool{}
	want := seen{network: "unix", ns: nsctx.Home().Name(), cred: Credentials{os.Getpid(), os.Getuid(), os.Getgid()}}
	for range 8 {
		if got := await(t, conns, "a connection"); got != want {
			t.Errorf("met %+v, want %+v", got, want)
		}
		met[await(t, loops, "its loop")] = true
	}
	if len(met) != 2 {
		t.Errorf("the loops %v have all connections", met)
	}
	home, err := eng.Home()
	if err != nil {
		t.Fatal(err)
	}
	if ls := home.Snapshot().Listeners; len(ls) != 1 || ls[0] != (ListenerStats{Network: "unix", Path: path, Sockets: 1}) {
		t.Errorf("listed is %+v", ls)
	}
	stopUnix(t, eng)
	if isSocket(path) {
		t.Error("the file has outlived the engine")
	}
}

// A TCP connection has no credentials.
func TestCredentialsAreForUnixSockets(t *testing.T) {
	got := make(chan error, 1)
	s := startServer(t, Config{}, hooks{open: func(c *Conn) {
		_, err := c.PeerCredentials()
		if c.Network() != "tcp" {
			t.Errorf("network %q", c.Network())
		}
		got <- err
	}})
	s.dial()
	if err := await(t, got, "OnOpen"); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("err %v, want ErrUnsupported", err)
	}
}

// Ends and errors are as of TCP, except that there is no reset.
func TestUnixConnectionEnds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	closed := make(chan error, 1)
	startUnix(t, Config{Loops: 1}, path, hooks{
		data: func(c *Conn) {
			b, _ := c.Next(c.Buffered())
			switch string(b) {
			case "close":
				_, _ = c.Write([]byte("bye"))
				c.Close()
			case "now":
				c.CloseNow()
			case "idle":
				c.SetIdleTimeout(time.Millisecond)
			}
		},
		closed: func(_ *Conn, err error) { closed <- err },
	})
	for ask, want := range map[string]error{"close": nil, "now": ErrClosedNow, "idle": ErrIdle} {
		conn := dialPath(t, path)
		if _, err := conn.Write([]byte(ask)); err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(conn)
		if err != nil || ask == "close" && string(b) != "bye" {
			t.Errorf("%s: received %q, %v", ask, b, err)
		}
		_ = conn.Close()
		if err := await(t, closed, "OnClose"); !errors.Is(err, want) {
			t.Errorf("%s: closed with %v, want %v", ask, err, want)
		}
	}
	conn := dialPath(t, path)
	_ = conn.Close()
	if err := await(t, closed, "OnClose"); err != nil {
		t.Errorf("closed with %v", err)
	}
}

// What nobody listens on is replaced; what somebody does, or what is no socket, is
// left as it is.
func TestUnixSocketAndWhatIsThere(t *testing.T) {
	dir := t.TempDir()
	eng := startUnix(t, Config{Loops: 1}, filepath.Join(dir, "first"), hooks{data: echo})

	stale := filepath.Join(dir, "stale")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	_ = l.Close()
	if err := eng.HandleUnix(stale, hooks{data: echo}); err != nil {
		t.Errorf("a stale file: %v", err)
	}
	exchangeAll(t, dialPath(t, stale), 10)

	live := filepath.Join(dir, "live")
	other, err := net.Listen("unix", live)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	datagram := filepath.Join(dir, "datagram")
	packets, err := net.ListenPacket("unixgram", datagram)
	if err != nil {
		t.Fatal(err)
	}
	defer packets.Close()
	regular, link := filepath.Join(dir, "regular"), filepath.Join(dir, "link")
	if err := errors.Join(os.WriteFile(regular, []byte("precious"), 0o600), os.Symlink(regular, link)); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]error{
		live: unix.EADDRINUSE, datagram: unix.EADDRINUSE, regular: unix.EEXIST, link: unix.EEXIST, dir: unix.EEXIST,
		filepath.Join(dir, "none", "s"): unix.ENOENT, filepath.Join(regular, "s"): unix.ENOTDIR, stale: ErrBadHandle,
		"": ErrBadHandle, "@": ErrBadHandle, "a\x00b": ErrBadHandle, "/" + strings.Repeat("x", 107): ErrBadHandle,
	} {
		var typed *Error
		if err := eng.HandleUnix(path, hooks{}); !errors.Is(err, want) || !errors.As(err, &typed) {
			t.Errorf("%q: err %v, want %v", path, err, want)
		}
	}
	if err := eng.HandleUnix(filepath.Join(dir, "nil"), nil); !errors.Is(err, ErrBadHandle) {
		t.Errorf("err %v, want ErrBadHandle", err)
	}
	if b, err := os.ReadFile(regular); err != nil || string(b) != "precious" {
		t.Errorf("the regular file holds %q, %v", b, err)
	}
	if !isSocket(live) || !isSocket(datagram) {
		t.Error("another server's socket is gone")
	}
}

// A file that has taken the place of the engine's is not the engine's to remove.
func TestUnixFileOfAnother(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	eng := startUnix(t, Config{Loops: 1}, path, hooks{})
	if err := errors.Join(os.Remove(path), os.WriteFile(path, []byte("other"), 0o600)); err != nil {
		t.Fatal(err)
	}
	stopUnix(t, eng)
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
}

func TestUnixSocketMode(t *testing.T) {
	dir := t.TempDir()
	open, shut := filepath.Join(dir, "open"), filepath.Join(dir, "shut")
	eng := startUnix(t, Config{Loops: 1}, open, hooks{}, SocketMode(0o666))
	if err := eng.HandleUnix(shut, hooks{}, SocketMode(0o600)); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]os.FileMode{open: 0o666, shut: 0o600} {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: mode %v, %v", path, info.Mode(), err)
		}
	}
	if err := eng.Handle("tcp", 0, hooks{}, SocketMode(0o600)); !errors.Is(err, ErrBadHandle) {
		t.Errorf("err %v, want ErrBadHandle", err)
	}
}

// An abstract name leaves nothing behind, and can't be had twice.
func TestUnixAbstractName(t *testing.T) {
	name := "@nsreactor-test-" + filepath.Base(t.TempDir())
	eng := startUnix(t, Config{Loops: 1}, name, hooks{data: echo})
	exchangeAll(t, dialPath(t, name), 1000)
	second, err := New(Config{Loops: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer stopUnix(t, second)
	if err := second.HandleUnix(name, hooks{}); !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("err %v, want EADDRINUSE", err)
	}
	stopUnix(t, eng)
	if err := second.HandleUnix(name, hooks{}); err != nil {
		t.Error(err)
	}
}

// Home's unix sockets go with home, and stay when home's ports can't be had.
func TestUnixSocketAndHome(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	thief, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer thief.Close()
	eng := startUnix(t, Config{Loops: 1}, path, hooks{data: echo})
	if err := eng.Handle("tcp", thief.Addr().(*net.TCPAddr).Port, hooks{}); err != nil {
		t.Fatal(err)
	}
	if _, err := eng.Attach(nsctx.Home()); !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("err %v, want EADDRINUSE", err)
	}
	home, err := eng.Home()
	if err != nil {
		t.Fatal(err)
	}
	if ls := home.Snapshot().Listeners; len(ls) != 1 || ls[0].Path != path {
		t.Errorf("listed is %+v", ls)
	}
	exchangeAll(t, dialPath(t, path), 1000)
	if err := eng.Detach(soon(t), home); err != nil {
		t.Fatal(err)
	}
	if isSocket(path) {
		t.Error("the file has outlived home")
	}
	if err := eng.HandleUnix(path, hooks{data: echo}); err != nil {
		t.Fatal(err)
	}
	exchangeAll(t, dialPath(t, path), 1000)
}
