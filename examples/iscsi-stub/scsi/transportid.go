package scsi

import (
	"bytes"
	"encoding/binary"
	"strings"
)

// An iSCSI TransportID (SPC-4, 7.6.4.6) begins with its format and protocol, and its length.
const (
	transportIDHeader = 4
	iscsiPort         = 0x45 // format 01b, protocol iSCSI: an initiator port, not all of a node's
	maxTransportID    = 228 + transportIDHeader
)

// appendTransportID appends the TransportID of an initiator port.
func appendTransportID(b []byte, port string) []byte {
	n := max(20, (len(port)+1+3)/4*4)
	b = append(b, iscsiPort, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(n))
	b = append(b, port...)
	return append(b, make([]byte, n-len(port))...)
}

// cutTransportID takes an initiator port's TransportID off b. That of a whole node, which
// names no port, is not taken.
func cutTransportID(b []byte) (port string, rest []byte, ok bool) {
	if len(b) < transportIDHeader || b[0] != iscsiPort {
		return "", nil, false
	}
	n := int(binary.BigEndian.Uint16(b[2:]))
	if n < 20 || n%4 != 0 || n > maxTransportID || len(b) < transportIDHeader+n {
		return "", nil, false
	}
	name, padding, ok := bytes.Cut(b[transportIDHeader:transportIDHeader+n], []byte{0})
	if !ok || len(bytes.Trim(padding, "\x00")) > 0 {
		return "", nil, false
	}
	port = strings.ToLower(string(name))
	node, isid, ok := strings.Cut(port, ",i,0x")
	if !ok || node == "" || len(isid) != 12 || strings.Trim(isid, "0123456789abcdef") != "" {
		return "", nil, false
	}
	return port, b[transportIDHeader+n:], true
}
