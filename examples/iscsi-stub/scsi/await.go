package scsi

// Await is asked after a Run with MayWait: whether the outcome has to wait for what goes on
// without the command, and may take long: others' tasks that PREEMPT AND ABORT ends, a copy, or
// a sanitize. If so it returns true, and done is called, once, by any goroutine, when that is
// over; then Await is to be asked again. Meanwhile the command keeps no goroutine. One that is
// aborted may End at once, unless Interrupt wants done to come first; it comes in any case.
func (c *Command) Await(done func()) bool { return c.wait != nil && c.wait(c, done) }

// Interrupt is for a command that waits, and is aborted. It returns true if what the command has
// begun was told to stop, and may touch the medium until done is called: it is not to End before.
func (c *Command) Interrupt() bool {
	k, ok := c.scratch.(*copyUnderWay)
	if ok && c.wait != nil {
		k.stopping.Do(func() { close(k.stop) })
	}
	return ok && c.wait != nil
}
