package approaches

import "github.com/nsreactor/nsreactor/bench/internal/trial"

// The servers' names.
const (
	forked    = "forked"
	threaded  = "threaded"
	locked    = "threaded-locked"
	namespace = "nsr-namespace"
	anyMode   = "nsr-any"
	always    = "nsr-always"
)

// known are the candidates in the order of the report. What they are divided by is
// nsreactor's cheapest mode, so that a rival that wins shows as a figure on the other
// side of 1.
var known = []trial.Server{
	server(forked, "forked"),
	server(threaded, "threaded"),
	server(locked, "threaded", "-locked"),
	server(namespace, "nsr", "-kind", "table", "-mode", "namespace"),
	server(anyMode, "nsr", "-kind", "table", "-mode", "any"),
	server(always, "nsr", "-kind", "table", "-mode", "always"),
}

func server(name, program string, args ...string) trial.Server {
	return trial.Server{Name: name, Program: program, Args: append(args, "-control", "-size", "{size}"), Floor: anyMode}
}

// usual are measured unless others are asked for.
var usual = []string{forked, threaded, namespace, anyMode, always}

// choose finds the servers that are asked for.
func choose(names []string) ([]trial.Server, error) {
	if len(names) == 0 {
		names = usual
	}
	return trial.Pick(known, names)
}

// descriptions say in a few words what a server is.
var descriptions = map[string]string{
	forked:    "a process a namespace",
	threaded:  "a thread a namespace",
	locked:    "a thread a namespace, locked",
	namespace: "nsreactor, namespace",
	anyMode:   "nsreactor, any",
	always:    "nsreactor, always",
}
