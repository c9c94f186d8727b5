package scsi

// Await is asked after a Run with MayWait: whether the outcome has to wait for what goes on
// without the command, and may take long: others' tasks that PREEMPT AND ABORT ends, or a
// sanitize. If so it returns true, and done is called, once, by any goroutine, when that is
// over; then Await is to be asked again. Meanwhile the command keeps no goroutine. One that is
// aborted may End without more ado; done comes all the same.
func (c *Command) Await(done func()) bool { return c.wait != nil && c.wait(c, done) }
