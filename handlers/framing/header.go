package framing

// HeaderBody is messages of a header, which says how long they are, and a body.
//
// The header need not be of a fixed size: Parse is given Size bytes at first
// and may ask for more. That is what iSCSI needs (RFC 7143, section 11.2): 48
// bytes tell the length of additional header segments and of the data, and
// digests may follow both.
type HeaderBody[H any] struct {
	// Size is the number of bytes with which every header starts, 1 to 64 KiB.
	Size int
	// Parse looks at the start of a message: at least Size bytes, and perhaps
	// some of the body. It returns how many bytes the header and the body have.
	// If there are fewer than header bytes in b, Parse is called again with as
	// many, and until then h and body are of no interest.
	//
	// The body is all that follows, padding and checksums too. h may refer to
	// b: it is valid for as long as the message. Parse may be called several
	// times for a message and, as with Decode, by several goroutines at a time.
	// An error ends the stream as it is.
	Parse func(b []byte) (h H, header, body int, err error)
	// MaxHeader limits the header, in bytes, to 64 KiB at most. Default: Size,
	// or 4 KiB if that is more.
	MaxHeader int
	// Max limits the body, in bytes, to 1 GiB at most. Default: [DefaultMax].
	Max int

	// Alloc returns memory for a body of n bytes that is to outlive the
	// callback: n bytes or more, or nil if this body need not. What the kernel
	// has not delivered yet when the header is parsed is received straight into
	// it. It runs where the messages are decoded: in a connection's callback,
	// or in a call of a Reader. May be nil.
	Alloc func(h H, n int) []byte
	// AllocFrom is the size from which Alloc is asked about a body, in bytes.
	// Default: 1.
	AllocFrom int
	// Free takes memory of Alloc back if the stream ends before the body has
	// arrived. May be nil.
	Free func(body []byte)
}

// Frame is a message of a HeaderBody.
type Frame[H any] struct {
	Header H
	Body   []byte
	// Owned says that Body is memory of Alloc, the callback's to keep or to
	// give back. Otherwise it is valid until the callback returns.
	Owned bool
}

// Decode finds a message. A header or body over its limit is an [ErrTooLong], a
// negative length an [ErrBadLength].
func (d HeaderBody[H]) Decode(b []byte) (m Frame[H], n int, err error) {
	h, header, body, err := d.parse(b)
	n = header + body
	if err != nil || n > len(b) {
		return m, n, err
	}
	m = Frame[H]{Header: h, Body: b[header:n:n]}
	own, err := d.alloc(h, body)
	if own != nil {
		copy(own, m.Body)
		m.Body, m.Owned = own, true
	}
	return m, n, err
}

// parse returns what Parse says of the lengths, and for what is not known yet
// the least that it can be.
func (d HeaderBody[H]) parse(b []byte) (h H, header, body int, err error) {
	switch {
	case d.Parse == nil || d.Size < 1:
		return h, 0, 0, d.validate()
	case len(b) < d.Size:
		return h, d.Size, 0, nil
	}
	h, header, body, err = d.Parse(b)
	switch {
	case err != nil:
		return h, 0, 0, err
	case header < d.Size:
		return h, 0, 0, badLength(header)
	case header > d.maxHeader():
		return h, 0, 0, tooLong(uint64(header), d.maxHeader())
	case header > len(b):
		return h, header, 0, nil
	case body < 0:
		return h, 0, 0, badLength(body)
	case body > limit(d.Max):
		return h, 0, 0, tooLong(uint64(body), limit(d.Max))
	}
	return h, header, body, nil
}

func (d HeaderBody[H]) maxHeader() int {
	if d.MaxHeader == 0 {
		return max(d.Size, 4<<10)
	}
	return min(d.MaxHeader, DefaultMax)
}

// alloc is memory for the body, or nil.
func (d HeaderBody[H]) alloc(h H, n int) ([]byte, error) {
	if d.Alloc == nil || n == 0 || n < d.AllocFrom {
		return nil, nil
	}
	body := d.Alloc(h, n)
	if body != nil && len(body) < n {
		return nil, badDecoder("Alloc returned %d bytes, not %d", len(body), n)
	}
	return body[:min(n, len(body))], nil
}

func (d HeaderBody[H]) place(b []byte) (head int, body []byte, err error) {
	h, head, n, err := d.parse(b)
	if err != nil || head > len(b) {
		return 0, nil, err
	}
	body, err = d.alloc(h, n)
	return head, body, err
}

func (d HeaderBody[H]) join(head, body []byte) (m Frame[H], err error) {
	h, header, n, err := d.parse(head)
	if err == nil && (header != len(head) || n != len(body)) {
		err = badDecoder("Parse found other lengths in the same header")
	}
	if err != nil {
		d.free(body)
		return m, err
	}
	return Frame[H]{Header: h, Body: body, Owned: true}, nil
}

func (d HeaderBody[H]) free(body []byte) {
	if d.Free != nil {
		d.Free(body)
	}
}

func (d HeaderBody[H]) validate() error {
	switch {
	case d.Parse == nil:
		return badDecoder("HeaderBody without Parse")
	case d.Size < 1 || d.Size > DefaultMax:
		return badDecoder("Size is %d, not 1 to %d", d.Size, DefaultMax)
	case d.MaxHeader != 0 && (d.MaxHeader < d.Size || d.MaxHeader > DefaultMax):
		return badDecoder("MaxHeader is %d, not 0 or %d to %d", d.MaxHeader, d.Size, DefaultMax)
	}
	return validateMax(d.Max)
}
