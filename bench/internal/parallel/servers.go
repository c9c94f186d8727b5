package parallel

import (
	"fmt"
	"strconv"

	"github.com/nsreactor/nsreactor/bench/internal/trial"
)

// A Family is servers that differ in their number of loops only.
type Family string

// The families.
const (
	Reactor  Family = "nsreactor"
	Threaded Family = "a thread per namespace" // one, whatever the CPUs: there is one namespace
	InC      Family = "a loop in C"
)

// An entry is a server, and where it stands in the figures.
type entry struct {
	trial.Server
	family Family
	loops  int
}

// entries are all servers for one cost of a request, in microseconds. Each is compared
// to nsreactor with the fewest loops.
func entries(loops []int, micros int, sampling []string) []entry {
	work := strconv.Itoa(micros)
	var all []entry
	for _, n := range loops {
		args := append([]string{"-mode", "any", "-loops", strconv.Itoa(n), "-size", "{size}", "-work", work}, sampling...)
		all = append(all, entry{trial.Server{Name: name(Reactor, n), Program: "nsr", Args: args}, Reactor, n})
	}
	all = append(all, entry{trial.Server{Name: string(Threaded), Program: "threaded", Args: []string{"-size", "{size}", "-work", work}}, Threaded, 1})
	for _, n := range loops {
		args := []string{"-m", "never", "-t", strconv.Itoa(n), "-s", "{size}"}
		if micros > 0 {
			args = append(args, "-w", work)
		}
		all = append(all, entry{trial.Server{Name: name(InC, n), Program: "echo", Args: args}, InC, n})
	}
	for i := range all {
		all[i].Floor = all[0].Name
	}
	return all
}

func name(f Family, loops int) string { return fmt.Sprintf("%s × %d", f, loops) }

func servers(all []entry) []trial.Server {
	var list []trial.Server
	for _, e := range all {
		list = append(list, e.Server)
	}
	return list
}
