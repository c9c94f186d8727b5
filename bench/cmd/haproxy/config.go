package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// config is what the configuration depends on.
type config struct {
	port, namespaces int
	size             int // bytes of a reply's body
	files            int // descriptors that HAProxy may have
}

const defaultBuffer = 16 << 10 // HAProxy's tune.bufsize

// text is the configuration. HAProxy takes a connection for two descriptors, since it
// is made for passing on, and refuses a maxconn above half the limit: hence no
// strict-limits. What it does not name is as HAProxy's authors set it; timeouts only
// have to be there and never end.
func (c config) text(body string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "global\n  nbthread 1\n  no strict-limits\n  ulimit-n %d\n  maxconn %d\n", c.files, c.connections())
	if buffer := c.buffer(); buffer > defaultBuffer {
		fmt.Fprintf(&b, "  tune.bufsize %d\n", buffer)
	}
	b.WriteString("defaults\n  mode http\n  option http-keep-alive\n")
	b.WriteString("  timeout client 24h\n  timeout http-request 24h\n  timeout http-keep-alive 24h\n")
	fmt.Fprintf(&b, "frontend bench\n  maxconn %d\n  backlog 4096\n", c.connections())
	for i := range c.namespaces {
		fmt.Fprintf(&b, "  bind 0.0.0.0:%d namespace %s\n", c.port, name(i))
	}
	fmt.Fprintf(&b, "  http-request return status 200 content-type text/plain file %s\n", body)
	return b.String()
}

// connections is how many connections there are descriptors for, a listener and a
// namespace's own for each namespace taken off.
func (c config) connections() int {
	const own = 100
	return max(c.files-2*c.namespaces-own, 1)
}

// buffer is room for a reply, its head, and what HAProxy reserves (tune.maxrewrite).
func (c config) buffer() int { return c.size + 4<<10 }

// name is what the i-th namespace is called below /run/netns.
func name(i int) string { return fmt.Sprintf("b%d", i) }

// writeConfig writes configuration and body into dir and returns the former's name.
func writeConfig(dir string, c config) (string, error) {
	body, file := filepath.Join(dir, "body"), filepath.Join(dir, "haproxy.cfg")
	if err := os.WriteFile(body, []byte(strings.Repeat("x", c.size)), 0o600); err != nil {
		return "", err
	}
	return file, os.WriteFile(file, []byte(c.text(body)), 0o600)
}
