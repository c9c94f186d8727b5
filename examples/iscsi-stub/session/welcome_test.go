package session

import (
	"sync/atomic"
	"testing"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/initiator"
)

// changing is a Directory that says something else from some moment on.
type changing struct{ atomic.Pointer[Tenant] }

func (d *changing) Tenant(*engine.Namespace) *Tenant { return d.Load() }

// begin puts it in a fixture's place.
func (d *changing) begin(cfg *Config) {
	d.Store(cfg.Directory.Tenant(nil))
	cfg.Directory = d
}

// What the Directory takes back it takes from those who are in, and from those on their way.
func TestRevoke(t *testing.T) {
	for name, change := range map[string]func(*Tenant){
		"the namespace is another tenant's": func(n *Tenant) { n.Name = "b" },
		"the target has gone":               func(n *Tenant) { n.Targets = nil },
		"the initiator is not wanted": func(n *Tenant) {
			other := *n.Targets[0]
			other.Authorized = func(string, string) bool { return false }
			n.Targets = []*Target{&other}
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := new(changing)
			f := newFixture(t, options{config: d.begin})
			in := f.dial(initiator.Config{})
			before := *d.Load()
			half := f.connect()
			tn := f.server.tenancy(&before)
			for opened := 0; opened < 2; {
				tn.mu.Lock()
				opened = tn.conns
				tn.mu.Unlock()
			}
			d.Store(&before) // nothing has changed
			if n := f.server.Revoke(); n != 0 {
				t.Errorf("%d sessions end for nothing", n)
			}
			after := before
			change(&after)
			d.Store(&after)
			if n := f.server.Revoke(); n != 1 {
				t.Errorf("%d sessions end, want 1", n)
			}
			if in.TestUnitReady(f.context(), lun0) == nil {
				t.Error("who is in goes on")
			}
			if _, err := half.Login(f.context(), initiator.Config{Target: targetName}); err == nil {
				t.Error("who was on his way is let in")
			}
		})
	}
}
