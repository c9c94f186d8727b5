package tlshandler_test

import (
	"bytes"
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/handlers"
)

// tool runs a program among a tenant's clients. It returns what it printed.
func (r *rig) tool(tenant string, stdin io.Reader, name string, args ...string) (string, error) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	var out bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &out, &out
	if err := r.tenants[tenant].Peer.Do(cmd.Start); err != nil { // a child is where its parent's thread is
		r.t.Fatal(err)
	}
	err := cmd.Wait()
	return out.String(), err
}

// caFile writes the authority's certificate.
func (a *authority) file() string {
	a.t.Helper()
	file := filepath.Join(a.t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}), 0o600); err != nil {
		a.t.Fatal(err)
	}
	return file
}

// page answers HTTP requests with one page, and knows no more of HTTP.
func page(text string) engine.Handler {
	return hooks{data: func(c *engine.Conn) {
		b, _ := c.Peek(-1)
		end := bytes.Index(b, []byte("\r\n\r\n"))
		if end < 0 {
			return
		}
		c.Discard(end + 4)
		_, _ = fmt.Fprintf(c, "%s 200 %s\r\nContent-Length: %d\r\n\r\n", "HTTP/1.1", http.StatusText(http.StatusOK), len(text))
		_, _ = c.Write([]byte(text))
	}}
}

// curl gets each tenant's page under the one address that they have, with the
// tenant's certificate, in either version.
func TestCurl(t *testing.T) {
	ca, dir := newAuthority(t, "ca"), t.TempDir()
	text := strings.Repeat("0123456789abcdef", 20_000)
	_, h := storeOf(t, page(text), site(t, ca, dir, "a", "a.test"), site(t, ca, dir, "b", "b.test"))
	r := serve(t, engine.Config{}, h, "a", "b")
	for _, tenant := range []string{"a", "b"} {
		for _, version := range []string{"--tlsv1.3", "--tls-max=1.2"} {
			name, addr := tenant+".test", r.tenants[tenant].Addr4.String()
			flags := []string{"--silent", "--show-error", "--cacert", ca.file(), "--resolve", name + ":443:" + addr}
			if version == "--tlsv1.3" {
				flags = append(flags, version)
			} else {
				flags = append(flags, "--tls-max", "1.2")
			}
			url := "https://" + name + "/"
			got, err := r.tool(tenant, nil, "curl", append(flags, url, url)...) // the second on the same connection
			if err != nil || got != text+text {
				t.Errorf("%s %s: %d bytes, %.200q, %v", tenant, version, len(got), got, err)
			}
		}
	}
	got, err := r.tool("b", nil, "curl", "--silent", "--show-error", "--cacert", ca.file(), "--resolve", "a.test:443:10.77.0.1", "https://a.test/")
	if err == nil {
		t.Errorf("tenant b has a's certificate, and answers %.100q", got)
	}
}

// openssl s_client, in both versions, with a resumed session: its lines come back, and
// both ends are close_notify.
func TestOpenSSL(t *testing.T) {
	ended := make(chan error, 1)
	ca, h := fixture(t, hooks{data: echo, closed: func(_ *engine.Conn, err error) { ended <- err }})
	r := serve(t, engine.Config{}, h)
	for version, name := range map[string]string{"-tls1_2": "TLSv1.2", "-tls1_3": "TLSv1.3"} {
		t.Run(name, func(t *testing.T) {
			session := filepath.Join(t.TempDir(), "session")
			for _, test := range []struct{ flag, want string }{{"-sess_out", "New, " + name}, {"-sess_in", "Reused, " + name}} {
				out, err := r.sClient(ca, []step{{"one\n", "one\n"}, {"two\n", "two\n"}}, version, test.flag, session)
				if err != nil {
					t.Errorf("%v:\n%s", err, out)
				}
				for _, want := range []string{"Verify return code: 0 (ok)", test.want} {
					if !strings.Contains(out, want) {
						t.Errorf("%s: no %q in\n%s", test.flag, want, out)
					}
				}
				if err := await(t, ended, "OnClose"); err != nil {
					t.Errorf("OnClose got %v", err)
				}
			}
		})
	}
}

// A client may change its key, and have us change ours.
func TestKeyUpdate(t *testing.T) {
	ca, h := fixture(t, handlers.Echo{})
	r := serve(t, engine.Config{}, h)
	out, err := r.sClient(ca, []step{
		{"one\n", "one\n"}, {"k\n", "KEYUPDATE"}, {"two\n", "two\n"}, {"K\n", "KEYUPDATE"}, {"three\n", "three\n"}, {"four\n", "four\n"},
	}, "-tls1_3")
	if err != nil {
		t.Errorf("%v:\n%s", err, out)
	}
}

// One that wants to negotiate anew is refused.
func TestRenegotiationIsRefused(t *testing.T) {
	ended := make(chan error, 1)
	ca, h := fixture(t, hooks{data: echo, closed: func(_ *engine.Conn, err error) { ended <- err }})
	r := serve(t, engine.Config{}, h)
	out, _ := r.sClient(ca, []step{{"one\n", "one\n"}, {"R\n", "RENEGOTIATING"}, {"", "unexpected message"}}, "-tls1_2")
	if !strings.Contains(out, "alert unexpected message") {
		t.Errorf("no alert in\n%s", out)
	}
	if err := await(t, ended, "OnClose"); err == nil || !strings.Contains(err.Error(), "tls: ") {
		t.Errorf("OnClose got %v", err)
	}
}

// step is what to type into a program, and what it prints then.
type step struct{ send, until string }

// sClient runs openssl s_client through steps, then ends its input. It returns what was
// printed.
func (r *rig) sClient(ca *authority, steps []step, args ...string) (string, error) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "openssl", append([]string{
		"s_client", "-connect", "10.77.0.1:" + strconv.Itoa(port), "-servername", "server", "-CAfile", ca.file(), "-verify_return_error",
	}, args...)...)
	typed, err := cmd.StdinPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	out := &typist{steps: append([]step{{"", "Verify return code"}}, steps...), to: typed}
	cmd.Stdout, cmd.Stderr = out, out
	if err := r.tenants["a"].Peer.Do(cmd.Start); err != nil {
		r.t.Fatal(err)
	}
	err = cmd.Wait()
	return out.out.String(), err
}

// typist types a step when it has seen the end of the one before it, and after the
// last it ends the input.
type typist struct {
	out   strings.Builder
	to    io.WriteCloser
	steps []step
	seen  int // how much of the output belongs to steps that are done
}

func (y *typist) Write(p []byte) (int, error) {
	y.out.Write(p)
	for len(y.steps) > 0 {
		at := strings.Index(y.out.String()[y.seen:], y.steps[0].until)
		if at < 0 {
			break
		}
		y.seen += at + len(y.steps[0].until)
		y.steps = y.steps[1:]
		y.next()
	}
	return len(p), nil
}

// next types. That it can't is seen by what does not come.
func (y *typist) next() {
	if len(y.steps) == 0 {
		_ = y.to.Close()
		return
	}
	_, _ = io.WriteString(y.to, y.steps[0].send)
}
