package middleware

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/pires/go-proxyproto"

	"github.com/nsreactor/nsreactor/engine"
)

// The sizes of headers, in bytes. Section and figures are of the specification.
const (
	maxLine    = 107 // of version 1, with its CR LF: 2.1
	prefixSize = 16  // of version 2, of which the last two are the size of the rest: 2.2
)

var (
	lineStart = []byte("PROXY ")
	signature = proxyproto.SIGV2
)

var (
	errLine     = errors.New("line of version 1 without its end")
	errTooLarge = errors.New("header of version 2 is too large")
)

// headerSize says how long the header is that b begins with: 0 if with none, -1 if there
// is too little of it to tell. What follows it does not change the answer, nor does how
// much of it was there before.
func headerSize(b []byte) (int, error) {
	switch {
	case begins(b, lineStart):
		return lineSize(b)
	case begins(b, signature):
		if len(b) < prefixSize {
			return -1, nil
		}
		rest := binary.BigEndian.Uint16(b[prefixSize-2:])
		if rest > proxyproto.MaxV2HeaderSize {
			return 0, fmt.Errorf("%w: %d bytes", errTooLarge, rest)
		}
		return complete(b, prefixSize+int(rest)), nil
	}
	return 0, nil
}

// begins reports whether b is the beginning of something that starts with start.
func begins(b, start []byte) bool {
	n := min(len(b), len(start))
	return bytes.Equal(b[:n], start[:n])
}

func lineSize(b []byte) (int, error) {
	if end := bytes.IndexByte(b[:min(len(b), maxLine)], '\n'); end >= 0 {
		return end + 1, nil
	}
	if len(b) >= maxLine {
		return 0, errLine
	}
	return -1, nil
}

// complete is size, if b has so much.
func complete(b []byte, size int) int {
	if len(b) < size {
		return -1
	}
	return size
}

// parseHeader reads a header from b, which is all of it and nothing else.
func parseHeader(b []byte) (*proxyproto.Header, error) {
	if begins(b, signature) && b[13] == byte(proxyproto.UNSPEC) && b[12] == byte(proxyproto.PROXY) {
		// A client of a kind that the proxy can't tell: 2.2 leaves it to the receiver to
		// use the connection's own addresses, as for LOCAL, or to refuse. The library
		// refuses.
		b = bytes.Clone(b)
		b[12] = byte(proxyproto.LOCAL)
	}
	// Of version 1 the reader wants all at once; of version 2 it needs no buffer.
	r := bufio.NewReaderSize(bytes.NewReader(b), maxLine+1)
	h, err := proxyproto.Read(r)
	if err != nil {
		return nil, err
	}
	if _, err := h.TLVs(); err != nil {
		return nil, err
	}
	return h, nil
}

// SendProxyHeader writes a PROXY header of version 1 or 2, which declares a source and
// a destination, on a connection that was dialed. It must be the first that is
// written, and goes past a filter: TLS follows it. If the two are no addresses, because the
// client is a unix socket's, say, or the proxy itself, the header says that it
// declares none. The error is that of Write, or one about the version.
func SendProxyHeader(c *engine.Conn, version int, source, destination netip.AddrPort, more ...proxyproto.TLV) error {
	b, err := proxyHeader(version, source, destination, more)
	if err != nil {
		return err
	}
	_, err = c.Wire().Write(b)
	return err
}

func proxyHeader(version int, source, destination netip.AddrPort, more []proxyproto.TLV) ([]byte, error) {
	if version != 1 && version != 2 {
		return nil, fmt.Errorf("PROXY header of version %d: %w", version, proxyproto.ErrUnknownProxyProtocolVersion)
	}
	h := &proxyproto.Header{Version: byte(version), Command: proxyproto.LOCAL, TransportProtocol: proxyproto.UNSPEC}
	if source.IsValid() && destination.IsValid() {
		h = proxyproto.HeaderProxyFromAddrs(byte(version), tcpAddr(source), tcpAddr(destination))
	}
	if err := h.SetTLVs(more); err != nil {
		return nil, err
	}
	return h.Format()
}

// tcpAddr is an address as it is on the wire, where there are no zones.
func tcpAddr(a netip.AddrPort) *net.TCPAddr {
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port()))
}

// ProxyFor is what a proxy declares to its backend about one of its own connections: the
// client's address, and the one that the client has connected to.
func ProxyFor(c *engine.Conn) (source, destination netip.AddrPort) {
	if h := ProxyHeader(c); h != nil && !h.Command.IsLocal() {
		source, destination = addrPortOf(h.SourceAddr), addrPortOf(h.DestinationAddr)
		if source.IsValid() && destination.IsValid() {
			return source, destination
		}
	}
	return c.RemoteAddr(), c.LocalAddr()
}
