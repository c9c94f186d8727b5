package tlshandler

import (
	"crypto/tls"
	"errors"
	"net"
	"testing"
)

// clientHello is a ClientHello of crypto/tls.
func clientHello(t testing.TB) []byte {
	t.Helper()
	ours, theirs := net.Pipe()
	go func() { _ = tls.Client(theirs, &tls.Config{ServerName: "server"}).Handshake() }()
	b := make([]byte, 4096)
	n, err := ours.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	_ = ours.Close()
	return b[:n]
}

// inRecords cuts the message of one record into records of size bytes.
func inRecords(record []byte, size int) (cut []byte) {
	for body := record[recordHeader:]; len(body) > 0; {
		n := min(size, len(body))
		cut = append(cut, record[0], record[1], record[2], byte(n>>8), byte(n))
		cut = append(cut, body[:n]...)
		body = body[n:]
	}
	return cut
}

// A ClientHello is complete with its last byte, whatever its records are.
func TestHelloIsCompleteWithItsLastByte(t *testing.T) {
	whole := clientHello(t)
	for _, size := range []int{1, 2, 3, 4, 5, 100, 1 << 14} {
		cut := inRecords(whole, size)
		for n := range cut {
			if complete, err := helloComplete(cut[:n]); complete || err != nil {
				t.Fatalf("records of %d: %d bytes of %d are %v, %v", size, n, len(cut), complete, err)
			}
		}
		if complete, err := helloComplete(append(cut, "more"...)); !complete || err != nil {
			t.Errorf("records of %d: the whole is %v, %v", size, complete, err)
		}
	}
}

// More never makes less of it: what is complete stays so, and so does what is
// wrong.
func FuzzHelloComplete(f *testing.F) {
	f.Add(clientHello(f))
	f.Add(inRecords(clientHello(f), 7))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Add([]byte("\x16\x03\x01\x00\x04\x01\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		was, wrong := false, error(nil)
		for n := range len(b) + 1 {
			complete, err := helloComplete(b[:n])
			if err != nil && !errors.Is(err, ErrNotTLS) || complete && err != nil {
				t.Fatalf("%d bytes: %v, %v", n, complete, err)
			}
			if was && !complete || wrong != nil && err == nil {
				t.Fatalf("%d bytes: %v, %v after %v, %v", n, complete, err, was, wrong)
			}
			was, wrong = complete, err
		}
	})
}
