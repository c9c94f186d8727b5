//go:build !race

package session

import (
	"io"
	"testing"

	"github.com/nsreactor/nsreactor/examples/iscsi-stub/initiator"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/pdu"
)

// A READ and a WRITE that need not wait allocate nothing, from the socket to the socket.
func TestNoAllocations(t *testing.T) {
	f := newFixture(t, options{})
	c, login := f.raw("MaxRecvDataSegmentLength=65536")
	sn, stat := login.CmdSN, login.ExpStatSN
	run := func(read bool, want int) func() {
		var batch []byte
		answers := make([]byte, want)
		return func() {
			batch = batch[:0]
			for i := range 32 {
				cmd := pdu.SCSICommand{Final: true, ITT: pdu.Tag(i), Expected: 4096, CmdSN: sn, ExpStatSN: stat, Read: read, Write: !read}
				cmd.CDB = cdbs[0]
				if read {
					cmd.CDB = cdbs[1]
				} else {
					cmd.Data = block4k
				}
				batch = cmd.Append(batch, pdu.Format{})
				sn++
			}
			if _, err := c.Write(batch); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(c, answers); err != nil {
				t.Fatal(err)
			}
		}
	}
	attention := pdu.SCSICommand{Final: true, ITT: 1, CmdSN: sn, CDB: make([]byte, 6)} // the unit attention
	sn++
	if err := c.Send(attention); err != nil {
		t.Fatal(err)
	}
	if p, err := c.Receive(); err != nil || p.Status() != initiator.CheckCondition {
		t.Fatalf("%v, %v", p.Header, err)
	}
	for name, f := range map[string]func(){"write": run(false, 32*48), "read": run(true, 32*(48+4096))} {
		f()
		if n := testing.AllocsPerRun(200, f); n > 1 { // of 32
			t.Errorf("%s: %v allocations for 32 commands", name, n)
		}
	}
}

var (
	cdbs    = [][]byte{{0x2a, 0, 0, 0, 0, 0, 0, 0, 8, 0}, {0x28, 0, 0, 0, 0, 0, 0, 0, 8, 0}}
	block4k = make([]byte, 4096)
)
