package engine

import "time"

// Lag is how long the data that a callback is told of may have waited for the loop: until
// now, since the loop began its last turn, or since it woke, if it slept for longer than
// that turn took. It is near 0 on a loop with little to do, and a turn or more on a busy
// one: what a peer waits that asks for one thing at a time. It is for a handler that
// sheds load, or shares it out.
func (c *Conn) Lag() time.Duration { return time.Duration(c.loop.eng.clock() - c.loop.since) }
