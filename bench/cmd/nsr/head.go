package main

import (
	"bytes"
	"errors"
)

// The limits of what a client may ask for.
const (
	maxHead = 8 << 10 // bytes of a request's head
	maxBody = 1 << 20 // bytes of a reply's body
)

// What can be wrong with a request. After any of these the connection can't go on,
// since nobody knows where the next request begins.
var (
	errHead   = errors.New("400 Bad Request")
	errMethod = errors.New("501 Not Implemented")
	errLong   = errors.New("431 Request Header Fields Too Large")
)

// A request is what a head asks for.
type request struct {
	size  int  // bytes of body, or -1 for a path that is no such number
	head  bool // HEAD: the reply's head only
	close bool // it is the connection's last
}

var (
	headEnd = []byte("\r\n\r\n")
	lineEnd = []byte("\r\n")
)

// splitHead returns the first head of a stream, its end included, and how many bytes it
// has; 0 if it is not all there yet.
func splitHead(stream []byte) (head []byte, n int, err error) {
	end := bytes.Index(stream[:min(len(stream), maxHead)], headEnd)
	switch {
	case end >= 0:
		n = end + len(headEnd)
		return stream[:n], n, nil
	case len(stream) >= maxHead:
		return nil, 0, errLong
	default:
		return nil, 0, nil
	}
}

// parseHead reads a head as splitHead returned it: RFC 9112, for requests without a
// body.
func parseHead(head []byte) (request, error) {
	line, fields, _ := bytes.Cut(head, lineEnd)
	r, err := parseLine(line)
	if err != nil {
		return r, err
	}
	for len(fields) > len(lineEnd) {
		var field []byte
		field, fields, _ = bytes.Cut(fields, lineEnd)
		name, value, found := bytes.Cut(field, []byte(":"))
		if !found || len(name) == 0 || bytes.ContainsAny(name, " \t\r\n") {
			return r, errHead
		}
		if err := r.field(name, bytes.Trim(value, " \t")); err != nil {
			return r, err
		}
	}
	return r, nil
}

// parseLine reads a request line: METHOD /N HTTP/1.x.
func parseLine(line []byte) (r request, err error) {
	method, rest, ok1 := bytes.Cut(line, []byte(" "))
	path, version, ok2 := bytes.Cut(rest, []byte(" "))
	if !ok1 || !ok2 || len(method) == 0 {
		return r, errHead
	}
	switch string(method) {
	case "GET":
	case "HEAD":
		r.head = true
	default:
		return r, errMethod
	}
	switch string(version) {
	case "HTTP/1.1":
	case "HTTP/1.0":
		r.close = true
	default:
		return r, errHead
	}
	r.size = parsePath(path)
	return r, nil
}

// parsePath reads /N, and is -1 for any other path and for more than maxBody.
func parsePath(path []byte) int {
	if len(path) < 2 || path[0] != '/' {
		return -1
	}
	size := 0
	for _, digit := range path[1:] {
		if digit < '0' || digit > '9' {
			return -1
		}
		if size = size*10 + int(digit-'0'); size > maxBody {
			return -1
		}
	}
	return size
}

// field takes in a header field. Bodies are refused rather than read.
func (r *request) field(name, value []byte) error {
	switch len(name) { // most fields are told apart from these by that alone
	case len("connection"):
		if bytes.EqualFold(name, []byte("connection")) && bytes.EqualFold(value, []byte("close")) {
			r.close = true
		}
	case len("content-length"):
		if bytes.EqualFold(name, []byte("content-length")) && string(value) != "0" {
			return errHead
		}
	case len("transfer-encoding"):
		if bytes.EqualFold(name, []byte("transfer-encoding")) {
			return errHead
		}
	}
	return nil
}
