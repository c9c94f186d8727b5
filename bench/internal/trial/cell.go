package trial

import (
	"fmt"
	"strconv"
	"strings"
)

// A Shape is how many namespaces there are and how many connections in each.
// In JSON it is text; the tags name its columns in CSV.
type Shape struct {
	Namespaces int `json:"namespaces"`
	Conns      int `json:"conns"`
}

func (s Shape) String() string { return fmt.Sprintf("%dx%d", s.Namespaces, s.Conns) }

// UnmarshalText reads NAMESPACESxCONNECTIONS.
func (s *Shape) UnmarshalText(text []byte) error {
	namespaces, conns, _ := strings.Cut(string(text), "x")
	n, err1 := strconv.Atoi(namespaces)
	c, err2 := strconv.Atoi(conns)
	if err1 != nil || err2 != nil || n < 1 || c < 1 {
		return fmt.Errorf("want NAMESPACESxCONNECTIONS such as 64x4, got %q", text)
	}
	*s = Shape{n, c}
	return nil
}

// MarshalText is String.
func (s Shape) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Kind is what the load asks for.
type Kind string

// The kinds of load; c/load.c says what each sends and checks.
const (
	Echo    Kind = "echo"
	Table   Kind = "table"   // a request names a record of a shared table
	HTTP    Kind = "http"    // GET, the body is Size bytes
	Connect Kind = "connect" // a connection a message

	TLSEcho Kind = "tls-echo" // these are cmd/tlsload's
	TLSUp   Kind = "tls-up"   // a message is written
	TLSDown Kind = "tls-down" // a message is read
)

// load is the program that knows the kind.
func (k Kind) load() string {
	switch k {
	case TLSEcho, TLSUp, TLSDown:
		return "tlsload"
	}
	return "load"
}

// A Cell is one row of conditions: every server is measured under each.
type Cell struct {
	Shape Shape
	Size  int // bytes of a message
	Depth int // messages outstanding on a connection
	Kind  Kind
}

func (c Cell) String() string {
	text := fmt.Sprintf("%v, %d bytes, depth %d", c.Shape, c.Size, c.Depth)
	if c.Kind != Echo {
		text += ", " + string(c.Kind)
	}
	return text
}

// bufferSize is how much a server should read at once: a connection's messages
// outstanding, between a page and 64 KiB.
func (c Cell) bufferSize() int { return min(max(c.Size*c.Depth, 4<<10), 64<<10) }

// Cells crosses shapes, sizes and depths.
func Cells(shapes []Shape, sizes, depths []int) []Cell {
	var all []Cell
	for _, s := range shapes {
		for _, size := range sizes {
			for _, depth := range depths {
				all = append(all, Cell{s, size, depth, Echo})
			}
		}
	}
	return all
}

// MostNamespaces is how many namespaces the widest cell needs.
func MostNamespaces(cells []Cell) int {
	most := 0
	for _, c := range cells {
		most = max(most, c.Shape.Namespaces)
	}
	return most
}
