package poller

import "fmt"

// Token is the caller's name for a registration: 32 bits of slot and 32 bits
// of generation. It travels through the kernel as epoll's user data. A caller
// that raises a slot's generation whenever it frees the slot can drop every
// event whose generation is not the present one: it is stale.
type Token uint64

// WakeToken comes back from [Poller.Wait] after a [Poller.Wake]. Its slot, 0,
// can be registered by no one else.
const WakeToken Token = 0

// NewToken makes the token of a slot in a generation.
func NewToken(slot, generation uint32) Token {
	return Token(generation)<<32 | Token(slot)
}

// Slot is the token's place in the caller's table.
func (t Token) Slot() uint32 { return uint32(t) }

// Generation counts how often the slot has been used.
func (t Token) Generation() uint32 { return uint32(t >> 32) }

// String is "slot.generation".
func (t Token) String() string {
	return fmt.Sprintf("%d.%d", t.Slot(), t.Generation())
}
