package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

// asProgram has the test binary be the program, so that what is tested as a
// process is built with the race detector too.
const asProgram = "ECHO_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	nstest.Main(m)
}

// patience is met by a hang only.
const patience = 60 * time.Second

// output is what a program prints. It can be waited for.
type output struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{} // closed by the next Write
}

func newOutput() *output { return &output{changed: make(chan struct{})} }

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text.Write(p)
	close(o.changed)
	o.changed = make(chan struct{})
	return len(p), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// await waits until the output matches a regular expression, in which ^ and $
// are the ends of a line, and returns what its first group matches.
func (o *output) await(t *testing.T, pattern string) string {
	t.Helper()
	re := regexp.MustCompile("(?m)" + pattern)
	late := time.After(patience)
	for {
		o.mu.Lock()
		match, changed := re.FindStringSubmatch(o.text.String()), o.changed
		o.mu.Unlock()
		switch {
		case len(match) > 1:
			return match[1]
		case match != nil:
			return ""
		}
		select {
		case <-changed:
		case <-late:
			t.Fatalf("no %q in:\n%s", pattern, o)
		}
	}
}

// program is run on a goroutine.
type program struct {
	stdout, stderr *output
	stop           context.CancelFunc
	exit           chan int
}

// launch runs the program until the test ends.
func launch(t *testing.T, args ...string) *program {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	p := &program{stdout: newOutput(), stderr: newOutput(), stop: cancel, exit: make(chan int, 1)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		p.exit <- run(ctx, args, p.stdout, p.stderr)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
		t.Logf("stderr of %q:\n%s", args, p.stderr)
	})
	return p
}

// wait wants the program to end, with an exit code.
func (p *program) wait(t *testing.T, want int) {
	t.Helper()
	select {
	case got := <-p.exit:
		if got != want {
			t.Errorf("exit code %d, want %d", got, want)
		}
	case <-time.After(patience):
		t.Error("the program does not end")
	}
}

// dial connects to a tenant.
func dial(t *testing.T, tenant *nstest.Tenant) net.Conn {
	t.Helper()
	conn, err := tenant.Dial(t.Context(), "tcp", 7000)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// visit wants an echo from a tenant.
func visit(t *testing.T, tenant *nstest.Tenant) {
	t.Helper()
	conn := dial(t, tenant)
	echoes(t, conn)
	_ = conn.Close() // or a drain would wait for it
}

// echoes sends something and wants it back.
func echoes(t *testing.T, conn net.Conn) {
	t.Helper()
	sent := []byte("is anybody there?")
	if _, err := conn.Write(sent); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(sent))
	if _, err := io.ReadFull(conn, got); err != nil || !bytes.Equal(got, sent) {
		t.Fatalf("got %q, err %v", got, err)
	}
}
