// Package parallel measures what becomes of a network device's several queues: whether
// one hot namespace gets more done with more loops, and whether a request is handled on
// the CPU that has received it.
//
// There is no device with several queues where this has to run, so it makes one: a veth
// pair with as many queues as CPUs between the servers' namespace and the load's, with
// receive packet steering, which spreads flows over CPUs as a device's queues would.
package parallel
