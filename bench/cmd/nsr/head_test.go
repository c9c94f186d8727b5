package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestParseHead(t *testing.T) {
	for _, test := range []struct {
		head string
		want request
		err  error
	}{
		{"GET /10 HTTP/1.1\r\n\r\n", request{size: 10}, nil},
		{"GET /0 HTTP/1.1\r\nHost: a\r\n\r\n", request{}, nil},
		{"HEAD /7 HTTP/1.1\r\nHost: a\r\nConnection:  Close \r\n\r\n", request{size: 7, head: true, close: true}, nil},
		{"GET /7 HTTP/1.0\r\n\r\n", request{size: 7, close: true}, nil},
		{"GET /x HTTP/1.1\r\n\r\n", request{size: -1}, nil},
		{"GET / HTTP/1.1\r\n\r\n", request{size: -1}, nil},
		{"GET /1048576 HTTP/1.1\r\n\r\n", request{size: maxBody}, nil},
		{"GET /99999999999999999999999 HTTP/1.1\r\n\r\n", request{size: -1}, nil},
		{"GET /1 HTTP/1.1\r\nContent-Length: 0\r\n\r\n", request{size: 1}, nil},
		{"GET /1 HTTP/1.1\r\nContent-Length: 4\r\n\r\n", request{}, errHead},
		{"GET /1 HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n", request{}, errHead},
		{"GET /1 HTTP/1.1\r\nno field\r\n\r\n", request{}, errHead},
		{"POST /1 HTTP/1.1\r\n\r\n", request{}, errMethod},
		{"GET /1 HTTP/2\r\n\r\n", request{}, errHead},
		{"\r\n\r\n", request{}, errHead},
	} {
		got, err := parseHead([]byte(test.head))
		if !errors.Is(err, test.err) || (err == nil && got != test.want) {
			t.Errorf("%q: got %+v, %v; want %+v, %v", test.head, got, err, test.want, test.err)
		}
	}
}

func TestSplitHeadWaitsAndGivesUp(t *testing.T) {
	const head = "GET /1 HTTP/1.1\r\n\r\n"
	for cut := range len(head) {
		if _, n, err := splitHead([]byte(head[:cut])); n != 0 || err != nil {
			t.Errorf("%q: got %d, %v", head[:cut], n, err)
		}
	}
	if got, n, err := splitHead([]byte(head + "GET")); string(got) != head || n != len(head) || err != nil {
		t.Errorf("got %q, %d, %v", got, n, err)
	}
	if _, _, err := splitHead([]byte(strings.Repeat("x", maxHead))); !errors.Is(err, errLong) {
		t.Errorf("an endless head: got %v", err)
	}
}

// TestAppendHeadIsWhatHAProxySends compares with a reply of HAProxy 2.6.
func TestAppendHeadIsWhatHAProxySends(t *testing.T) {
	const want = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\ncontent-type: text/plain\r\n\r\n"
	if got := string(appendHead(nil, request{size: 10})); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// FuzzHeads splits a stream in one go and as it would come in two pieces, and expects
// the same requests.
func FuzzHeads(f *testing.F) {
	f.Add([]byte("GET /1 HTTP/1.1\r\n\r\nHEAD /2 HTTP/1.1\r\nHost: x\r\n\r\nGET"), 5)
	f.Add([]byte("\r\n\r\n\r\n"), 1)
	f.Fuzz(func(t *testing.T, stream []byte, cut int) {
		if cut < 0 || cut > len(stream) {
			return
		}
		whole, rest := heads(t, stream)
		first, held := heads(t, stream[:cut])
		second, rest2 := heads(t, append(bytes.Clone(held), stream[cut:]...))
		pieces := append(first, second...)
		if !bytes.Equal(bytes.Join(pieces, nil), bytes.Join(whole, nil)) || len(pieces) != len(whole) || !bytes.Equal(rest, rest2) {
			t.Errorf("whole %q + %q\npieces %q + %q", whole, rest, pieces, rest2)
		}
	})
}

// heads splits a stream as serve does, and returns what is left.
func heads(t *testing.T, stream []byte) (all [][]byte, rest []byte) {
	for {
		head, n, err := splitHead(stream)
		if n == 0 || err != nil {
			return all, stream
		}
		if n > len(stream) || !bytes.HasSuffix(head, headEnd) {
			t.Fatalf("%q of %q, %d", head, stream, n)
		}
		if r, err := parseHead(head); err == nil && (r.size < -1 || r.size > maxBody) {
			t.Fatalf("%q: %+v", head, r)
		}
		all, stream = append(all, head), stream[n:]
	}
}
