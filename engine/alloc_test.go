package engine

import (
	"testing"

	"golang.org/x/sys/unix"
)

// What every event goes through allocates nothing. Reading and writing are in
// alloc_norace_test.go.
func TestNothingIsAllocated(t *testing.T) {
	l := unitLoop(t, Config{Loops: 1})
	a, b := unitPair(t)
	closeSocket(b)
	ls, _ := unitListen(t, listenSpec{})
	accept := new(acceptor).accept
	conn := unitConn(l, a)
	closed := &Conn{stage: stageClosed, ep: conn.ep, loop: l}
	scratch, bytes := make([]byte, 4096), make([]byte, 512)
	var buf buffer
	var taken []task
	var count counter
	cells := []*cell{unitCell(l.eng), unitCell(l.eng)}
	events := batchCase{cells: cells, at: cells[1].ns}
	for i := range 16 {
		events.events = append(events.events, events.endpoint(i%2, i%5 == 0))
	}
	all := make([]timer, 16)

	for name, f := range map[string]func(){
		"table": func() {
			token := l.table.put(conn, nil)
			if c, _ := l.table.get(token); c != conn {
				t.Fatal("not found")
			}
			l.table.drop(token)
		},
		"timers": func() {
			for i := range all {
				l.timers.set(&all[i], int64(i^5))
			}
			l.timers.set(&all[3], 100)
			l.timers.remove(&all[4])
			for range len(all) - 1 {
				if l.timers.due(1000) == nil {
					t.Fatal("no timer is due")
				}
			}
		},
		"mailbox": func() {
			for range 3 {
				l.mail.post(task{kind: taskWake, conn: conn})
			}
			taken = l.mail.take(taken)
		},
		"counters": func() {
			count.inc()
			l.stats.turnSeconds.observe(12345)
		},
		"ordering a batch": func() { events.order(&l.batch, false) },
		"a lent buffer": func() {
			buf.lend(scratch)
			buf.append(bytes)
			buf.discard(len(bytes))
			buf.own()
		},
		"accept": func() {
			if _, e := accept(ls); e != unix.EAGAIN {
				t.Fatal(e)
			}
		},
		"tasks": func() {
			l.mail.post(task{kind: taskWake, conn: conn})
			l.mail.post(task{kind: taskCloseNow, conn: closed})
			l.runTasks()
		},
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
