// Package login is the part of iSCSI that talks in text: the login phase with its stages
// and CHAP, and the text requests of the full feature phase (RFC 7143, sections 6, 12
// and 13).
//
// It is pure. A [Machine] is fed the fields and the data segment of each Login Request
// and says what Login Response to send; a [Text] does the same for Text Requests. Neither
// knows sockets, a clock or PDUs' layout; randomness comes from [Config.Rand], and what
// targets there are, and whose secrets open them, is asked of a [Directory].
//
// keys.go holds the table of all keys: what a key means, when it may be used and how its
// value is settled is one row there.
package login
