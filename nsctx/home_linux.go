package nsctx

import (
	"sync"
)

// processHome is the home namespace once it has been opened. It is never closed:
// threads must be able to go home at any time, also without a free descriptor.
var processHome struct {
	sync.Mutex
	ns *Namespace
}

func homeNamespace() (*Namespace, error) {
	processHome.Lock()
	defer processHome.Unlock()
	if processHome.ns != nil {
		return processHome.ns, nil
	}
	// The main thread's, which is never moved; /proc/1 may be another container's
	// and forbidden.
	fd, err := openPath("/proc/self/ns/net")
	if err != nil {
		return nil, err
	}
	ns, err := adopt(fd, Home().Name(), gradeBest)
	if err != nil {
		return nil, err
	}
	ns.permanent = true
	processHome.ns = ns
	return ns, nil
}
