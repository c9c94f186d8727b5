package initiator

import (
	"bufio"
	"fmt"
	"io"
	"net"

	"github.com/nsreactor/nsreactor/examples/iscsi-stub/pdu"
)

// PDU is one that was received. It is the receiver's to keep.
type PDU struct {
	pdu.Header
	Data []byte
}

// Builder is a PDU to send: the structs of package pdu, or Raw.
type Builder interface {
	Append(dst []byte, f pdu.Format) []byte
}

// Raw is a PDU with a header that can be changed at will before it is sent; its
// lengths are as they are in Header, its digests right.
type Raw struct {
	pdu.Header
	Data []byte
}

// NewRaw makes a Raw of a PDU.
func NewRaw(p Builder) Raw {
	b := p.Append(nil, pdu.Format{})
	n := pdu.HeaderSize + pdu.Header(b).AHSLength()
	return Raw{Header: pdu.Header(b[:n:n]), Data: b[n : n+pdu.Header(b).DataLength()]}
}

// Append appends the PDU.
func (r Raw) Append(dst []byte, f pdu.Format) []byte {
	return f.AppendData(f.AppendHeader(dst, r.Header), r.Data)
}

// Conn is PDUs over a connection. What is written to it besides goes out as it
// is. One goroutine at a time may send and one receive; deadlines are set on
// the net.Conn.
type Conn struct {
	net.Conn
	// Format is the digests that PDUs have, both ways. Login sets it.
	Format pdu.Format
	// MaxRecv limits the data segments received. Login sets it to what it
	// declares. 0 is pdu.DefaultLimit.
	MaxRecv int

	r *bufio.Reader
}

// NewConn makes a Conn.
func NewConn(nc net.Conn) *Conn {
	return &Conn{Conn: nc, r: bufio.NewReaderSize(nc, 64<<10)}
}

// Send sends PDUs in one write.
func (c *Conn) Send(pdus ...Builder) error {
	var b []byte
	for _, p := range pdus {
		b = p.Append(b, c.Format)
	}
	_, err := c.Write(b)
	return err
}

// Receive returns the next PDU. One with a data digest that does not match is
// returned along with a *pdu.DigestError. An end of file between PDUs is io.EOF.
func (c *Conn) Receive() (PDU, error) {
	limit := c.MaxRecv
	if limit == 0 {
		limit = pdu.DefaultLimit
	}
	d := c.Format.Decoder(limit)
	b := make([]byte, c.Format.HeaderSize(), c.Format.HeaderSize()+64)
	if _, err := io.ReadFull(c.r, b); err != nil {
		return PDU{}, err
	}
	h, header, body, err := d.Parse(b)
	if err == nil && header > len(b) {
		if b, err = c.more(b, header); err == nil {
			h, header, body, err = d.Parse(b)
		}
	}
	if err != nil {
		return PDU{}, fmt.Errorf("receive: %w", err)
	}
	if b, err = c.more(b[:header], header+body); err != nil {
		return PDU{}, err
	}
	data, err := c.Format.Check(h, b[header:])
	return PDU{Header: h, Data: data}, err
}

// more reads until b is n bytes long.
func (c *Conn) more(b []byte, n int) ([]byte, error) {
	have := len(b)
	b = append(b, make([]byte, n-have)...)
	if _, err := io.ReadFull(c.r, b[have:]); err != nil {
		return nil, fmt.Errorf("receive: %w", unexpected(err))
	}
	return b, nil
}

func unexpected(err error) error {
	if err == io.EOF { //nolint:errorlint // as io.ReadFull returns it
		return io.ErrUnexpectedEOF
	}
	return err
}
