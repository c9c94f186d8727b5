package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A server is one candidate: a program, its arguments, and the floor that it is
// compared to, which is the C server that changes namespaces as it does.
type server struct {
	name    string
	program string // in the folder of programs, or a path
	args    []string
	floor   string // name of a server
}

// allServers are the candidates in the order of the report. Floors come first.
var allServers = []server{
	{"c-never", "echo", []string{"-m", "never"}, "c-never"},
	{"c-group", "echo", []string{"-m", "group"}, "c-never"},
	{"c-change", "echo", []string{"-m", "change"}, "c-never"},
	{"c-always", "echo", []string{"-m", "always"}, "c-never"},
	{"nsr-any", "nsr", []string{"-mode", "any"}, "c-never"},
	{"nsr-namespace", "nsr", []string{"-mode", "namespace"}, "c-group"},
	{"nsr-always", "nsr", []string{"-mode", "always"}, "c-always"},
	{"gonet", "gonet", nil, "c-never"},
	{"gnet", "gnetecho", nil, "c-never"},
}

// pickServers returns the named servers together with the floors that they need, in
// the order of known. An empty list means all.
func pickServers(known []server, names []string) ([]server, error) {
	if len(names) == 0 {
		return known, nil
	}
	wanted := map[string]bool{}
	for _, name := range names {
		i := slices.IndexFunc(known, func(s server) bool { return s.name == name })
		if i < 0 {
			return nil, fmt.Errorf("no server %q", name)
		}
		wanted[name] = true
		wanted[known[i].floor] = true
	}
	return slices.DeleteFunc(slices.Clone(known), func(s server) bool { return !wanted[s.name] }), nil
}

// parseExtra reads NAME=FLOOR=COMMAND: a server from elsewhere, such as a build of
// another commit.
func parseExtra(text string) (server, error) {
	parts := strings.SplitN(text, "=", 3)
	if len(parts) != 3 || len(strings.Fields(parts[2])) == 0 {
		return server{}, fmt.Errorf("want NAME=FLOOR=COMMAND, got %q", text)
	}
	command := strings.Fields(parts[2])
	return server{name: parts[0], floor: parts[1], program: command[0], args: command[1:]}, nil
}

// rotate returns the servers in the order of a round: each round begins with another
// one, so that none always runs after the same neighbour's heat.
func rotate(servers []server, round int) []server {
	if len(servers) == 0 {
		return nil
	}
	first := round % len(servers)
	return slices.Concat(servers[first:], servers[:first])
}

// A shape is how many namespaces there are and how many connections in each.
type shape struct {
	namespaces, conns int
}

func (s shape) String() string { return fmt.Sprintf("%dx%d", s.namespaces, s.conns) }

// parseShape reads NAMESPACESxCONNECTIONS.
func parseShape(text string) (shape, error) {
	namespaces, conns, _ := strings.Cut(text, "x")
	n, err1 := strconv.Atoi(namespaces)
	c, err2 := strconv.Atoi(conns)
	if err1 != nil || err2 != nil || n < 1 || c < 1 {
		return shape{}, fmt.Errorf("want NAMESPACESxCONNECTIONS such as 64x4, got %q", text)
	}
	return shape{n, c}, nil
}

// A cell is one row of conditions: every server is measured under each.
type cell struct {
	shape
	size, depth int
}

func (c cell) String() string {
	return fmt.Sprintf("%v, %d bytes, depth %d", c.shape, c.size, c.depth)
}

// bufferSize is how much a server should read at once: a connection's messages
// outstanding, between a page and 64 KiB.
func (c cell) bufferSize() int {
	return min(max(c.size*c.depth, 4<<10), 64<<10)
}

// cells crosses shapes, sizes and depths.
func cells(shapes []shape, sizes, depths []int) []cell {
	var all []cell
	for _, s := range shapes {
		for _, size := range sizes {
			for _, depth := range depths {
				all = append(all, cell{s, size, depth})
			}
		}
	}
	return all
}

// parseList reads a comma-separated list with parse.
func parseList[T any](text string, parse func(string) (T, error)) ([]T, error) {
	var list []T
	for part := range strings.SplitSeq(text, ",") {
		if part == "" {
			continue
		}
		value, err := parse(part)
		if err != nil {
			return nil, err
		}
		list = append(list, value)
	}
	return list, nil
}

// parsePositive reads a number above zero.
func parsePositive(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("want a number above 0, got %q", text)
	}
	return n, nil
}
