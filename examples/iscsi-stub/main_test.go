package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/nsreactor/nsreactor/examples/internal/programtest"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/initiator"
	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

func TestMain(m *testing.M) { programtest.Main(m, main) }

// both is run with its two outputs as one.
func both(ctx context.Context, args []string, out io.Writer) int { return run(ctx, args, out, out) }

func TestWrongCallsAreSaid(t *testing.T) {
	wrong := tenantsFile(t, "tenants: []\nthings: []\n")
	for _, test := range []struct {
		args []string
		code int
		want string
	}{
		{nil, 2, "-config is missing"},
		{[]string{"-prot", "7"}, 2, "not defined: -prot"},
		{[]string{"-config", wrong, "-port", "70000"}, 2, "-port 70000 is not within"},
		{[]string{"-config", wrong, "-loops", "-1"}, 2, "-loops -1"},
		{[]string{"-config", wrong, "-netns", "["}, 2, `-netns "["`},
		{[]string{"-config", wrong, "-netns", ""}, 2, "-home"},
		{[]string{"-config", wrong, "-demo"}, 2, "-demo has tenants of its own"},
		{[]string{"-config", wrong, "stray"}, 2, `"stray" is not a flag`},
		{[]string{"-config", wrong, "-check"}, 1, wrong + `:2:1: "things" is no key`},
		{[]string{"-config", wrong}, 1, wrong + `:2:1: "things" is no key`},
		{[]string{"-config", "/nonexistent"}, 1, "no such file"},
		{[]string{"-config", tenantsFile(t, "tenants: []\n"), "-admin", "0.0.0.0:1"}, 2, "not a loopback"},
		{[]string{"-config", tenantsFile(t, twoTenants), "-check"}, 0, "is fine: 2 tenants"},
		{[]string{"-h"}, 0, "-netns-dir directory"},
	} {
		p := programtest.Launch(t, both, test.args...)
		p.Wait(t, test.code)
		p.Await(t, regexp.QuoteMeta(test.want))
	}
	p := programtest.Spawn(t, true, "-config", tenantsFile(t, twoTenants))
	p.Wait(t, 1)
	p.Await(t, "^iscsi-stub: needs CAP_SYS_ADMIN")
}

func TestDemo(t *testing.T) {
	p := programtest.Launch(t, both, "-demo")
	p.Wait(t, 0)
	p.Await(t, "^PASS ")
	if lines := strings.Count(p.Output(), "\n"); lines > 30 {
		t.Errorf("it takes %d lines", lines)
	}
}

// Ctrl-C leaves nothing behind, whenever it comes; nstest finds what is left of namespaces.
func TestDemoInterrupted(t *testing.T) {
	for _, at := range []string{"two namespaces", "discovers", "writes"} {
		p := programtest.Spawn(t, false, "-demo")
		p.Await(t, at)
		p.Stop()
		select {
		case <-t.Context().Done():
		default:
			p.Await(t, "^(PASS|FAIL interrupted)") // it may have been too fast
		}
	}
	left, err := filepath.Glob("/run/iscsi-stub-demo-*")
	if err != nil || len(left) > 0 {
		t.Errorf("left: %q, %v", left, err)
	}
}

const twoTenants = `data: data
tenants:
- name: blue
  namespaces: blue-*
  volumes: [{name: disk, size: 16MiB}, {name: spare, size: 16MiB, kind: memory}]
  targets:
  - iqn: iqn.2026-01.com.example:disk
    luns: {0: disk}
  - iqn: iqn.2026-01.com.example:secret
    luns: {0: spare}
    chap: {users: {user: ann, secret: what-only-ann-knows}}
- name: red
  namespaces: red
  volumes: [{name: disk, size: 16MiB, kind: memory}]
  targets: [{iqn: "iqn.2026-01.com.example:disk", luns: {0: disk}}]
`

// tenantsFile writes one that is its owner's alone.
func tenantsFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tenants.yaml")
	rewrite(t, path, text)
	return path
}

func rewrite(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// enter logs in from a tenant's side of the wire.
func enter(t *testing.T, at *nstest.Tenant, cfg initiator.Config) (*initiator.Session, error) {
	t.Helper()
	conn, err := at.Dial(t.Context(), "tcp", 3260)
	if err != nil {
		t.Fatal(err)
	}
	s, err := initiator.Open(t.Context(), conn, cfg)
	if err == nil {
		t.Cleanup(func() { _ = s.Close() })
	}
	return s, err
}

func mustEnter(t *testing.T, at *nstest.Tenant, target string) *initiator.Session {
	t.Helper()
	s, err := enter(t, at, initiator.Config{Target: target})
	if err != nil {
		t.Fatalf("%s: %v", at.Name, err)
	}
	if target != "" {
		if err := s.Ready(t.Context(), initiator.LUN(0)); err != nil {
			t.Fatalf("%s: %v", at.Name, err)
		}
	}
	return s
}

func discovers(t *testing.T, at *nstest.Tenant, which string) string {
	t.Helper()
	s := mustEnter(t, at, "")
	targets, err := s.SendTargets(t.Context(), which)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Logout(t.Context()); err != nil {
		t.Error(err)
	}
	return fmt.Sprint(targets)
}

// What one tenant has, another doesn't find, by whatever name it asks, though addresses, names
// of targets and of volumes are the same.
func TestTenantsAreApart(t *testing.T) {
	lab := nstest.New(t)
	blue, blue2, red, nobody := lab.MustAdd(t, "blue-1"), lab.MustAdd(t, "blue-2"), lab.MustAdd(t, "red"), lab.MustAdd(t, "nobody")
	p := programtest.Launch(t, both, "-config", tenantsFile(t, twoTenants), "-netns-dir", lab.Dir())
	p.Await(t, "msg=ready")

	const (
		atDisk   = "{iqn.2026-01.com.example:disk [10.77.0.1:3260,1]}"
		atSecret = "{iqn.2026-01.com.example:secret [10.77.0.1:3260,1]}"
	)
	for _, test := range []struct {
		at          *nstest.Tenant
		which, want string
	}{
		{blue, "All", "[" + atDisk + " " + atSecret + "]"},
		{blue2, "All", "[" + atDisk + " " + atSecret + "]"},
		{red, "All", "[" + atDisk + "]"},
		{red, secretName, "[]"},
		{blue, secretName, "[" + atSecret + "]"},
	} {
		if got := discovers(t, test.at, test.which); got != test.want {
			t.Errorf("%s finds %s for %s, want %s", test.at.Name, got, test.which, test.want)
		}
	}

	chap := &initiator.CHAP{Name: "ann", Secret: "what-only-ann-knows"}
	inSecret, err := enter(t, blue2, initiator.Config{Target: secretName, CHAP: chap})
	if err != nil {
		t.Fatalf("blue's own: %v", err)
	}
	for _, name := range []string{
		secretName, "blue/iqn.2026-01.com.example:disk", "iqn.2026-01.com.example:disk,t,0x0002", "disk", "*",
		"iqn.2026-01.com.example:*", "../blue", strings.ToUpper(secretName),
	} {
		_, err := enter(t, red, initiator.Config{Target: name, CHAP: chap})
		if refusal, ok := errors.AsType[*initiator.LoginError](err); !ok {
			t.Errorf("red logs in to %q: %v, %v", name, refusal, err)
		}
	}
	if conn, err := nobody.Dial(t.Context(), "tcp", 3260); err == nil { // or it is reset before that
		if _, err := initiator.Open(t.Context(), conn, initiator.Config{}); err == nil {
			t.Error("a namespace that is nobody's is served")
		}
	}

	write := func(s *initiator.Session, text string) {
		t.Helper()
		if _, err := s.Do(t.Context(), initiator.Write(initiator.LUN(0), 7, pad(text), 512)); err != nil {
			t.Fatal(err)
		}
	}
	read := func(s *initiator.Session) string {
		t.Helper()
		r, err := s.Do(t.Context(), initiator.Read(initiator.LUN(0), 7, 512, 512))
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimRight(string(r.In), "\x00")
	}
	inBlue, inBlue2, inRed := mustEnter(t, blue, diskName), mustEnter(t, blue2, diskName), mustEnter(t, red, diskName)
	write(inBlue, "blue's")
	write(inRed, "red's")
	if got := read(inBlue); got != "blue's" {
		t.Errorf("blue reads %q", got)
	}
	if got := read(inBlue2); got != "blue's" { // its other namespace has the same disk
		t.Errorf("blue's other namespace reads %q", got)
	}
	if got := read(inRed); got != "red's" {
		t.Errorf("red reads %q", got)
	}
	for lun := 1; lun < 16; lun++ {
		if _, err := inRed.ReadCapacity(t.Context(), initiator.LUN(lun)); err == nil {
			t.Errorf("red has LUN %d", lun)
		}
	}
	for _, s := range []*initiator.Session{inBlue, inBlue2, inRed, inSecret} {
		if err := s.Logout(t.Context()); err != nil {
			t.Error(err)
		}
	}
	p.Stop()
	p.Wait(t, 0)
}

const secretName = "iqn.2026-01.com.example:secret"

func pad(text string) []byte { return append([]byte(text), make([]byte, 512-len(text))...) }

// What is written stays, and is still there when the program starts again.
func TestRestart(t *testing.T) {
	lab := nstest.New(t)
	blue := lab.MustAdd(t, "blue-1")
	file := tenantsFile(t, twoTenants)
	for round := range 2 {
		p := programtest.Launch(t, both, "-config", file, "-netns-dir", lab.Dir())
		p.Await(t, "msg=ready")
		s := mustEnter(t, blue, diskName)
		if round == 0 {
			if _, err := s.Do(t.Context(), initiator.Write(initiator.LUN(0), 0, pad("kept"), 512)); err != nil {
				t.Fatal(err)
			}
		} else if r, err := s.Do(t.Context(), initiator.Read(initiator.LUN(0), 0, 512, 512)); err != nil || string(r.In[:4]) != "kept" {
			t.Errorf("read %q, %v", r.In, err)
		}
		if err := s.Logout(t.Context()); err != nil {
			t.Error(err)
		}
		p.Stop()
		p.Wait(t, 0)
	}
}

func TestAdmin(t *testing.T) {
	lab := nstest.New(t)
	blue := lab.MustAdd(t, "blue-1")
	p := programtest.Launch(t, both, "-config", tenantsFile(t, twoTenants), "-netns-dir", lab.Dir(), "-admin", "127.0.0.1:0")
	admin := "http://" + p.Await(t, `"admin endpoint" addr=(\S+)`)
	p.Await(t, "msg=ready")
	s, err := enter(t, blue, initiator.Config{
		Initiator: "iqn.2026-01.com.example:host", Target: secretName, CHAP: &initiator.CHAP{Name: "ann", Secret: "what-only-ann-knows"},
		Keys: []string{"MaxBurstLength=16384", "HeaderDigest=CRC32C"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Ready(t.Context(), initiator.LUN(0)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Do(t.Context(), initiator.Write(initiator.LUN(0), 0, pad("x"), 512)); err != nil {
		t.Fatal(err)
	}
	if _, err := enter(t, blue, initiator.Config{Target: "iqn.2026-01.com.example:none"}); err == nil {
		t.Error("logged in to what there isn't")
	}

	var page struct {
		Sessions []struct {
			Tenant, Netns, Initiator, User, Target string
			Negotiated                             struct{ MaxBurstLength int }
			Connections                            []struct {
				HeaderDigest bool `json:"header_digest"`
			}
			Commands int
			BytesOut int `json:"bytes_out"`
		}
	}
	text := fetch(t, admin+"/sessions")
	if err := json.Unmarshal([]byte(text), &page); err != nil || len(page.Sessions) != 1 {
		t.Fatalf("/sessions says %s, %v", text, err)
	}
	got := page.Sessions[0]
	if fmt.Sprintln(got.Tenant, got.Netns, got.Initiator, got.User, got.Target, got.Negotiated, got.Connections, got.BytesOut) !=
		"blue blue-1 iqn.2026-01.com.example:host ann "+secretName+" {16384} [{true}] 512\n" {
		t.Errorf("/sessions says %s", text)
	}
	metrics := fetch(t, admin+"/metrics")
	for _, want := range []string{
		`iscsi_bytes_total{direction="out",tenant="blue",volume="spare"} 512`,
		`iscsi_command_duration_seconds_count{operation="write",tenant="blue",volume="spare"} 1`,
		`iscsi_command_errors_total{error="unit_attention",tenant="blue",volume="spare"} 1`,
		`iscsi_logins_total{outcome="success",tenant="blue"} 1`,
		`iscsi_logins_total{outcome="target not found",tenant="blue"} 1`,
		`iscsi_sessions{target="` + secretName + `",tenant="blue"} 1`,
	} {
		if !strings.Contains(metrics, want+"\n") {
			t.Errorf("/metrics has no %s", want)
		}
	}
	problems, err := promlint.New(strings.NewReader(metrics)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range problems {
		if strings.HasPrefix(problem.Metric, "iscsi_") {
			t.Errorf("%s: %s", problem.Metric, problem.Text)
		}
	}
	if all := text + metrics + p.Output(); strings.Contains(all, "what-only-ann-knows") {
		t.Error("a secret shows")
	}
}

func fetch(t *testing.T, url string) string {
	t.Helper()
	answer, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: programtest.Patience}).Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Errorf("%s: %s, %v", url, answer.Status, err)
	}
	return string(text)
}
