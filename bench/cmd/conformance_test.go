package cmd

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nsreactor/nsreactor/bench/internal/lab"
	"github.com/nsreactor/nsreactor/bench/internal/serve"
	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

const (
	port     = 7007
	patience = 30 * time.Second // only what hangs meets it
)

// The namespaces and programs of all tests.
var (
	namespaces *lab.Namespaces
	programs   string
)

func TestMain(m *testing.M) {
	os.Exit(nstest.MainFunc(func() int { return testMain(m) }))
}

// testMain makes three namespaces, two to begin with and one to add, and builds the
// servers.
func testMain(m *testing.M) int {
	var err error
	if namespaces, err = lab.NewNamespaces(3); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer namespaces.Close()
	if programs, err = os.MkdirTemp("", "servers"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(programs) }()
	if output, err := exec.Command("go", "build", "-o", programs, "./...").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "%v\n%s", err, output)
		return 1
	}
	return m.Run()
}

// lookAtSources stats every source of the module: go test takes an earlier result for
// this one unless something that a test has looked at has changed, and knows nothing of
// what the compiler looks at. It leaves out what is outside the module, so after a
// change to the engine say -count=1.
func lookAtSources(t *testing.T) {
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && filepath.Ext(path) == ".go" {
			_, err = os.Stat(path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// A running is a server that runs.
type running struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout *bufio.Reader
	stderr bytes.Buffer // once it has ended
	ready  chan struct{}
}

// run starts a server in the first two namespaces and waits until it is ready.
func run(t *testing.T, program string, args ...string) *running {
	t.Helper()
	args = append(args, "-p", fmt.Sprint(port), namespaces.Path(0), namespaces.Path(1))
	s := &running{cmd: exec.Command(filepath.Join(programs, program), args...), ready: make(chan struct{})}
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // so that the children can be killed with it
	stdin, err1 := s.cmd.StdinPipe()
	stdout, err2 := s.cmd.StdoutPipe()
	stderr, err3 := s.cmd.StderrPipe()
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	s.stdin, s.stdout = stdin, bufio.NewReader(stdout)
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	overdue := time.AfterFunc(patience, s.kill)
	t.Cleanup(func() { overdue.Stop(); s.kill() })
	lines := bufio.NewReader(io.TeeReader(stderr, &s.stderr))
	for {
		line, err := lines.ReadString('\n')
		if line == "ready\n" {
			break
		}
		if err != nil {
			t.Fatalf("%v ended before it was ready: %v: %s", args, s.cmd.Wait(), s.stderr.String())
		}
	}
	go func() { _, _ = io.Copy(io.Discard, lines); close(s.ready) }()
	return s
}

// kill ends the server and what it has started, if it is still there.
func (s *running) kill() { _ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL) }

// stop ends the server with SIGTERM and returns the counters that it printed.
func (s *running) stop(t *testing.T) map[string]any {
	t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	output, err := io.ReadAll(s.stdout)
	<-s.ready // stderr has ended
	if err := errors.Join(err, s.cmd.Wait()); err != nil {
		t.Errorf("at SIGTERM: %v: %s", err, s.stderr.String())
	}
	counters := map[string]any{}
	for line := range bytes.Lines(output) {
		if bytes.HasPrefix(line, []byte("{")) {
			if err := json.Unmarshal(line, &counters); err != nil {
				t.Errorf("%s: %v", line, err)
			}
		}
	}
	return counters
}

// dial connects to the server inside the i-th namespace.
func dial(t *testing.T, i int) net.Conn {
	t.Helper()
	var conn net.Conn
	err := serve.In(namespaces.Path(i), func() (err error) {
		conn, err = net.Dial("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// exchange writes a stream in random pieces and returns as many bytes as came back.
func exchange(conn net.Conn, stream []byte) ([]byte, error) {
	written := make(chan error, 1)
	go func() {
		for rest := stream; len(rest) > 0; {
			n, err := conn.Write(rest[:1+rand.IntN(min(len(rest), 1+rand.IntN(8000)))])
			if err != nil {
				written <- err
				return
			}
			rest = rest[n:]
		}
		written <- nil
	}()
	back := make([]byte, len(stream))
	_, err := io.ReadFull(conn, back)
	return back, errors.Join(err, <-written)
}

// everywhere runs f on three connections in each of the first count namespaces at once.
func everywhere(t *testing.T, count int, f func(net.Conn) error) {
	t.Helper()
	var all sync.WaitGroup
	for i := range 3 * count {
		conn := dial(t, i%count)
		all.Go(func() {
			if err := f(conn); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

// echoes checks an echo of 200 kB in random pieces.
func echoes(conn net.Conn) error {
	stream := make([]byte, 200_000)
	for i := range stream {
		stream[i] = byte(rand.Uint32())
	}
	back, err := exchange(conn, stream)
	if err == nil && !bytes.Equal(back, stream) {
		err = errors.New("other bytes came back")
	}
	return err
}

func TestEcho(t *testing.T) {
	lookAtSources(t)
	for _, command := range []string{
		"gonet",
		"gonet -bridge",
		"gnetecho",
		"gnetecho -engines 1",
		"gnetecho -work 1 -size 100",
		"netpollecho",
		"netpollecho -gopool -b 65536",
		"nbioecho",
		"nsr",
		"nsr -mode any -loops 2",
		"nsr -mode always -work 1 -size 100",
	} {
		t.Run(command, func(t *testing.T) {
			words := strings.Fields(command)
			server := run(t, words[0], words[1:]...)
			everywhere(t, 2, echoes)
			server.stop(t)
		})
	}
}

// TestTable adds a namespace at run time and expects that no update is lost.
func TestTable(t *testing.T) {
	const size, requests = 100, 2000
	for _, command := range []string{"nsr -kind table", "forked", "forked -loops 2", "threaded", "threaded -locked"} {
		t.Run(command, func(t *testing.T) {
			words := append(strings.Fields(command), "-control", "-size", fmt.Sprint(size))
			server := run(t, words[0], words[1:]...)
			fmt.Fprintln(server.stdin, "add /does/not/exist")
			fmt.Fprintln(server.stdin, "add", namespaces.Path(2))
			for _, want := range []string{"failed", "added"} {
				if line, err := server.stdout.ReadString('\n'); err != nil || !strings.HasPrefix(line, want) {
					t.Fatalf("after add: %q, %v; want %q", line, err, want)
				}
			}
			everywhere(t, 3, func(conn net.Conn) error { return updates(conn, size, requests) })
			if got := server.stop(t)["updates"]; got != float64(9*requests) {
				t.Errorf("%v updates, want %d", got, 9*requests)
			}
		})
	}
}

// updates sends requests about ten volumes, pipelined and cut in pieces, and checks the
// replies: a volume's counter grows, and nothing else changes.
func updates(conn net.Conn, size, count int) error {
	stream := make([]byte, size*count)
	for i := range stream {
		stream[i] = byte(rand.Uint32())
	}
	for i := range count {
		binary.LittleEndian.PutUint64(stream[i*size+8:], rand.Uint64N(10))
	}
	back, err := exchange(conn, stream)
	if err != nil {
		return err
	}
	var last [10]uint64
	for i := 0; i < len(back); i += size {
		volume := binary.LittleEndian.Uint64(stream[i+8:])
		counter := binary.LittleEndian.Uint64(back[i+8:])
		if counter <= last[volume] {
			return fmt.Errorf("volume %d: %d after %d", volume, counter, last[volume])
		}
		last[volume] = counter
		binary.LittleEndian.PutUint64(back[i+8:], volume)
	}
	if !bytes.Equal(back, stream) {
		return errors.New("a reply differs in more than its counter")
	}
	return nil
}

func TestHTTP(t *testing.T) {
	server := run(t, "nsr", "-kind", "http")
	everywhere(t, 2, func(conn net.Conn) error { return getAll(conn, 0, 1, 100, 70_000, 1<<20, 3) })
	t.Run("bad", func(t *testing.T) { refuses(t, dial(t, 0)) })
	server.stop(t)
}

func TestNetHTTP(t *testing.T) {
	for _, args := range [][]string{nil, {"-bridge"}} {
		server := run(t, "nethttp", args...)
		everywhere(t, 2, func(conn net.Conn) error { return getAll(conn, 0, 1, 100, 70_000, 1<<20, 3) })
		server.stop(t)
	}
}

func TestTLS(t *testing.T) {
	secure := func(f func(net.Conn) error) func(net.Conn) error {
		return func(conn net.Conn) error { return f(tls.Client(conn, &tls.Config{InsecureSkipVerify: true})) }
	}
	for _, args := range [][]string{nil, {"-loop"}} {
		t.Run(fmt.Sprint(args), func(t *testing.T) {
			server := run(t, "tls", args...)
			everywhere(t, 2, secure(echoes))
			server.stop(t)
			server = run(t, "tls", append(args, "-kind", "down")...)
			everywhere(t, 2, secure(func(conn net.Conn) error {
				_, err := io.ReadFull(conn, make([]byte, 1<<20))
				return errors.Join(err, conn.Close())
			}))
			server.stop(t)
		})
	}
}

// TestHAProxy needs haproxy, which is no module that go could fetch.
func TestHAProxy(t *testing.T) {
	if _, err := exec.LookPath("haproxy"); err != nil {
		t.Skip("NOT TESTED: haproxy is not installed: apt-get install --no-install-recommends haproxy")
	}
	for _, size := range []int{1, 1000, 40_000} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			server := run(t, "haproxy", "-size", fmt.Sprint(size))
			everywhere(t, 2, func(conn net.Conn) error { return getAll(conn, size, size, size) })
			server.stop(t)
		})
	}
}

func TestHAProxyNotInstalled(t *testing.T) {
	cmd := exec.Command(filepath.Join(programs, "haproxy"), "-p", "1", "-program", "/no/haproxy", namespaces.Path(0))
	output, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 3 || bytes.Count(output, []byte("\n")) != 1 {
		t.Errorf("got %v and %q; want exit code 3 and a line", err, output)
	}
}

// getAll asks for bodies of so many bytes each, all requests at once and the last one
// in single bytes.
func getAll(conn net.Conn, sizes ...int) error {
	var all strings.Builder
	for _, size := range sizes {
		fmt.Fprintf(&all, "GET /%d HTTP/1.1\r\nHost: x\r\n\r\n", size)
	}
	stream := all.String()
	cut := len(stream) - 20
	go func() {
		_, _ = io.WriteString(conn, stream[:cut])
		for i := cut; i < len(stream); i++ {
			_, _ = io.WriteString(conn, stream[i:i+1])
		}
	}()
	reader := bufio.NewReader(conn)
	for _, size := range sizes {
		reply, err := http.ReadResponse(reader, nil)
		if err != nil {
			return fmt.Errorf("/%d: %w", size, err)
		}
		body, err := io.ReadAll(reply.Body)
		if err != nil || reply.StatusCode != http.StatusOK || len(body) != size || reply.ContentLength != int64(size) {
			return fmt.Errorf("/%d: status %d, %d of %d bytes, %w", size, reply.StatusCode, len(body), reply.ContentLength, err)
		}
	}
	return nil
}

// refuses sends what is no request, and expects to be told so and disconnected.
func refuses(t *testing.T, conn net.Conn) {
	_, _ = io.WriteString(conn, "GET /1 HTTP/1.1\r\nContent-Length: 9\r\n\r\n")
	reply, err := io.ReadAll(conn)
	if err != nil || !bytes.HasPrefix(reply, []byte("HTTP/1.1 400 ")) {
		t.Errorf("got %q, %v", reply, err)
	}
}
