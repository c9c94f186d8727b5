package tlshandler

// Sizes of the record layer, RFC 8446, sections 4 and 5.1, in bytes.
const (
	recordHeader    = 5
	messageHeader   = 4
	maxRecord       = 16 << 10 // of plain text
	maxHello        = 64 << 10 // as crypto/tls has it
	typeHandshake   = 22       // a record's
	typeClientHello = 1        // a message's
)

// helloComplete reports whether what a client has sent contains its ClientHello to
// the end, however it is cut into records. Until then there is nothing to do for
// it: whoever sends one slowly, or none, costs no goroutine. An error is an
// [ErrNotTLS]; it comes with the first byte that can't be right.
func helloComplete(p []byte) (bool, error) {
	var message [messageHeader]byte
	seen, need := 0, messageHeader
	for len(p) > 0 {
		size, err := recordSize(p)
		if err != nil {
			return false, err
		}
		if len(p) <= recordHeader {
			return false, nil
		}
		body := p[recordHeader:min(recordHeader+size, len(p))]
		if seen < messageHeader {
			copy(message[seen:], body)
		}
		seen += len(body)
		if message[0] != typeClientHello {
			return false, ErrNotTLS
		}
		if seen >= messageHeader {
			need = messageHeader + int(message[1])<<16 + int(message[2])<<8 + int(message[3])
		}
		if need > messageHeader+maxHello {
			return false, ErrNotTLS
		}
		if seen >= need {
			return true, nil
		}
		if len(p) < recordHeader+size {
			return false, nil
		}
		p = p[recordHeader+size:]
	}
	return false, nil
}

// recordSize looks at as much of a record's header as there is.
func recordSize(p []byte) (int, error) {
	switch {
	case p[0] != typeHandshake, len(p) > 1 && p[1] != 3:
		return 0, ErrNotTLS
	case len(p) < recordHeader:
		return 0, nil
	}
	size := int(p[3])<<8 | int(p[4])
	if size == 0 || size > maxRecord {
		return 0, ErrNotTLS
	}
	return size, nil
}
