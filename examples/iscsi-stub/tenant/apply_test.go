package tenant

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nsreactor/nsreactor/examples/iscsi-stub/qos"
)

// rig is a Directory, and a way to change it.
type rig struct {
	*Directory
	t   *testing.T
	dir string
}

func newRig(t *testing.T, volumes string) *rig {
	r := &rig{t: t, dir: t.TempDir()}
	d, err := Open(r.file(volumes), 3260, slog.New(slog.DiscardHandler), nobodyCounts)
	if err != nil {
		t.Fatal(err)
	}
	r.Directory = d
	return r
}

func (r *rig) file(volumes string) *File {
	r.t.Helper()
	f, err := Parse(filepath.Join(r.dir, "t.yaml"), []byte("data: data\ntenants: [{name: a, namespaces: a, volumes: ["+volumes+"]}]\n"))
	if err != nil {
		r.t.Fatal(err)
	}
	return f
}

// A File that is refused changed the quality of service of the volumes before the one that it
// was refused for.
func TestRefusedFileChangesNoQoS(t *testing.T) {
	r := newRig(t, "{name: d, size: 1MiB, kind: memory}, {name: e, size: 1MiB, kind: memory}")
	const changed = "{name: d, size: 1MiB, kind: memory, qos: {max: {iops: 1}}}, {name: e, size: 1MiB, kind: memory"
	admits := func() bool {
		u, at := (*r.units.Load())["a/d"], time.Now()
		for range 10 {
			var io qos.IO
			if wait := u.shaper.Admit(&io, at); wait > 0 {
				return false
			}
			u.shaper.Done(&io, at)
		}
		return true
	}
	if err := r.Apply(r.file(changed+", block: 4096}"), nil); err == nil {
		t.Error("the size of a volume's blocks has changed")
	}
	if !admits() {
		t.Error("the volume is slowed as a File wants that was refused")
	}
	if err := r.Apply(r.file(changed+"}"), nil); err != nil || admits() {
		t.Errorf("the volume is not slowed, %v", err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

// Counters are to be had while a File is applied, which may take long: a scrape waited for it.
func TestCountersDuringApply(t *testing.T) {
	r := newRig(t, "{name: d, size: 1MiB, kind: memory}")
	counted := make(chan int, 1)
	err := r.Apply(r.file("{name: d, size: 1MiB, kind: memory}"), func() {
		n := 0
		go func() {
			r.Volumes(func(string, string, int, qos.Counters) { n++ })
			counted <- n
		}()
		select {
		case n := <-counted:
			if n != 1 {
				t.Errorf("counters of %d volumes", n)
			}
		case <-time.After(30 * time.Second):
			t.Error("there are none")
		}
	})
	if err := r.Close(); err != nil || t.Failed() {
		t.Error(err)
	}
	if err != nil {
		t.Error(err)
	}
}

// The File is applied, whatever becomes of the volumes that are gone: it was said not to be.
func TestVolumeThatCannotBeClosed(t *testing.T) {
	r := newRig(t, "{name: d, size: 1MiB}")
	if err := os.Remove(filepath.Join(r.dir, "data", "a", "d.img")); err != nil {
		t.Fatal(err)
	}
	if err := r.Apply(r.file(""), nil); err != nil {
		t.Error(err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}
