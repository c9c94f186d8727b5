package session_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/initiator"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/session"
	"github.com/nsreactor/nsreactor/nsctx"
	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

const port = 3260

// tenants are found by their namespace's name.
type tenants map[string]*session.Tenant

func (d tenants) Tenant(ns *engine.Namespace) *session.Tenant { return d[ns.Name()] }

// secrets let one user in; the target proves itself as "portal".
type secrets struct{ user, secret, own string }

func (s secrets) Secret(user string) ([]byte, bool) { return []byte(s.secret), user == s.user }
func (s secrets) Own(string) (string, []byte, bool) { return "portal", []byte(s.own), s.own != "" }

// serveTenants serves tenants in the namespaces of their names until the test ends.
func serveTenants(t *testing.T, lab *nstest.Lab, d tenants) {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	server, err := session.New(session.Config{Directory: d, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	eng, err := engine.New(engine.Config{Loops: 2, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	if err := eng.Handle("tcp", port, server.Handler(), engine.AnyNamespace); err != nil {
		t.Fatal(err)
	}
	for name := range d {
		if _, err := eng.Attach(nsctx.ByPath(lab.Path(name))); err != nil {
			t.Fatal(err)
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- eng.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// Two tenants with one address have each its own users and targets: nobody gets in by
// what is good next door, whatever the algorithm, and nobody sees what is there.
func TestCHAPInNamespaces(t *testing.T) {
	lab := nstest.New(t)
	red, blue := lab.MustAdd(t, "red"), lab.MustAdd(t, "blue")
	tenant := func(name string, s secrets) *session.Tenant {
		return &session.Tenant{Name: name, Discovery: s, Targets: []*session.Target{{
			Name: "iqn.2026-01.example:" + name, Portals: []session.Portal{{Group: 1}}, Secrets: s,
		}}}
	}
	serveTenants(t, lab, tenants{
		"red":  tenant("red", secrets{"ann", "the secret of ann", "the red portal's"}),
		"blue": tenant("blue", secrets{"bob", "the secret of bob", ""}),
	})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	chap := func(alg int, name, secret, peer string) *initiator.CHAP {
		return &initiator.CHAP{Name: name, Secret: secret, Algorithms: []int{alg}, PeerSecret: peer}
	}
	for _, c := range []struct {
		name   string
		where  *nstest.Tenant
		target string
		chap   *initiator.CHAP
		status int // 0 is success, -1 a target that does not prove itself
	}{
		{"MD5", red, "", chap(5, "ann", "the secret of ann", ""), 0},
		{"SHA1", red, "", chap(6, "ann", "the secret of ann", ""), 0},
		{"SHA-256", red, "", chap(7, "ann", "the secret of ann", ""), 0},
		{"SHA3-256", red, "", chap(8, "ann", "the secret of ann", ""), 0},
		{"mutual MD5", red, "", chap(5, "ann", "the secret of ann", "the red portal's"), 0},
		{"mutual SHA-256", red, "", chap(7, "ann", "the secret of ann", "the red portal's"), 0},
		{"another portal's secret", red, "", chap(7, "ann", "the secret of ann", "the blue portal's"), -1},
		{"a portal without a secret", blue, "", chap(7, "bob", "the secret of bob", "the red portal's"), 0x0201},
		{"wrong secret", red, "", chap(7, "ann", "the secret of bob", ""), 0x0201},
		{"unknown user", red, "", chap(7, "eve", "the secret of ann", ""), 0x0201},
		{"the neighbour's user", blue, "", chap(7, "ann", "the secret of ann", ""), 0x0201},
		{"an unknown algorithm", red, "", chap(9, "ann", "the secret of ann", ""), 0x0201},
		{"no proof", red, "", nil, 0x0201},
		{"the neighbour's target", blue, "iqn.2026-01.example:red", chap(7, "ann", "the secret of ann", ""), 0x0203},
		{"nobody's target", blue, "iqn.2026-01.example:nobody", chap(7, "bob", "the secret of bob", ""), 0x0203},
	} {
		t.Run(c.name, func(t *testing.T) {
			nc, err := c.where.Dial(ctx, "tcp", port)
			if err != nil {
				t.Fatal(err)
			}
			s, err := initiator.Open(ctx, nc, initiator.Config{Target: c.target, CHAP: c.chap})
			var refused *initiator.LoginError
			switch {
			case c.status == -1 && errors.Is(err, initiator.ErrAuthentication):
			case c.status > 0 && errors.As(err, &refused) && int(refused.Status) == c.status:
			case c.status != 0 || err != nil:
				t.Fatalf("%v; want status %#04x", err, c.status)
			default:
				sees(ctx, t, s, "iqn.2026-01.example:"+c.where.Name)
			}
		})
	}
}

// sees wants a discovery session to be shown one target, and ends it.
func sees(ctx context.Context, t *testing.T, s *initiator.Session, name string) {
	t.Helper()
	defer func() {
		if err := s.Logout(ctx); err != nil {
			t.Error(err)
		}
	}()
	targets, err := s.SendTargets(ctx, "All")
	if err != nil || len(targets) != 1 || targets[0].Name != name {
		t.Errorf("sees %+v, %v; want %s", targets, err, name)
	}
}
