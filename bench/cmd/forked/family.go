package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"

	"github.com/nsreactor/nsreactor/bench/internal/serve"
)

// A family is the children. They are all started by one thread, which never ends:
// a child's parent, by the reckoning of prctl(2), is the thread that forked it.
type family struct {
	servers []*coreLoop
	orders  chan order

	mu       sync.Mutex
	children []*exec.Cmd
}

// an order is for the thread that forks.
type order struct {
	path    string
	started chan<- result
}

// a result is a child that runs but may not be listening yet, and the core's end of its
// socketpair.
type result struct {
	channel *os.File
	err     error
}

func newFamily(servers []*coreLoop) *family {
	f := &family{servers: servers, orders: make(chan order)}
	go f.fork()
	return f
}

// fork obeys orders for as long as the program runs.
func (f *family) fork() {
	runtime.LockOSThread() // never unlocked: it wanders from namespace to namespace
	for o := range f.orders {
		channel, err := f.start(o.path)
		o.started <- result{channel, err}
	}
}

// start starts a child: the calling thread enters its namespace, and so it is born there.
func (f *family) start(path string) (*os.File, error) {
	if err := serve.Stay(path); err != nil {
		return nil, err
	}
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	cmd := childCommand(theirs)
	if err := cmd.Start(); err != nil {
		ours.Close()
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.children = append(f.children, cmd)
	return ours, nil
}

// childCommand is this program again, with the same arguments but for the namespaces.
func childCommand(channel *os.File) *exec.Cmd {
	arguments := append([]string{"-child"}, ownFlags()...)
	cmd := exec.Command("/proc/self/exe", append(arguments, "/proc/self/ns/net")...)
	cmd.Args[0] = os.Args[0]
	cmd.ExtraFiles = []*os.File{channel}
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = dieWithParent()
	return cmd
}

// addAll starts a child for each path and returns when all of them listen. They get
// ready at the same time.
func (f *family) addAll(paths []string) error {
	started := make(chan result, 1)
	channels := make([]*os.File, 0, len(paths))
	for _, path := range paths {
		f.orders <- order{path, started}
		r := <-started
		if r.err != nil {
			return fmt.Errorf("child in %s: %w", path, r.err)
		}
		channels = append(channels, r.channel)
	}
	for i, channel := range channels {
		if err := awaitHello(channel); err != nil {
			return fmt.Errorf("child in %s: %w", paths[i], err)
		}
		if err := f.servers[i%len(f.servers)].add(channel); err != nil {
			return err
		}
	}
	return nil
}

// end ends the children. They hold nothing that would have to be brought to an end.
func (f *family) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, server := range f.servers {
		server.ending.Store(true)
	}
	for _, child := range f.children {
		_ = child.Process.Kill()
	}
	for _, child := range f.children {
		_ = child.Wait() // it was killed
	}
}

func (f *family) size() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return uint64(len(f.children))
}
