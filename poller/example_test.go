package poller_test

import (
	"fmt"
	"os"

	"github.com/nsreactor/nsreactor/poller"
)

// A pipe is registered, becomes readable, and says so for as long as nobody
// reads it.
func Example() {
	p, err := poller.New()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close()
	r, w, err := os.Pipe()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer r.Close()
	defer w.Close()

	token := poller.NewToken(1, 0) // our table's slot 1, used for the first time
	if err := p.Add(int(r.Fd()), token, poller.Readable); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Fprint(w, "hello")

	events, err := p.Wait(-1) // in real life in a loop: a signal may end it early
	for i := range events {
		fmt.Println(events[i].Token(), events[i].Readiness(), err)
	}
	// Output: 1.0 readable <nil>
}
