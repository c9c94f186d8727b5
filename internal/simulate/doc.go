// Package simulate is where package engine and package handlertest meet. It lets a
// real event loop, with its real connections, buffers and timers, run on sockets
// that are a test's own Go values, on a clock that the test moves.
//
// A simulated socket has a descriptor like any other, but a number that no kernel
// gives out ([First] or more); engine's wrappers of system calls look at the number,
// one comparison a call, and ask the [Socket] instead of the kernel. So nothing above
// those wrappers knows of simulation. What a loop has besides sockets, a poller, a
// thread and a clock, engine replaces when it makes a simulated loop ([New]).
//
// The package is internal: users of the framework see handlertest.
package simulate

// New makes a simulated loop: a value with the methods of handlertest's interface
// loop. config is an engine.Config. engine sets New; the types are those that both
// sides can name without importing each other.
var New func(config any) (loop any, err error)
