package main

import (
	"log"
	"os"
	"runtime"
	"sync/atomic"

	"github.com/nsreactor/nsreactor/bench/internal/core"
	"github.com/nsreactor/nsreactor/poller"
)

// maxKeys is how many keys one message on a socketpair may hold. The kernel takes that
// many bytes at once whatever its settings.
const maxKeys = 4096

// A coreLoop is a thread of the core: it answers the children that it has been given.
type coreLoop struct {
	table  *core.Table
	poller *poller.Poller
	held   []*os.File  // add's; they must not be closed when the garbage collector finds them
	ending atomic.Bool // children may go
}

// newCoreLoops starts the core's threads.
func newCoreLoops(table *core.Table, count int) ([]*coreLoop, error) {
	// One processor to spare: else Go's monitor takes it from a loop that waits, which
	// costs more than the request. nsreactor's engine does the same.
	runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), count+1))
	loops := make([]*coreLoop, count)
	for i := range loops {
		p, err := poller.New()
		if err != nil {
			return nil, err
		}
		loops[i] = &coreLoop{table: table, poller: p}
		go loops[i].run()
	}
	return loops, nil
}

// add hands a child's socketpair to the loop. A slot of the poller is a descriptor. Only
// one goroutine may add at a time.
func (l *coreLoop) add(channel *os.File) error {
	fd := int(channel.Fd())
	l.held = append(l.held, channel)
	return l.poller.Add(fd, poller.NewToken(uint32(fd), 0), poller.Readable)
}

// run answers children. While requests keep coming it asks for more without blocking.
func (l *coreLoop) run() {
	runtime.LockOSThread()
	takePrecedence()
	buffer := make([]byte, maxKeys*8)
	for {
		events, err := l.poller.Wait(0)
		if err == nil && len(events) == 0 {
			events, err = l.poller.Wait(-1)
		}
		if err != nil {
			log.Fatal(err)
		}
		for i := range events {
			l.answer(int(events[i].Token().Slot()), buffer)
		}
	}
}

// answer answers one batch of a child.
func (l *coreLoop) answer(fd int, buffer []byte) {
	n, err := receive(fd, buffer)
	if err == nil && n > 0 {
		l.table.ServeKeys(buffer[:n])
		err = send(fd, buffer[:n])
	}
	if err == nil && n > 0 {
		return
	}
	if !l.ending.Load() {
		log.Fatalf("a child has gone: %v", err)
	}
	_ = l.poller.Remove(fd)
}
