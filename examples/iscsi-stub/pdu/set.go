package pdu

import "encoding/binary"

func (h Header) put16(at int, v uint16) { binary.BigEndian.PutUint16(h[at:], v) }
func (h Header) put32(at int, v uint32) { binary.BigEndian.PutUint32(h[at:], v) }
func (h Header) putLUN(lun [8]byte)     { copy(h[8:], lun[:]) }

// SetImmediate sets or clears the I bit.
func (h Header) SetImmediate(on bool) {
	h[0] &^= immediate
	if on {
		h[0] |= immediate
	}
}

// SetDataLength sets the length of the data segment, in bytes, at most MaxData.
func (h Header) SetDataLength(n int) { h[5], h[6], h[7] = byte(n>>16), byte(n>>8), byte(n) }

// SetITT sets the initiator task tag.
func (h Header) SetITT(t Tag) { h.put32(16, uint32(t)) }

// SetTTT sets the target transfer tag.
func (h Header) SetTTT(t Tag) { h.put32(20, uint32(t)) }

// SetCmdSN sets a request's place in the session's order.
func (h Header) SetCmdSN(s Serial) { h.put32(24, uint32(s)) }

// SetExpStatSN sets what a request acknowledges.
func (h Header) SetExpStatSN(s Serial) { h.put32(28, uint32(s)) }

// SetNumbers sets the numbers of a PDU of a target.
func (h Header) SetNumbers(n Numbers) {
	h.put32(24, uint32(n.StatSN))
	h.put32(28, uint32(n.ExpCmdSN))
	h.put32(32, uint32(n.MaxCmdSN))
}

// setResidual sets the flag and the count at the given place.
func (h Header) setResidual(r int64, over, under byte, at int) {
	switch {
	case r > 0:
		h[1] |= over
		h.put32(at, uint32(min(r, 1<<32-1)))
	case r < 0:
		h[1] |= under
		h.put32(at, uint32(min(-r, 1<<32-1)))
	}
}

// bit is b if on, else 0.
func bit(on bool, b byte) byte {
	if on {
		return b
	}
	return 0
}
