package nstest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/goleak"

	"github.com/nsreactor/nsreactor/internal/memory"
	"github.com/nsreactor/nsreactor/nsctx"
)

const (
	// settleTime is how long what is on its way out may take.
	settleTime = 2 * time.Second
	// threadSlack is by how much the number of threads may grow. Go keeps the
	// threads that blocking calls once needed, so that growth alone is no leak.
	threadSlack = 256
)

// labDirs are the directories of the labs of this process. Mounts elsewhere may be
// of another one that shares the mount namespace.
var labDirs sync.Map

// inventory is what the process had before the tests.
type inventory struct {
	goroutines goleak.Option
	fds        map[string]string // number to target
	threads    int
	home       string
}

// takeInventory first has the process open what it keeps for good: the home
// namespace and the runtime's poller.
func takeInventory() (*inventory, error) {
	home, err := nsctx.Home().Open()
	if err != nil {
		return nil, err
	}
	defer home.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	_ = r.Close()
	_ = w.Close()
	link, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return nil, err
	}
	return &inventory{
		goroutines: goleak.IgnoreCurrent(),
		fds:        descriptors(), threads: len(threadNames()), home: link,
	}, nil
}

// leaks looks again and again, as what is being closed takes a moment.
func (v *inventory) leaks() []string {
	deadline := time.Now().Add(settleTime)
	for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		found := v.surplus()
		if len(found) == 0 {
			// The last look, because goleak waits by itself.
			if err := goleak.Find(v.goroutines); err != nil {
				return []string{err.Error()}
			}
			return nil
		}
		if time.Now().After(deadline) {
			if err := goleak.Find(v.goroutines); err != nil {
				found = append(found, err.Error())
			}
			return found
		}
		time.Sleep(pause)
	}
}

func (v *inventory) surplus() []string {
	var found []string
	for fd, target := range descriptors() {
		if v.fds[fd] != target {
			found = append(found, fmt.Sprintf("descriptor %s: %s", fd, target))
		}
	}
	for _, point := range namedMounts() {
		if _, ours := labDirs.Load(filepath.Dir(point)); ours {
			found = append(found, "namespace mounted at "+point)
		}
	}
	threads := threadNames()
	for _, tid := range threads {
		link, err := os.Readlink("/proc/self/task/" + tid + "/ns/net")
		if err == nil && link != v.home {
			found = append(found, fmt.Sprintf("thread %s in %s", tid, link))
		}
	}
	if n := memory.Out(); n != 0 {
		found = append(found, fmt.Sprintf("%d pooled buffers", n))
	}
	if len(threads) > v.threads+threadSlack {
		found = append(found, fmt.Sprintf("%d threads, %d before", len(threads), v.threads))
	}
	slices.Sort(found)
	return found
}

// descriptors lists what is open, but for the listing's own descriptor.
func descriptors() map[string]string {
	fds := map[string]string{}
	links, _ := filepath.Glob("/proc/self/fd/*")
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil {
			fds[filepath.Base(link)] = target
		}
	}
	return fds
}

func threadNames() []string {
	paths, _ := filepath.Glob("/proc/self/task/*")
	for i, path := range paths {
		paths[i] = filepath.Base(path)
	}
	return paths
}

// namedMounts lists the mount points of namespaces, which have the file system
// type nsfs.
func namedMounts() []string {
	data, _ := os.ReadFile("/proc/self/mountinfo")
	var points []string
	for line := range strings.Lines(string(data)) {
		mount, super, _ := strings.Cut(line, " - ")
		if fields := strings.Fields(mount); len(fields) > 4 && strings.HasPrefix(super, "nsfs ") {
			points = append(points, fields[4])
		}
	}
	return points
}
