package engine

// Preparer is a Handler that wants a dialed connection before anybody can write to
// it, as a handler does whose filter must see all that is written.
type Preparer interface {
	Handler
	// Prepare is called by Dial, on the goroutine of that, for each connection
	// that is dialed with the handler. It may do no more than SetFilter and
	// SetValue.
	Prepare(c *Conn)
}

// Wrapper is a Handler that passes a connection on to another. Dial looks through
// it for a [Preparer].
type Wrapper interface {
	// Unwrap is the other.
	Unwrap() Handler
}

// prepare has a handler, or what it wraps, prepare a connection.
func prepare(c *Conn, h Handler) {
	for h != nil {
		switch outer := h.(type) {
		case Preparer:
			outer.Prepare(c)
			return
		case Wrapper:
			h = outer.Unwrap()
		default:
			return
		}
	}
}
