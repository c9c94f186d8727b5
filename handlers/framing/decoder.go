package framing

// Decoder finds messages of type T in a stream of bytes.
type Decoder[T any] interface {
	// Decode looks for a message at the start of b, which is all that has
	// arrived and is never empty.
	//
	// If the message is there, Decode returns it and n, the number of bytes it
	// takes up in the stream; 1 ≤ n ≤ len(b). It may be a slice of b.
	//
	// If not all of it is there, n is greater than len(b): no message that
	// starts with b has fewer than n bytes. Decode is called again when there
	// are more; not always when there are n. len(b)+1 is always right, and the
	// exact number, when it is known, lets the rest be received in place.
	//
	// An error says that b is not the start of a message, and ends the stream.
	//
	// Decode must not keep or change b. It has no state: what it returns
	// depends on b alone, and several goroutines may call it at the same time.
	Decode(b []byte) (m T, n int, err error)
}

// DecoderFunc is a function as a Decoder.
type DecoderFunc[T any] func(b []byte) (m T, n int, err error)

// Decode calls f.
func (f DecoderFunc[T]) Decode(b []byte) (m T, n int, err error) { return f(b) }

// Map makes a decoder of Us out of one of Ts: f turns each message into what
// the program means by it. It is called once a message. What f returns is valid
// for as long as the T is, if it refers to the T's memory. An error of f ends
// the stream as it is.
func Map[T, U any](d Decoder[T], f func(T) (U, error)) Decoder[U] {
	return mapped[T, U]{newCutter(d), f}
}

type mapped[T, U any] struct {
	from cutter[T]
	f    func(T) (U, error)
}

func (d mapped[T, U]) Decode(b []byte) (m U, n int, err error) { return d.resume(b, 0) }

func (d mapped[T, U]) resume(b []byte, seen int) (m U, n int, err error) {
	t, n, err := d.from.cut(b, seen)
	if err != nil || n > len(b) {
		return m, n, err
	}
	m, err = d.f(t)
	return m, n, err
}

func (d mapped[T, U]) place(b []byte) (head int, body []byte, err error) { return d.from.place(b) }

func (d mapped[T, U]) join(head, body []byte) (m U, err error) {
	t, err := d.from.placer.join(head, body)
	if err != nil {
		return m, err
	}
	return d.f(t)
}

func (d mapped[T, U]) free(body []byte) { d.from.placer.free(body) }

func (d mapped[T, U]) validate() error {
	if d.f == nil {
		return badDecoder("Map without a function")
	}
	return d.from.validate()
}

// resumer is a decoder that searches, and need not search again what it has
// seen: the first seen bytes of b, for which it has asked for more.
type resumer[T any] interface {
	resume(b []byte, seen int) (m T, n int, err error)
}

// placer is a decoder that has memory for a part of its messages.
type placer[T any] interface {
	// place is asked when not all of a message has arrived. It returns how much
	// of b is the head, and memory for all that follows it in the message; nil
	// if this message is to be decoded in one piece.
	place(b []byte) (head int, body []byte, err error)
	// join makes the message out of the head and the body, now filled. The body
	// is the message's then, or has been freed if there is an error.
	join(head, body []byte) (T, error)
	// free takes a body back that will not be filled.
	free(body []byte)
}

// validator is a decoder that may have been set up wrongly.
type validator interface{ validate() error }

// cutter is a decoder with what else it can do: what cuts a stream into
// messages.
type cutter[T any] struct {
	Decoder[T]
	resumer resumer[T] // nil if it is none
	placer  placer[T]  // nil if it is none
}

func newCutter[T any](d Decoder[T]) cutter[T] {
	r, _ := d.(resumer[T])
	p, _ := d.(placer[T])
	return cutter[T]{d, r, p}
}

// cut is Decode, and holds the decoder to its contract. Of b, seen bytes were
// asked about before.
func (d *cutter[T]) cut(b []byte, seen int) (m T, n int, err error) {
	if d.resumer != nil {
		m, n, err = d.resumer.resume(b, seen)
	} else {
		m, n, err = d.Decode(b)
	}
	if (n < 1 || n > maxMessage) && err == nil {
		err = badDecoder("a message of %d bytes", n)
	}
	return m, n, err
}

func (d *cutter[T]) place(b []byte) (head int, body []byte, err error) {
	if d.placer == nil {
		return 0, nil, nil
	}
	return d.placer.place(b)
}

func (d *cutter[T]) validate() error {
	switch v := d.Decoder.(type) {
	case nil:
		return badDecoder("nil")
	case validator:
		return v.validate()
	}
	return nil
}

// DefaultMax is the limit of a decoder whose Max is 0, in bytes.
const DefaultMax = 64 << 10

// maxMax is the greatest limit, in bytes: with some bytes around it a message
// must still have a length that is an int.
const maxMax = 1 << 30

// maxMessage is more than any message of this package's decoders has, in bytes:
// one's own decoder must not have more set aside by mistake.
const maxMessage = maxMax + 2*DefaultMax

// limit is what a Max stands for. It is a sane one also for a decoder that was
// not validated.
func limit(most int) int {
	if most <= 0 {
		return DefaultMax
	}
	return min(most, maxMax)
}

func validateMax(most int) error {
	if most < 0 || most > maxMax {
		return badDecoder("Max is %d, not 0 to %d", most, maxMax)
	}
	return nil
}
