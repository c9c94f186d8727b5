// Package lab is the machine as benchmarks see it: throw-away namespaces, processes
// that have a CPU of their own, and what those processes have used.
package lab
