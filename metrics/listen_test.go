package metrics_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime/trace"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nsreactor/nsreactor/metrics"
)

// serve begins to serve an address and ends it with the test.
func serve(t *testing.T, addr string) *metrics.Admin {
	t.Helper()
	admin, err := metrics.Serve(addr, everything(), metrics.AdminOptions{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shut(t, admin) })
	return admin
}

func shut(t *testing.T, admin *metrics.Admin) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := admin.Close(ctx); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// client connects to an address whatever the URL says, and leaves no
// connection behind.
func client(addr net.Addr) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, addr.Network(), addr.String())
		},
	}}
}

func fetch(t *testing.T, addr net.Addr, page string) string {
	t.Helper()
	r, err := client(addr).Get("http://admin" + page)
	if err != nil {
		t.Fatal(err)
	}
	return body(t, r)
}

func TestServeLoopback(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:0", "127.8.9.10:0", "[::1]:0", "localhost:0", "[::ffff:127.0.0.1]:0"} {
		admin := serve(t, addr)
		if ip := admin.Addr().(*net.TCPAddr).IP; !ip.IsLoopback() {
			t.Errorf("%s listens on %s", addr, ip)
		}
		if text := fetch(t, admin.Addr(), "/metrics"); !strings.Contains(text, "nsreactor_loops 2") {
			t.Errorf("%s: no metrics", addr)
		}
	}
}

func TestServeUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "admin.sock")
	admin := serve(t, "unix:"+path)
	file, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if want := fs.ModeSocket | 0o600; file.Mode() != want {
		t.Errorf("mode %s, want %s", file.Mode(), want)
	}
	if text := fetch(t, admin.Addr(), "/healthz"); !strings.Contains(text, "ok") {
		t.Errorf("got %q", text)
	}
	shut(t, admin)
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
}

func TestRefusedAddresses(t *testing.T) {
	taken, err := metrics.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for addr, want := range map[string]error{
		":9100":                    metrics.ErrNotLoopback,
		"0.0.0.0:9100":             metrics.ErrNotLoopback,
		"[::]:9100":                metrics.ErrNotLoopback,
		"10.0.0.1:9100":            metrics.ErrNotLoopback,
		"[fe80::1%lo]:9100":        metrics.ErrNotLoopback,
		"[::ffff:0.0.0.0]:1":       metrics.ErrNotLoopback,
		"example.com:9100":         metrics.ErrNotLoopback,
		"127.1:9100":               metrics.ErrNotLoopback,
		"":                         metrics.ErrBadAddress,
		"9100":                     metrics.ErrBadAddress,
		"127.0.0.1":                metrics.ErrBadAddress,
		"127.0.0.1:":               metrics.ErrBadAddress,
		"127.0.0.1:http":           metrics.ErrBadAddress,
		"127.0.0.1:65536":          metrics.ErrBadAddress,
		"unix:":                    metrics.ErrBadAddress,
		"unix:admin.sock":          metrics.ErrBadAddress,
		"unix:@abstract":           metrics.ErrBadAddress,
		"unix:\x00abstract":        metrics.ErrBadAddress,
		"unix:/nowhere/a.sock":     fs.ErrNotExist,
		"localhost:" + port(taken): nil, // whatever the system says
	} {
		_, err := metrics.Serve(addr, everything(), metrics.AdminOptions{})
		var listen *metrics.ListenError
		if !errors.As(err, &listen) || listen.Addr != addr {
			t.Errorf("%q: %v is no ListenError about it", addr, err)
		}
		if want != nil && !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", addr, err, want)
		}
	}
}

func port(ln net.Listener) string { return strconv.Itoa(ln.Addr().(*net.TCPAddr).Port) }

// deadSocket leaves a socket file behind, as a killed process does.
func deadSocket(t *testing.T, path string) {
	t.Helper()
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ln.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestDeadSocketIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "admin.sock")
	deadSocket(t, path)
	admin := serve(t, "unix:"+path)
	fetch(t, admin.Addr(), "/healthz")
}

func TestWhatIsNoDeadSocketIsLeftAlone(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	live, err := net.Listen("unix", at("live"))
	if err != nil {
		t.Fatal(err)
	}
	defer live.Close()
	datagram, err := net.ListenPacket("unixgram", at("datagram"))
	if err != nil {
		t.Fatal(err)
	}
	defer datagram.Close()
	deadSocket(t, at("dead"))
	if err := errors.Join(
		os.WriteFile(at("file"), []byte("precious"), 0o600),
		os.Mkdir(at("directory"), 0o700),
		os.Symlink(at("dead"), at("symlink")),
	); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]error{
		"live":      metrics.ErrSocketInUse,
		"datagram":  metrics.ErrSocketInUse,
		"file":      metrics.ErrNotSocket,
		"directory": metrics.ErrNotSocket,
		"symlink":   metrics.ErrNotSocket,
	} {
		before, _ := os.Lstat(at(name))
		if _, err := metrics.Listen("unix:" + at(name)); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
		if after, err := os.Lstat(at(name)); err != nil || !os.SameFile(before, after) {
			t.Errorf("%s is not what it was: %v", name, err)
		}
	}
}

// Another process may have taken the path over meanwhile.
func TestCloseRemovesOnlyItsOwnSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "admin.sock")
	admin := serve(t, "unix:"+path)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	deadSocket(t, path)
	shut(t, admin)
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the other's socket is gone: %v", err)
	}
}

func TestServeSeveralListeners(t *testing.T) {
	admin := metrics.NewAdmin(everything(), metrics.AdminOptions{Logger: quiet})
	served := make(chan error)
	var addrs []net.Addr
	for _, addr := range []string{"127.0.0.1:0", "unix:" + filepath.Join(t.TempDir(), "admin.sock")} {
		ln, err := metrics.Listen(addr)
		if err != nil {
			t.Fatal(err)
		}
		addrs = append(addrs, ln.Addr())
		go func() { served <- admin.Serve(ln) }()
	}
	for _, addr := range addrs {
		fetch(t, addr, "/healthz")
	}
	shut(t, admin)
	for range addrs {
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	}
	shut(t, admin) // again is no error
}

func TestServeAfterClose(t *testing.T) {
	admin := metrics.NewAdmin(everything(), metrics.AdminOptions{})
	shut(t, admin)
	ln, err := metrics.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := admin.Serve(ln); err != nil {
		t.Errorf("Serve: %v", err)
	}
	if _, err := ln.Accept(); err == nil {
		t.Error("the listener is still open")
	}
}

func TestServeReportsABrokenListener(t *testing.T) {
	ln, err := metrics.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	admin := metrics.NewAdmin(everything(), metrics.AdminOptions{})
	if err := admin.Serve(ln); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve: %v", err)
	}
	shut(t, admin)
}

// Nobody should wait half a minute for a profile to end.
func TestCloseEndsProfiles(t *testing.T) {
	admin := serve(t, "127.0.0.1:0")
	type answer struct {
		status int
		err    error
	}
	answered := make(chan answer)
	go func() {
		r, err := client(admin.Addr()).Get("http://admin/debug/pprof/trace?seconds=60")
		if err != nil {
			answered <- answer{0, err}
			return
		}
		_, err = io.Copy(io.Discard, r.Body)
		answered <- answer{r.StatusCode, errors.Join(err, r.Body.Close())}
	}()
	for !trace.IsEnabled() {
		time.Sleep(time.Millisecond)
	}
	begun := time.Now()
	shut(t, admin)
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("Close took %s", took)
	}
	if a := <-answered; a.status != http.StatusOK || a.err != nil {
		t.Errorf("status %d, %v: what was recorded is lost", a.status, a.err)
	}
}

// A request that never ends is broken off when Close's time is up.
func TestCloseBreaksOffWhatLasts(t *testing.T) {
	asked, answer := make(chan struct{}), make(chan struct{})
	admin, err := metrics.Serve("127.0.0.1:0", everything(), metrics.AdminOptions{
		Logger: quiet,
		Ready: func() error {
			close(asked)
			<-answer
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	admin.SetReady(true)
	failed := make(chan error)
	go func() {
		r, err := client(admin.Addr()).Get("http://admin/readyz")
		if err == nil {
			_ = r.Body.Close()
		}
		failed <- err
	}()
	<-asked
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := admin.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Close: %v", err)
	}
	if err := <-failed; err == nil {
		t.Error("the request was answered")
	}
	close(answer)
}
