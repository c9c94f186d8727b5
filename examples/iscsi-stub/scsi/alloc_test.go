package scsi

import (
	"testing"
	"time"

	"github.com/nsreactor/nsreactor/examples/iscsi-stub/qos"
)

// freely admits all.
type freely struct{}

func (freely) Admit(*qos.IO, time.Time) time.Duration { return 0 }
func (freely) Done(*qos.IO, time.Time)                {}

func TestReadAndWriteDoNotAllocate(t *testing.T) {
	w := newWorld(t, nil)
	w.unit.shaper = freely{}
	out, in := make([]byte, 4096), make([]byte, 4096)
	now := time.Now()
	c := &Command{}
	for name, cdb := range map[string][]byte{
		"WRITE(10)": unhex(t, "2A 00 00 00 00 08 00 00 08 00"),
		"READ(10)":  unhex(t, "28 00 00 00 00 08 00 00 08 00"),
	} {
		once := func() {
			c.CDB = cdb
			if w.nexus.Start(c) == NeedData {
				c.Out = out
			}
			if c.Admit(now) != 0 || !c.Run(DontWait) || c.InLen > 0 && !c.ReadIn(in, 0, DontWait) || c.Status != Good {
				t.Fatal(c.Status)
			}
			c.End()
		}
		once()
		if n := testing.AllocsPerRun(100, once); n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
}

func BenchmarkRead(b *testing.B) {
	w := newWorld(b, nil)
	in := make([]byte, 4096)
	c := &Command{}
	cdb := unhex(b, "28 00 00 00 00 08 00 00 08 00")
	b.ReportAllocs()
	for b.Loop() {
		c.CDB = cdb
		w.nexus.Start(c)
		if !c.Run(DontWait) || !c.ReadIn(in, 0, DontWait) {
			b.Fatal(c.Status)
		}
		c.End()
	}
}
