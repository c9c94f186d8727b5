package engine

// runTasks runs what was posted, up to the budget; the rest waits for the next
// turn, behind that turn's events.
func (l *loop) runTasks() {
	if len(l.tasks) == 0 {
		if l.mail.empty() {
			return
		}
		l.taken = l.mail.take(l.taken)
		l.tasks = l.taken
	}
	for range min(len(l.tasks), l.eng.cfg.TaskBudget) {
		t := l.tasks[0]
		l.tasks[0] = task{}
		l.tasks = l.tasks[1:]
		l.stats.tasks.inc()
		l.guard(func() { l.runTask(t) })
	}
}

func (l *loop) runTask(t task) {
	switch t.kind {
	case taskLoop:
		t.run(l)
		return
	case taskAdopt:
		l.adopt(t.ep, t.fd)
		l.leave()
		return
	case taskWrite:
		l.runWrite(t)
		l.leave()
		return
	case taskDial:
		l.runDial(t.conn)
		return
	}
	c := t.conn
	l.show(c.ep)
	switch t.kind {
	case taskWake:
		if c.stage == stageConnecting {
			c.extra.dial.woken = true // answered after OnOpen
			return
		}
		c.asked.And(^askedWake)
		l.tell(c, onWake)
	case taskCall:
		l.runCall(c, t.call)
	case taskClose:
		l.shut(c)
	case taskCloseWrite:
		c.endOutput()
	case taskCloseNow:
		l.closeNow(c)
	case taskWork:
		l.finishWork(t.work)
	}
	l.settle(c)
	l.leave()
}

// runWrite is the loop's side of AsyncWrite. The connection is settled at the
// end of the turn, so that all that was posted for it goes out at once.
func (l *loop) runWrite(t task) {
	l.show(t.conn.ep)
	err := ErrPanic // unless write returns: a filter may end the goroutine
	defer func() {
		l.markDirty(t.conn)
		if t.done != nil {
			l.runCall(t.conn, func(*Conn) { t.done(err) })
		}
	}()
	_, err = t.conn.write(t.data)
}

// runCall runs a handler's function as if it were a callback. Where the
// namespace can't be entered it runs at home, with the connection closed: it
// was promised to run. For a connection that is closed already it runs at home
// too, since the namespace may be waiting for this thread to be out of it.
func (l *loop) runCall(c *Conn, f func(*Conn)) {
	if c.stage == stageClosed {
		l.goHome()
	} else if err := l.enter(c); err != nil {
		c.ep.cell.errors[ErrorSwitch].inc()
		l.destroy(c, c.error("enter", err))
		l.goHome()
	}
	l.running = c
	f(c)
	l.running = nil
	if l.limits.checkThread {
		l.checkThread(c)
	}
}

func (l *loop) closeNow(c *Conn) {
	if c.stage != stageClosed {
		l.destroy(c, c.error("close", ErrClosedNow))
	}
}

// refuse completes a task that will never be run.
func (l *loop) refuse(t task) {
	switch t.kind {
	case taskLoop:
		t.run(l)
	case taskAdopt:
		closeSocket(t.fd.fd)
		l.load.Add(-1)
	case taskWrite:
		if t.done != nil {
			l.running = t.conn
			t.done(ErrStopped)
			l.running = nil
		}
	case taskCall:
		l.runCall(t.conn, t.call)
	case taskWork:
		if t.work.state.Load() != jobStuck { // or it is dropped when it ends
			t.work.drop(t.conn.error("work", ErrStopped))
		}
	case taskDial:
		l.runDial(t.conn)
	}
}
