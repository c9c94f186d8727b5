package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

// What matches is served, whenever it comes; what goes is let go of, and a name
// that comes back is served again.
func TestServesNamespacesNowAndLater(t *testing.T) {
	for _, mode := range []string{modeNamespace, modeAny, modeAlways} {
		t.Run(mode, func(t *testing.T) {
			lab := nstest.New(t)
			a, b, other := lab.MustAdd(t, "tenant-a"), lab.MustAdd(t, "tenant-b"), lab.MustAdd(t, "other")
			p := launch(t, "-netns-dir", lab.Dir(), "-netns", "tenant-*", "-mode", mode, "-loops", "2")
			p.stderr.await(t, `^ready$`)
			connA, connB := dial(t, a), dial(t, b)
			echoes(t, connA)
			echoes(t, connB)
			if conn, err := other.Dial(t.Context(), "tcp", 7000); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("what does not match is served: %v, err %v", conn, err)
			}

			late := lab.MustAdd(t, "tenant-late")
			p.stderr.await(t, `"namespace attached" netns=tenant-late `)
			visit(t, late)

			old := a.NS.ID()
			if err := a.Recreate(); err != nil {
				t.Fatal(err)
			}
			if _, err := connA.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
				t.Errorf("the connection to what is gone: %v, not the end", err)
			}
			_ = connA.Close()
			p.stderr.await(t, fmt.Sprintf(`"namespace released" netns=tenant-a id=%v confirmed=true`, old))
			p.stderr.await(t, fmt.Sprintf(`"namespace attached" netns=tenant-a id=%v`, a.NS.ID()))
			visit(t, a)
			echoes(t, connB) // nobody else has noticed

			_ = connB.Close()
			p.stop()
			p.wait(t, 0)
		})
	}
}

// A directory that is empty, or not there yet, is no error.
func TestWaitsForTheFirstNamespace(t *testing.T) {
	lab := nstest.New(t)
	p := launch(t, "-netns-dir", lab.Dir())
	p.stderr.await(t, `^ready$`)
	tenant := lab.MustAdd(t, "first")
	p.stderr.await(t, `"namespace attached" netns=first `)
	visit(t, tenant)
	p.stop()
	p.wait(t, 0)
}

// The own namespace too, with all that the admin endpoint shows.
func TestHomeAndAdmin(t *testing.T) {
	lab := nstest.New(t)
	lab.MustAdd(t, "a")
	p := launch(t, "-netns-dir", lab.Dir(), "-home", "-port", "0", "-loops", "2", "-admin", "127.0.0.1:0")
	addr := p.stderr.await(t, `"admin endpoint" addr=(\S+)`)
	p.stderr.await(t, `^ready$`)
	transport := newTransport(t)
	get := func(page string) string { return fetch(t, transport, "http://"+addr+page) }

	var namespaces struct {
		Namespaces []struct {
			Names     []string
			State     string
			Listeners []struct{ Port int }
		}
	}
	if err := json.Unmarshal([]byte(get("/namespaces")), &namespaces); err != nil {
		t.Fatal(err)
	}
	if all := namespaces.Namespaces; len(all) != 2 || all[0].Names[0] != "home" || all[1].Names[0] != "a" {
		t.Fatalf("namespaces are %+v", all)
	}
	home := namespaces.Namespaces[0]
	if home.State != "serving" || len(home.Listeners) != 1 {
		t.Fatalf("home is %+v", home)
	}
	conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(home.Listeners[0].Port)))
	if err != nil {
		t.Fatal(err)
	}
	echoes(t, conn)
	_ = conn.Close()

	var loops struct{ Loops []struct{ Loop int } }
	if err := json.Unmarshal([]byte(get("/loops")), &loops); err != nil || len(loops.Loops) != 2 {
		t.Errorf("loops are %+v, err %v", loops, err)
	}
	if got := get("/readyz"); !strings.Contains(got, `"ready":true`) {
		t.Errorf("/readyz says %s", got)
	}
	if got := get("/metrics"); !strings.Contains(got, "\nnsreactor_") || !strings.Contains(got, `netns="a"`) {
		t.Errorf("/metrics has nothing of the engine's:\n%s", got)
	}
	p.stop()
	p.wait(t, 0)
}

func TestAdminOnUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "admin")
	p := launch(t, "-netns-dir", t.TempDir(), "-admin", "unix:"+path)
	p.stderr.await(t, `^ready$`)
	transport := newTransport(t)
	transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}
	if got := fetch(t, transport, "http://admin/healthz"); !strings.Contains(got, `"ok"`) {
		t.Errorf("/healthz says %s", got)
	}
	p.stop()
	p.wait(t, 0)
}

// newTransport keeps no connection when a request is done.
func newTransport(t *testing.T) *http.Transport {
	t.Helper()
	return &http.Transport{DisableKeepAlives: true}
}

func fetch(t *testing.T, transport http.RoundTripper, url string) string {
	t.Helper()
	answer, err := (&http.Client{Transport: transport, Timeout: patience}).Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Errorf("%s: %s, err %v", url, answer.Status, err)
	}
	return string(body)
}

func TestStartFailures(t *testing.T) {
	ln, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	_, taken, err := net.SplitHostPort(ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		args []string
		want string
	}{
		{"port taken at home", []string{"-home", "-netns=", "-port", taken}, "address already in use"},
		{"admin port taken", []string{"-home", "-netns=", "-port", "0", "-admin", "127.0.0.1:" + taken}, "address already in use"},
		{"no directory for the socket", []string{"-home", "-netns=", "-port", "0", "-admin", "unix:/nonexistent/a"}, "no such file"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := launch(t, test.args...)
			p.wait(t, 1)
			if got := p.stderr.String(); !strings.Contains(got, test.want) || strings.Contains(got, "\nready") {
				t.Errorf("nothing of %q in %q", test.want, got)
			}
		})
	}
}

// A port that is taken in one namespace is that namespace's misfortune.
func TestPortTakenInOneNamespace(t *testing.T) {
	lab := nstest.New(t)
	lucky, unlucky := lab.MustAdd(t, "lucky"), lab.MustAdd(t, "unlucky")
	ln, err := unlucky.Listen(t.Context(), "tcp", 7000)
	if err != nil {
		t.Fatal(err)
	}
	p := launch(t, "-netns-dir", lab.Dir())
	p.stderr.await(t, `^ready$`)
	p.stderr.await(t, `"port can't be served; trying again" netns=unlucky `)
	visit(t, lucky)
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	p.stderr.await(t, `"port is served at last" netns=unlucky `)
	visit(t, unlucky)
	p.stop()
	p.wait(t, 0)
}
