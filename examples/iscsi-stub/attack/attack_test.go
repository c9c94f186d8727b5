package attack

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/nsreactor/nsreactor/examples/iscsi-stub/initiator"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/pdu"
)

var (
	plain   = initiator.Config{Target: disk}
	digests = initiator.Config{Target: disk, Keys: []string{"HeaderDigest=CRC32C", "DataDigest=CRC32C"}}
	noR2T   = initiator.Config{Target: disk, Keys: []string{"InitialR2T=No", "FirstBurstLength=1024", "MaxBurstLength=2048"}}
)

// Before the login there is nothing but Login Requests: all else ends the
// connection (RFC 7143, section 6.3.1).
func TestBeforeLogin(t *testing.T) {
	r := newRig(t)
	for name, b := range map[string][]byte{
		"HTTP":              []byte("GET / HTTP/1.1\r\nHost: disk.example\r\n\r\n" + strings.Repeat("x", 48)),
		"zeros":             make([]byte, 4096),
		"a SCSI command":    pdu.SCSICommand{Final: true, CDB: make([]byte, 6)}.Append(nil, pdu.Format{}),
		"16 MiB announced":  binary.BigEndian.AppendUint32([]byte{0x43, 0x87, 0, 0}, 0x00ffffff),
		"a target's opcode": pdu.NOPIn{}.Append(nil, pdu.Format{}),
		"text without zero": pdu.LoginRequest{Transit: true, CSG: 1, NSG: 3, Data: []byte("x")}.Append(nil, pdu.Format{}),
	} {
		t.Run(name, func(t *testing.T) {
			c := r.raw(initiator.Config{})
			c.t = t
			c.Write(append(b, make([]byte, max(0, pdu.HeaderSize-len(b)))...)) //nolint:errcheck // the end is what counts
			c.closed()
		})
	}
	r.unharmed()
}

// Half a login, or half a PDU, holds no one else up.
func TestHalfALogin(t *testing.T) {
	r := newRig(t)
	for range 4 {
		c := r.raw(initiator.Config{})
		c.send(pdu.LoginRequest{Continue: true, CSG: pdu.OperationalNegotiation, Data: []byte("InitiatorName=iqn.x:")})
		c.next(pdu.OpLoginResponse)
		half := r.raw(initiator.Config{})
		if _, err := half.Write(make([]byte, 20)); err != nil {
			t.Fatal(err)
		}
	}
	r.unharmed()
}

// The command window: what is below or above it is dropped in silence, a gap is
// waited for, a number that is used again is a duplicate (section 4.2.2.1).
func TestCommandWindow(t *testing.T) {
	r := newRig(t)
	cfg := plain
	cfg.CmdSN = 0xfffffff8 // wraps in the middle
	c := r.raw(cfg)
	c.ready()
	below, above := c.tur(0x20), c.tur(0x21)
	c.cmdSN -= 2
	below.CmdSN, above.CmdSN = c.cmdSN-1, c.cmdSN+1000
	c.send(below, above)
	c.alive()
	for range 20 { // past the wrap
		first, second := c.tur(0x30), c.tur(0x31)
		c.send(second)
		c.alive()
		c.send(first)
		c.good(0x30)
		c.good(0x31)
	}
	if c.cmdSN > 1000 {
		t.Errorf("CmdSN %d has not wrapped", c.cmdSN)
	}
	r.unharmed()
}

// What is wrong with a request by itself is rejected, or ends the connection.
func TestRequestsThatAreWrong(t *testing.T) {
	r := newRig(t)
	for name, c := range map[string]struct {
		pdu  func(c *raw) initiator.Builder
		want pdu.RejectReason
	}{
		"an opcode that is not": {func(c *raw) initiator.Builder {
			p := initiator.NewRaw(c.tur(0x77))
			p.Header[0] = 0x1f
			return p
		}, pdu.RejectNotSupported},
		"a target's opcode": {func(c *raw) initiator.Builder {
			return pdu.R2T{ITT: 0x77}
		}, pdu.RejectNotSupported},
		"a login": {func(*raw) initiator.Builder {
			return pdu.LoginRequest{Transit: true, CSG: 1, NSG: 3, ITT: 0x77}
		}, pdu.RejectProtocolError},
		"additional segments that run over": {func(c *raw) initiator.Builder {
			p := initiator.NewRaw(c.tur(0x77))
			p.Header[4] = 1
			p.Header = append(p.Header, 0xff, 0xff, 1, 0)
			return p
		}, pdu.RejectInvalidField},
		"more to come of a read": {func(c *raw) initiator.Builder {
			p := c.tur(0x77)
			p.Final, p.Read = false, true
			return p
		}, pdu.RejectProtocolError},
		"data of no task": {func(*raw) initiator.Builder {
			return pdu.DataOut{Final: true, ITT: 0x77, TTT: 0x99, Data: make([]byte, 512)}
		}, pdu.RejectInvalidField},
	} {
		t.Run(name, func(t *testing.T) {
			conn := r.raw(plain)
			conn.t = t
			conn.ready()
			at := conn.cmdSN
			conn.send(c.pdu(conn))
			conn.rejected(c.want, 0x77)
			conn.cmdSN = at
			conn.alive()
		})
	}
	r.unharmed()
}

// Lengths that can't be end the connection: there is no way to find the next PDU
// (section 7.7).
func TestTooMuchAnnounced(t *testing.T) {
	r := newRig(t)
	for _, cfg := range []initiator.Config{plain, digests} {
		c := r.raw(cfg)
		p := initiator.NewRaw(c.tur(1))
		p.SetDataLength(pdu.MaxData)
		if _, err := c.Write(c.Format.AppendHeader(nil, p.Header)); err != nil {
			t.Fatal(err)
		}
		c.closed()
	}
	r.unharmed()
}

// A bad header digest ends the connection, a bad data digest the PDU alone
// (section 7.8).
func TestDigests(t *testing.T) {
	r := newRig(t)
	c := r.raw(digests)
	c.ready()
	c.alive()
	b := pdu.NOPOut{Immediate: true, ITT: 0x77, TTT: pdu.NoTag, CmdSN: c.cmdSN, Data: []byte("12345")}.Append(nil, c.Format)
	b[len(b)-1] ^= 1
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
	c.rejected(pdu.RejectDataDigest, 0x77)
	c.alive()
	b = c.tur(0x78).Append(nil, c.Format)
	b[30] ^= 1
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
	c.closed()
	r.unharmed()
}

// Data-Out that is not what was asked for ends the task with sense data, once
// the last of it has come (section 11.4.7.2).
func TestDataOutThatIsWrong(t *testing.T) {
	r := newRig(t)
	const two = 2 * block
	for name, c := range map[string]struct {
		change func(*pdu.DataOut)
		sense  initiator.Sense
	}{
		"DataSN":       {func(p *pdu.DataOut) { p.DataSN = 27 }, initiator.Sense{Key: 0x0b, ASC: 0x47, ASCQ: 0x05}},
		"BufferOffset": {func(p *pdu.DataOut) { p.Offset = 512 }, initiator.Sense{Key: 0x0b, ASC: 0x0c, ASCQ: 0x0d}},
		"past the end": {func(p *pdu.DataOut) { p.Offset = 1 << 30 }, initiator.Sense{Key: 0x0b, ASC: 0x0c, ASCQ: 0x0d}},
		"too much":     {func(p *pdu.DataOut) { p.Data = make([]byte, two+4) }, initiator.Sense{Key: 0x0b, ASC: 0x0c, ASCQ: 0x0d}},
		"too little":   {func(p *pdu.DataOut) { p.Data = make([]byte, block) }, initiator.Sense{Key: 0x0b, ASC: 0x0c, ASCQ: 0x0d}},
	} {
		t.Run(name, func(t *testing.T) {
			conn := r.raw(plain)
			conn.t = t
			conn.ready()
			conn.send(conn.write(0x50, 2))
			r2t := conn.next(pdu.OpR2T)
			if r2t.DesiredLength() != two {
				t.Fatalf("R2T for %d bytes", r2t.DesiredLength())
			}
			p := pdu.DataOut{Final: true, ITT: 0x50, TTT: r2t.TTT(), Data: make([]byte, two)}
			c.change(&p)
			conn.send(p)
			conn.sense(0x50, c.sense)
			conn.alive()
		})
	}
	conn := r.raw(plain)
	conn.ready()
	conn.send(conn.write(0x51, 2))
	r2t := conn.next(pdu.OpR2T)
	conn.send(pdu.DataOut{Final: true, ITT: 0x51, TTT: r2t.TTT() + 5, Data: make([]byte, two)})
	conn.rejected(pdu.RejectInvalidField, 0x51)
	conn.send(pdu.DataOut{Final: true, ITT: 0x51, TTT: r2t.TTT(), Data: make([]byte, two)})
	conn.good(0x51)
	r.unharmed()
}

// More than may come unasked, or data at all where none may (section 13.14).
func TestUnsolicitedDataThatIsNotAllowed(t *testing.T) {
	r := newRig(t)
	want := initiator.Sense{Key: 0x0b, ASC: 0x0c, ASCQ: 0x0c}
	c := r.raw(noR2T)
	c.ready()
	p := c.write(0x60, 4)
	p.Data = make([]byte, 4*block) // FirstBurstLength is 1024
	c.send(p)
	c.sense(0x60, want)
	p = c.write(0x61, 4)
	p.Final = false
	c.send(p, pdu.DataOut{Final: true, ITT: 0x61, TTT: pdu.NoTag, Data: make([]byte, 4*block)})
	c.sense(0x61, want)
	c.alive()
	r.unharmed()
}

// A task tag that is in use (section 11.2.1.8).
func TestDuplicateTag(t *testing.T) {
	r := newRig(t)
	c := r.raw(plain)
	c.ready()
	c.send(c.write(0x50, 2))
	r2t := c.next(pdu.OpR2T)
	c.send(c.tur(0x50))
	c.rejected(pdu.RejectTaskInProgress, 0x50)
	c.send(pdu.DataOut{Final: true, ITT: 0x50, TTT: r2t.TTT(), Data: make([]byte, 2*block)})
	c.good(0x50)
	r.unharmed()
}
