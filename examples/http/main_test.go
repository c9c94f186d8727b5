package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nsreactor/nsreactor/examples/internal/programtest"
	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

func TestMain(m *testing.M) { programtest.Main(m, main) }

// patience is met by a hang only.
const patience = 60 * time.Second

const testPort = 8080

// output is what the program logs. It can be waited for.
type output struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{}
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.changed)
	o.changed = make(chan struct{})
	return o.text.Write(p)
}

// await waits until the output matches, and returns what the first group matches.
func (o *output) await(t *testing.T, pattern string) string {
	t.Helper()
	re, late := regexp.MustCompile(pattern), time.After(patience)
	for {
		o.mu.Lock()
		text, changed := o.text.String(), o.changed
		o.mu.Unlock()
		if match := re.FindStringSubmatch(text); match != nil {
			return match[len(match)-1]
		}
		select {
		case <-changed:
		case <-late:
			t.Fatalf("no %q in:\n%s", pattern, text)
		}
	}
}

// start runs the server until stop is called, which returns what it ends with.
func start(t *testing.T, cfg config) (log *output, stop func() error) {
	t.Helper()
	log = &output{changed: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, cfg, slog.New(slog.NewTextHandler(log, nil))) }()
	stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	t.Cleanup(func() { _ = stop() })
	log.await(t, "msg=ready")
	return log, stop
}

// browser is a keep-alive connection to a tenant, where all have the same address.
type browser struct {
	net.Conn
	*bufio.Reader
}

func (b browser) Read(p []byte) (int, error) { return b.Reader.Read(p) }

func browse(t *testing.T, tenant *nstest.Tenant) browser {
	t.Helper()
	conn, err := tenant.Dial(t.Context(), "tcp", testPort)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return browser{conn, bufio.NewReader(conn)}
}

// get wants to be greeted by a tenant.
func (b browser) get(t *testing.T, name string) {
	t.Helper()
	if _, err := io.WriteString(b.Conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(b.Reader, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if want := "hello " + b.LocalAddr().String() + ", this is " + name + "\n"; err != nil || string(body) != want {
		t.Errorf("got %q, %v; want %q", body, err, want)
	}
}

func (b browser) wantEnd(t *testing.T) {
	t.Helper()
	if rest, err := io.ReadAll(b); len(rest) > 0 || err != nil {
		t.Errorf("read %q, %v; want the end", rest, err)
	}
}

// Every namespace is served at the same address, now and later; one that goes takes its
// idle connections along, at once and in order, and nobody else's.
func TestServesEveryNamespace(t *testing.T) {
	lab := nstest.New(t)
	a, b := lab.MustAdd(t, "a"), lab.MustAdd(t, "b")
	log, stop := start(t, config{port: testPort, netns: "*", dir: lab.Dir(), admin: "127.0.0.1:0"})
	inA, inB := browse(t, a), browse(t, b)
	inA.get(t, "a")
	inA.get(t, "a")
	inB.get(t, "b")

	late := lab.MustAdd(t, "late")
	log.await(t, `"namespace attached" netns=late `)
	browse(t, late).get(t, "late")

	if err := a.Delete(); err != nil {
		t.Fatal(err)
	}
	inA.wantEnd(t)
	log.await(t, `"namespace released" netns=a `)
	inB.get(t, "b")

	answer, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}).
		Get("http://" + log.await(t, `"admin endpoint" addr=(\S+)`) + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if page, err := io.ReadAll(answer.Body); err != nil || !strings.Contains(string(page), `netns="b"`) {
		t.Errorf("/metrics says %q, %v", page, err)
	}

	ended := make(chan error, 1)
	go func() { ended <- stop() }()
	inB.wantEnd(t)
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestWrongCallsAreSaid(t *testing.T) {
	for _, test := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"-prot", "7"}, 2, "not defined: -prot"},
		{[]string{"-port", "70000"}, 2, "70000 is not within"},
		{[]string{"-netns", "["}, 2, "syntax error in pattern"},
		{[]string{"-admin", "nowhere"}, 2, "neither a loopback"},
		{[]string{"blue"}, 2, `"blue" is not a flag`},
		{[]string{"-h"}, 0, "-netns-dir directory"},
	} {
		p := programtest.Launch(t, run, test.args...)
		p.Wait(t, test.code)
		p.Await(t, regexp.QuoteMeta(test.want))
	}
	// It once said "ready", and served nobody for ever.
	p := programtest.Spawn(t, true)
	p.Wait(t, 1)
	p.Await(t, "^http: needs CAP_SYS_ADMIN")
}
