package main

import (
	"net"
	"net/http"
	"sync"

	"github.com/nsreactor/nsreactor/engine"
)

// farewell ends the idle connections of a namespace that drains. What net/http has for
// that, Server.Shutdown, would end those of all namespaces. Without it the engine
// would reset them at the drain's end.
type farewell struct {
	mu   sync.Mutex
	idle map[*engine.Namespace]map[net.Conn]bool
}

// connState is for http.Server.
func (f *farewell) connState(c net.Conn, state http.ConnState) {
	ns, _ := engine.NamespaceOf(c)
	f.mu.Lock()
	defer f.mu.Unlock()
	if state != http.StateIdle {
		delete(f.idle[ns], c)
		return
	}
	select {
	case <-ns.Draining():
		_ = c.Close() // its answer is out
		return
	default:
	}
	if f.idle[ns] == nil {
		if f.idle == nil {
			f.idle = make(map[*engine.Namespace]map[net.Conn]bool)
		}
		f.idle[ns] = make(map[net.Conn]bool)
		go f.bid(ns)
	}
	f.idle[ns][c] = true
}

// bid waits for a namespace's drain.
func (f *farewell) bid(ns *engine.Namespace) {
	<-ns.Draining()
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.idle[ns] {
		_ = c.Close() // nothing is under way
	}
	delete(f.idle, ns)
}
