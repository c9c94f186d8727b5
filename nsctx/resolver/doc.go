// Package resolver finds the addresses of names as a program started by
// `ip netns exec NAME` would: with the namespace's own configuration and through
// the namespace's own network.
//
//   - /etc/netns/NAME/resolv.conf and /etc/netns/NAME/hosts stand in for those of
//     /etc where they exist, as in ip-netns(8). They are read again when they
//     change.
//   - Every socket of a lookup is made in the namespace. If that fails the lookup
//     fails; it never goes through another network, and a file that is there but
//     cannot be read is not replaced by another.
//   - What was learned is remembered under the namespace's [nsctx.ID], so that a
//     name that comes back as another namespace starts with nothing.
//
// A lookup blocks. It is for goroutines beside the loops, of which any number may
// look up at once: threads are held only while a socket is made.
//
// # What is and is not followed
//
// Of resolv.conf(5): nameserver (IPv4, IPv6, and IPv6 with a zone of the
// namespace's), search, domain, and the options ndots, timeout, attempts and
// rotate. Without a file, or without a nameserver in it, the server is 127.0.0.1.
// The host's own domain is never searched, since it is not the tenant's.
//
// Of hosts(5): everything. nsswitch.conf(5) is not read: hosts comes first, then
// DNS. Names are ASCII; an international one is asked for in its A-label form.
//
// Go's own resolver is of no use here, in either of its forms: both read /etc
// wherever the thread is, and ask from goroutines that are elsewhere.
package resolver
