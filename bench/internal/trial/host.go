package trial

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/nsreactor/nsreactor/bench/internal/lab"
)

// Placement says which CPUs servers and loads run on, and with what precedence. It is
// part of several commands' flags.
type Placement struct {
	ServerCPU int    `help:"CPU that servers are pinned to; any with --server-cpu=-1." default:"0"`
	LoadCPU   int    `help:"CPU that the load is pinned to; any with --load-cpu=-1." default:"1"`
	Nice      int    `help:"Nice value of servers and load; -20 takes the CPUs from other work, 0 does not." default:"-20"`
	Port      int    `help:"First port to listen on in each namespace." default:"7007"`
	Programs  string `help:"Folder to build in." default:"bin" type:"path"`
	NoBuild   bool   `help:"Take the programs in that folder as they are: for a machine without compilers."`
}

// Validate is kong's hook: it refuses CPUs that are not there.
func (p Placement) Validate() error {
	if cpus := runtime.NumCPU(); p.ServerCPU >= cpus || p.LoadCPU >= cpus {
		return fmt.Errorf("there are %d CPUs: choose with --server-cpu and --load-cpu, -1 for any", cpus)
	}
	if p.Nice < -20 || p.Nice > 19 || p.Port < 1 || p.Port > 65000 {
		return errors.New("--nice goes from -20 to 19, --port from 1 to 65000")
	}
	return nil
}

// A Host is where trials run: built programs, namespaces, CPUs.
type Host struct {
	Placement
	Spaces *lab.Namespaces
	// Remote is where loads are, if that is not where their servers are.
	Remote *Remote
	dir    string // of lists of namespaces
}

// Remote is namespaces that loads run in, with a network between each and the server's
// of the same place.
type Remote struct {
	Spaces  *lab.Namespaces
	Address string // of the server, in all of them: IPv4
}

// NewHost builds what the servers need and makes namespaces.
func NewHost(ctx context.Context, p Placement, servers []Server, namespaces int) (*Host, error) {
	if !p.NoBuild {
		if err := Build(ctx, p.Programs, servers); err != nil {
			return nil, err
		}
	}
	_, err := lab.RaiseFileLimit()
	if err != nil {
		return nil, err
	}
	if p.Nice, err = lab.RaiseOwnNice(p.Nice); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "nsreactor-bench-")
	if err != nil {
		return nil, err
	}
	spaces, err := lab.NewNamespaces(namespaces)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return &Host{Placement: p, Spaces: spaces, dir: dir}, nil
}

// Close gives the namespaces up.
func (h *Host) Close() error {
	h.Spaces.Close()
	return os.RemoveAll(h.dir)
}

// list is a file with the paths of the first count of some namespaces.
func (h *Host) list(spaces *lab.Namespaces, kind string, count int) (string, error) {
	name := filepath.Join(h.dir, fmt.Sprintf("%s-%d", kind, count))
	if _, err := os.Stat(name); err == nil {
		return name, nil
	}
	return name, spaces.WriteList(name, count)
}

// path is where a program is.
func (h *Host) path(program string) string {
	if filepath.IsAbs(program) {
		return program
	}
	return filepath.Join(h.Programs, program)
}

// Serve starts a server for a cell, on a port of its own, and waits until it listens in
// each of the cell's namespaces.
func (h *Host) Serve(ctx context.Context, s Server, c Cell, port int) (*Process, error) {
	list, err := h.list(h.Spaces, "servers", c.Shape.Namespaces)
	if err != nil {
		return nil, err
	}
	args := make([]string, len(s.Args))
	for i, arg := range s.Args {
		args[i] = strings.ReplaceAll(arg, "{size}", strconv.Itoa(c.Size))
	}
	args = append(args, "-p", strconv.Itoa(port), "-b", strconv.Itoa(c.bufferSize()), "@"+list)
	return start(ctx, s.Name, exec.Command(h.path(s.Program), args...), h.ServerCPU, h.Nice)
}

// load starts a load generator for a cell.
func (h *Host) load(ctx context.Context, c Cell, port int) (*load, error) {
	args, err := h.loadArgs(c, port)
	if err != nil {
		return nil, err
	}
	return startLoad(ctx, exec.Command(h.path(c.Kind.load()), args...), h.LoadCPU, h.Nice)
}

// loadArgs are a load generator's arguments: what to ask for, of whom and from where.
func (h *Host) loadArgs(c Cell, port int) ([]string, error) {
	args := []string{
		"-k", string(c.Kind), "-p", strconv.Itoa(port), "-c", strconv.Itoa(c.Shape.Conns),
		"-s", strconv.Itoa(c.Size), "-d", strconv.Itoa(c.Depth),
	}
	if h.LoadCPU >= 0 && h.LoadCPU != h.ServerCPU {
		args = append(args, "-y")
	}
	spaces, kind := h.Spaces, "servers"
	if h.Remote != nil {
		spaces, kind = h.Remote.Spaces, "loads"
		args = append(args, "-a", h.Remote.Address)
	}
	list, err := h.list(spaces, kind, c.Shape.Namespaces)
	return append(args, "@"+list), err
}
