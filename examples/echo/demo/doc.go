// Package demo shows on one machine what nsreactor is for. It makes N network
// namespaces that all have the same address, has one engine serve the same port
// in all of them, and talks to each from the other end of its veth pair. Under
// that load it deletes one and makes another under the same name.
//
// Every message says which tenant it is for and carries a number, and every
// reply begins with the identity of the namespace that the handler found itself
// in, so that a client sees a reply which is missing, out of order or from a
// namespace that is not its own.
//
// # Protocol
//
// Lines. The server greets with the namespace's id and, if its thread is meant
// to be in the namespace, where the kernel says that the thread is. Then it
// answers each line with the id and the line. When it is drained it says bye:
// the client ends its half, gets the replies that it still waits for, and then
// the end.
//
//	S: hello id:4105 net:[4026532177]
//	C: tenant-3/0 17
//	S: id:4105 tenant-3/0 17
//	S: bye
package demo
