package handlers

import (
	"errors"

	"github.com/nsreactor/nsreactor/engine"
)

// Echo sends back what it receives (RFC 862). Bytes go from the loop's read
// buffer straight into the connection's Write; of a peer that does not take
// its replies no more is read than [engine.Config] allows to be unsent, so
// that it costs bounded memory. A peer may shut down its half: what it sent
// before is answered, then the connection ends, as it does when it is drained.
//
// The zero Echo is ready for use, and one serves any number of ports.
type Echo struct{ engine.BaseHandler }

// OnData writes back all that has arrived.
func (Echo) OnData(c *engine.Conn) {
	arrived, _ := c.Next(-1) // all there is can't be too short
	_, err := c.Write(arrived)
	// Of an overflow nothing was written. To go on would leave a hole in the
	// stream; the peer must see that it is cut instead. Every other error means
	// that the connection is ending already.
	if errors.Is(err, engine.ErrOverflow) {
		c.CloseNow()
	}
}
