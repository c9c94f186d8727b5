package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/examples/internal/programtest"
	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

func TestMain(m *testing.M) { programtest.Main(m, main) }

// patience is met by a hang only.
const patience = 60 * time.Second

const testPort = 50051

// logBook is a slog.Handler that keeps lines and can be waited for.
type logBook struct {
	mu      sync.Mutex
	lines   []string
	changed chan struct{}
}

func (b *logBook) Enabled(context.Context, slog.Level) bool { return true }
func (b *logBook) WithAttrs([]slog.Attr) slog.Handler       { return b }
func (b *logBook) WithGroup(string) slog.Handler            { return b }

func (b *logBook) Handle(_ context.Context, r slog.Record) error {
	line := r.Message
	r.Attrs(func(a slog.Attr) bool {
		line += " " + a.String()
		return true
	})
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines = append(b.lines, line)
	close(b.changed)
	b.changed = make(chan struct{})
	return nil
}

// await waits for a line that contains all the words.
func (b *logBook) await(t *testing.T, words string) {
	t.Helper()
	late := time.After(patience)
	for {
		b.mu.Lock()
		text, changed := strings.Join(b.lines, "\n"), b.changed
		b.mu.Unlock()
		if strings.Contains(text, words) {
			return
		}
		select {
		case <-changed:
		case <-late:
			t.Fatalf("no %q in:\n%s", words, text)
		}
	}
}

// start runs the server until the test ends, or until stop is called, which returns
// what it ends with.
func start(t *testing.T, dir string) (log *logBook, stop func() error) {
	t.Helper()
	log = &logBook{changed: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, slog.New(log), testPort, dir, "*") }()
	stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	t.Cleanup(func() { _ = stop() })
	log.await(t, "ready")
	return log, stop
}

// call is a client of the server in a tenant, where all have the same address.
func call(t *testing.T, tenant *nstest.Tenant) grpc_health_v1.HealthClient {
	t.Helper()
	conn, err := grpc.NewClient(fmt.Sprintf("passthrough:///%v:%d", tenant.Addr4, testPort),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return tenant.Dial(ctx, "tcp", testPort)
		}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return grpc_health_v1.NewHealthClient(conn)
}

func patient(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// check wants the answer of a tenant's own server.
func check(t *testing.T, client grpc_health_v1.HealthClient, name string) {
	t.Helper()
	var header metadata.MD
	answer, err := client.Check(patient(t), &grpc_health_v1.HealthCheckRequest{}, grpc.Header(&header), grpc.WaitForReady(true))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if got := strings.Join(header["netns"], " "); got != name || answer.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
		t.Errorf("%s: %v by %q", name, answer.GetStatus(), got)
	}
}

// watch begins a stream and wants its first answer.
func watch(t *testing.T, client grpc_health_v1.HealthClient, name string) grpc_health_v1.Health_WatchClient {
	t.Helper()
	stream, err := client.Watch(patient(t), &grpc_health_v1.HealthCheckRequest{}, grpc.WaitForReady(true))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	wantNext(t, stream, name, grpc_health_v1.HealthCheckResponse_SERVING)
	return stream
}

func wantNext(t *testing.T, stream grpc_health_v1.Health_WatchClient, name string, want grpc_health_v1.HealthCheckResponse_ServingStatus) {
	t.Helper()
	answer, err := stream.Recv()
	if err != nil || answer.GetStatus() != want {
		t.Fatalf("%s: %v, %v; want %v", name, answer.GetStatus(), err, want)
	}
	header, err := stream.Header()
	if got := strings.Join(header["netns"], " "); err != nil || got != name {
		t.Errorf("%s: answered by %q, %v", name, got, err)
	}
}

// Unary and streaming calls at the same address of several namespaces are each
// answered by the right one, also in one that comes later; one that goes says so to
// those who watch it, and to nobody else.
func TestServesEveryNamespace(t *testing.T) {
	lab := nstest.New(t)
	a, b := lab.MustAdd(t, "a"), lab.MustAdd(t, "b")
	log, stop := start(t, lab.Dir())
	inA, inB := call(t, a), call(t, b)
	check(t, inA, "a")
	check(t, inB, "b")
	log.await(t, `call netns=a method=/grpc.health.v1.Health/Check code=OK`)
	log.await(t, `call netns=b method=/grpc.health.v1.Health/Check code=OK`)

	late := lab.MustAdd(t, "late")
	log.await(t, "namespace attached netns=late")
	inLate := call(t, late)
	check(t, inLate, "late")

	watchA, watchB := watch(t, inA, "a"), watch(t, inB, "b")
	if err := a.Delete(); err != nil {
		t.Fatal(err)
	}
	wantNext(t, watchA, "a", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	check(t, inB, "b")
	check(t, inLate, "late")

	ended := make(chan error, 1)
	go func() { ended <- stop() }()
	wantNext(t, watchB, "b", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	if err := <-ended; err != nil && !errors.Is(err, engine.ErrDrained) { // a's idle connection
		t.Error(err)
	}
}

func TestRefusesForeignConnections(t *testing.T) {
	mine, theirs := net.Pipe()
	defer mine.Close()
	defer theirs.Close()
	if _, _, err := (Namespaced{insecure.NewCredentials()}).ServerHandshake(mine); !errors.Is(err, errNoNamespace) {
		t.Errorf("got %v", err)
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
	p.Await(t, "^grpc: needs CAP_SYS_ADMIN")
}
