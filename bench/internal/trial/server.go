package trial

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// A Server is one candidate: a program, its arguments, and the server that its figures
// are divided by.
type Server struct {
	Name    string
	Program string   // below c/ or cmd/, or an absolute path
	Args    []string // "{size}" in them stands for the cell's
	Floor   string   // a server's name; its own for a floor
	Needs   []string // further programs below cmd/, such as a load of its own
}

// inC reports whether the server's program is of the folder c.
func (s Server) inC() bool { return s.Program == "echo" }

// Pick returns the named servers together with the floors that they need, in the order
// of known. An empty list means all.
func Pick(known []Server, names []string) ([]Server, error) {
	if len(names) == 0 {
		return known, nil
	}
	wanted := map[string]bool{}
	for _, name := range names {
		i := slices.IndexFunc(known, func(s Server) bool { return s.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("no server %q; there are %s", name, strings.Join(Names(known), ", "))
		}
		wanted[name], wanted[known[i].Floor] = true, true
	}
	return slices.DeleteFunc(slices.Clone(known), func(s Server) bool { return !wanted[s.Name] }), nil
}

// Names lists servers' names.
func Names(servers []Server) []string {
	names := make([]string, len(servers))
	for i, s := range servers {
		names[i] = s.Name
	}
	return names
}

// ParseExtra reads NAME=FLOOR=COMMAND: a server from elsewhere, such as a build of
// another commit.
func ParseExtra(text string) (Server, error) {
	parts := strings.SplitN(text, "=", 3)
	if len(parts) != 3 || len(strings.Fields(parts[2])) == 0 {
		return Server{}, fmt.Errorf("want NAME=FLOOR=COMMAND, got %q", text)
	}
	command := strings.Fields(parts[2])
	program, err := filepath.Abs(command[0])
	return Server{Name: parts[0], Floor: parts[1], Program: program, Args: command[1:]}, err
}

// rotate returns list in the order of a round: each round begins with another one, so
// that none always runs after the same neighbour's heat.
func rotate[T any](list []T, round int) []T {
	if len(list) == 0 {
		return nil
	}
	first := round % len(list)
	return slices.Concat(list[first:], list[:first])
}
