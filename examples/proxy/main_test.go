package main

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"

	"github.com/nsreactor/nsreactor/examples/internal/programtest"
	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

func TestMain(m *testing.M) { programtest.Main(m, main) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// listen is a backend in home, whose connections are the test's to serve.
func listen(t *testing.T, network, address string) net.Listener {
	t.Helper()
	ln, err := net.Listen(network, address)
	must(t, err)
	t.Cleanup(func() { _ = ln.Close() })
	return ln
}

func listenTCP(t *testing.T) net.Listener {
	t.Helper()
	return listen(t, "tcp", "127.0.0.1:0")
}

// end is one end of a connection.
type end interface {
	net.Conn
	CloseWrite() error
}

func patient(t *testing.T, conn net.Conn, err error) end {
	t.Helper()
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	must(t, conn.SetDeadline(time.Now().Add(programtest.Patience)))
	return conn.(end)
}

func accept(t *testing.T, ln net.Listener) end {
	t.Helper()
	conn, err := ln.Accept()
	return patient(t, conn, err)
}

func dial(t *testing.T, tenant *nstest.Tenant) end {
	t.Helper()
	conn, err := tenant.Dial(t.Context(), "tcp", 8080)
	return patient(t, conn, err)
}

func say(t *testing.T, conn end, text string) {
	t.Helper()
	_, err := io.WriteString(conn, text)
	must(t, err)
}

func hear(t *testing.T, conn end, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != want {
		t.Fatalf("got %q, %v; want %q", got, err, want)
	}
}

func hearEnd(t *testing.T, conn end) {
	t.Helper()
	if rest, err := io.ReadAll(conn); len(rest) > 0 || err != nil {
		t.Fatalf("got %q, %v; want the end", rest, err)
	}
}

func hearReset(t *testing.T, conn end) {
	t.Helper()
	if rest, err := io.ReadAll(conn); len(rest) > 0 || !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("got %q, %v; want a reset", rest, err)
	}
}

// refused wants to be reset, which may come as early as the connection is made.
func refused(t *testing.T, tenant *nstest.Tenant) {
	t.Helper()
	conn, err := tenant.Dial(t.Context(), "tcp", 8080)
	if !errors.Is(err, syscall.ECONNRESET) {
		hearReset(t, patient(t, conn, err))
	}
}

// start runs the program in a lab with two tenants of one address.
func start(t *testing.T, args ...string) (p *programtest.Program, red, blue *nstest.Tenant) {
	t.Helper()
	lab := nstest.New(t)
	red, blue = lab.MustAdd(t, "red"), lab.MustAdd(t, "blue")
	p = programtest.Launch(t, run, append([]string{"-netns-dir", lab.Dir()}, args...)...)
	p.Await(t, "msg=ready")
	return p, red, blue
}

// Each tenant has its own connection to the backend, and each half ends when it likes.
func TestTenantsReachTheBackend(t *testing.T) {
	ln := listenTCP(t)
	p, red, blue := start(t, "-backend", ln.Addr().String(), "-admin", "127.0.0.1:0")
	inRed := dial(t, red)
	forRed := accept(t, ln)
	inBlue := dial(t, blue)
	forBlue := accept(t, ln)

	say(t, inRed, "from red")
	say(t, inBlue, "from blue")
	hear(t, forRed, "from red")
	hear(t, forBlue, "from blue")
	must(t, inRed.CloseWrite())
	hearEnd(t, forRed)
	say(t, forRed, "to red, after its last")
	hear(t, inRed, "to red, after its last")
	must(t, forRed.Close())
	hearEnd(t, inRed)

	must(t, forBlue.CloseWrite())
	hearEnd(t, inBlue)
	say(t, inBlue, "to who has said its last")
	must(t, inBlue.Close())
	hear(t, forBlue, "to who has said its last")
	hearEnd(t, forBlue)
	p.Await(t, `msg=connection netns=red .*bytes_in=8 bytes_out=22`)

	page := fetch(t, "http://"+p.Await(t, `"admin endpoint" addr=(\S+)`)+"/metrics")
	if !strings.Contains(page, `netns="blue"`) || !strings.Contains(page, "\nnsreactor_limit_") {
		t.Errorf("/metrics says %s", page)
	}
	p.Stop()
	p.Wait(t, 0)
}

func fetch(t *testing.T, url string) string {
	t.Helper()
	answer, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: programtest.Patience}).Get(url)
	must(t, err)
	defer answer.Body.Close()
	page, err := io.ReadAll(answer.Body)
	must(t, err)
	return string(page)
}

// What one side does not take, the other is not asked for.
func TestBackpressure(t *testing.T) {
	ln := listenTCP(t)
	p, red, _ := start(t, "-backend", ln.Addr().String(), "-admin", "127.0.0.1:0")
	client := dial(t, red)
	backend := accept(t, ln)
	sent := make([]byte, 16<<20)
	_, _ = rand.Read(sent)
	written := make(chan error, 1)
	go func() {
		_, err := client.Write(sent)
		written <- errors.Join(err, client.CloseWrite())
	}()
	// Nothing comes in any more once the proxy has its fill.
	url := "http://" + p.Await(t, `"admin endpoint" addr=(\S+)`) + "/metrics"
	received := regexp.MustCompile(`(?m)^nsreactor_received_bytes_total (\S+)`)
	for last := ""; ; time.Sleep(50 * time.Millisecond) {
		now := received.FindStringSubmatch(fetch(t, url))[1]
		if now == last && now != "0" {
			break
		}
		last = now
	}
	select {
	case err := <-written:
		t.Errorf("all of it was taken, %v", err)
	default:
	}
	if got, err := io.ReadAll(backend); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("%d of %d bytes came, or others; %v", len(got), len(sent), err)
	}
	must(t, <-written)
}

func TestBackendDown(t *testing.T) {
	ln := listenTCP(t)
	p, red, _ := start(t, "-backend", ln.Addr().String())
	must(t, ln.Close())
	refused(t, red)
	p.Await(t, "connection refused")

	ln = listen(t, "tcp", ln.Addr().String()) // it is back
	client := dial(t, red)
	backend := accept(t, ln)
	must(t, backend.(*net.TCPConn).SetLinger(0)) // and breaks down
	must(t, backend.Close())
	hearReset(t, client)
}

func TestDialTimeout(t *testing.T) {
	ln := listenTCP(t)
	raw, err := ln.(*net.TCPListener).SyscallConn()
	must(t, err)
	must(t, raw.Control(func(fd uintptr) { err = syscall.Listen(int(fd), 0) }))
	must(t, err)
	conn, err := net.Dial("tcp", ln.Addr().String()) // the one that a backlog of 0 has room for
	must(t, err)
	defer conn.Close()
	_, red, _ := start(t, "-backend", ln.Addr().String(), "-timeout", "50ms")
	refused(t, red)
}

// A tenant that has its fill of connections does not take another's.
func TestLimit(t *testing.T) {
	ln := listenTCP(t)
	_, red, blue := start(t, "-backend", ln.Addr().String(), "-max", "1")
	client := dial(t, red)
	backend := accept(t, ln)
	refused(t, red)
	dial(t, blue)
	accept(t, ln)
	must(t, client.Close())
	hearEnd(t, backend)
	must(t, backend.Close())
	go func() {
		if again, err := ln.Accept(); err == nil {
			_, _ = io.WriteString(again, "welcome")
			_ = again.Close()
		}
	}()
	for said := ""; said != "welcome"; { // until the first is counted no more
		again, err := red.Dial(t.Context(), "tcp", 8080)
		if err != nil {
			continue
		}
		text, _ := io.ReadAll(patient(t, again, nil))
		said = string(text)
	}
}

func TestIdle(t *testing.T) {
	ln := listenTCP(t)
	_, red, _ := start(t, "-backend", ln.Addr().String(), "-idle", "500ms")
	client := dial(t, red)
	accept(t, ln)
	hearReset(t, client)
}

func TestUnixBackend(t *testing.T) {
	file := filepath.Join(t.TempDir(), "s")
	ln := listen(t, "unix", file)
	_, red, _ := start(t, "-backend", "unix:"+file)
	client := dial(t, red)
	backend := accept(t, ln)
	say(t, client, "hello")
	hear(t, backend, "hello")
}

// The backend learns who the client is and, by version 2, whose.
func TestSendProxy(t *testing.T) {
	for _, version := range []int{1, 2} {
		ln := listenTCP(t)
		_, red, blue := start(t, "-backend", ln.Addr().String(), "-send-proxy", fmt.Sprint(version))
		for _, tenant := range []*nstest.Tenant{red, blue} {
			client := dial(t, tenant)
			say(t, client, "hello")
			in := bufio.NewReader(accept(t, ln))
			header, err := proxyproto.Read(in)
			must(t, err)
			if header.Version != byte(version) || header.SourceAddr.String() != client.LocalAddr().String() ||
				header.DestinationAddr.String() != "10.77.0.1:8080" {
				t.Errorf("version %d says %+v to who dials from %v", version, header, client.LocalAddr())
			}
			tlvs, err := header.TLVs()
			must(t, err)
			if version == 2 && (len(tlvs) != 1 || tlvs[0].Type != proxyproto.PP2_TYPE_NETNS || string(tlvs[0].Value) != tenant.Name) {
				t.Errorf("version 2 says %+v in %s", tlvs, tenant.Name)
			}
			hello := make([]byte, 5)
			if _, err := io.ReadFull(in, hello); err != nil || string(hello) != "hello" {
				t.Errorf("after the header comes %q, %v", hello, err)
			}
		}
	}
}

// A signal lets connections go on, for a while.
func TestSignal(t *testing.T) {
	lab := nstest.New(t)
	red := lab.MustAdd(t, "red")
	ln := listenTCP(t)
	p := programtest.Spawn(t, false, "-netns-dir", lab.Dir(), "-backend", ln.Addr().String(), "-drain", "1h")
	p.Await(t, "msg=ready")
	client := dial(t, red)
	backend := accept(t, ln)
	p.Stop()
	p.Await(t, `"namespace draining" netns=red`)
	say(t, client, "still here")
	hear(t, backend, "still here")
	must(t, client.Close())
	must(t, backend.Close())
	p.Wait(t, 0)

	p = programtest.Spawn(t, false, "-netns-dir", lab.Dir(), "-backend", ln.Addr().String(), "-drain", "20ms")
	p.Await(t, "msg=ready")
	client = dial(t, red)
	accept(t, ln)
	p.Stop()
	hearReset(t, client)
	p.Wait(t, 1)
	p.Await(t, "^proxy: .*still open at the end of the drain")
}

func TestWrongCallsAreSaid(t *testing.T) {
	for _, test := range []struct {
		args string
		code int
		want string
	}{
		{"", 2, "-backend is missing"},
		{"-prot 7", 2, "not defined: -prot"},
		{"-backend x:1 -port 70000", 2, "70000 is not within"},
		{"-backend x:1 -netns [", 2, "syntax error in pattern"},
		{"-backend x:1 -admin nowhere", 2, "neither a loopback"},
		{"-backend x:1 -send-proxy 3", 2, "-send-proxy 3 is not"},
		{"-backend x:1 -max -1", 2, "-max -1 is less"},
		{"-backend x:1 -timeout -1s", 2, "DialTimeout"},
		{"-backend 192.0.2.1", 2, "-backend: .*missing port"},
		{"-backend unix:", 2, "-backend: .*empty"},
		{"-backend x:1 blue", 2, `"blue" is not a flag`},
		{"-h", 0, "-netns-dir directory"},
	} {
		p := programtest.Launch(t, run, strings.Fields(test.args)...)
		p.Wait(t, test.code)
		p.Await(t, test.want)
	}
	p := programtest.Spawn(t, true, "-backend", "x:1")
	p.Wait(t, 1)
	p.Await(t, "^proxy: needs CAP_SYS_ADMIN")
}
