package gnethandler_test

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

// rawClient is a connection whose use allocates nothing and tells the Go
// scheduler nothing.
type rawClient struct {
	tb  testing.TB
	fd  int
	buf []byte
}

func dialRaw(tb testing.TB, tenant *nstest.Tenant, port, size int) *rawClient {
	tb.Helper()
	conn := dial(tb, tenant, port)
	file, err := conn.File()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = file.Close() })
	fd := int(file.Fd()) // which makes it blocking
	if err := unix.SetNonblock(fd, false); err != nil {
		tb.Fatal(err)
	}
	return &rawClient{tb, fd, make([]byte, size)}
}

func (c *rawClient) send() {
	if n, err := unix.Write(c.fd, c.buf); n != len(c.buf) || err != nil {
		c.tb.Fatalf("wrote %d of %d bytes: %v", n, len(c.buf), err)
	}
}

func (c *rawClient) receive() {
	for got := 0; got < len(c.buf); {
		n, err := unix.Read(c.fd, c.buf[got:])
		if n <= 0 || err != nil {
			c.tb.Fatalf("read %d, %v after %d of %d bytes", n, err, got, len(c.buf))
		}
		got += n
	}
}
