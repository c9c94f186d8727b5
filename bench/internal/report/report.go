// Package report makes the results page of the newest records.
package report

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/nsreactor/nsreactor/bench/internal/approaches"
	"github.com/nsreactor/nsreactor/bench/internal/parallel"
	"github.com/nsreactor/nsreactor/bench/internal/peers"
	"github.com/nsreactor/nsreactor/bench/internal/record"
	"github.com/nsreactor/nsreactor/bench/internal/regress"
	"github.com/nsreactor/nsreactor/bench/internal/switching"
	"github.com/nsreactor/nsreactor/bench/internal/toolkit"
)

// Command is the command line.
type Command struct {
	From string `help:"Folder of the records." default:"results" type:"path"`
	To   string `help:"Folder of the page." default:"../docs/results" type:"path"`
}

// A part is one command's share of the page.
type part struct {
	command string
	section func(w io.Writer, dir string) error
	// used lists the records that the section shows; nil is the newest alone.
	used func(dir string) ([]string, error)
	// bulky records leave their rows to the CSV when they are copied.
	bulky bool
}

// parts are the page from top to bottom.
var parts = []part{
	{"switch", switching.Section, nil, false},
	{"approaches", approaches.Section, nil, true},
	{"peers", peers.Section, peers.Used, true},
	{"parallel", parallel.Section, nil, true},
	{"toolkit", toolkit.Section, nil, true},
	{"regress", regress.Section, nil, false},
}

// intro is what stands above the parts.
const intro = `<!-- Made by "cd bench && go run . report" of the newest records. Change bench/, not this page. -->

# Results

What was run, on what, what came out, and what does *not* look good. The records (JSON, CSV) and pictures lie beside this page;
[bench/README.md](../../bench/README.md) says how everything is measured. Times are of one shared virtual machine: read the ratios,
which are of things measured side by side, rather than the microseconds.

Not made by this command: [tuning.md](tuning.md), what was tried on the engine and what a message costs; [namespaces.md](namespaces.md),
attaching, draining, release; [idle.md](idle.md), a hundred thousand idle connections on a machine that allows so many; [toolkit.md](toolkit.md),
datagrams, gnet handlers, framing, and what the figures of the toolkit below mean.
`

// Run writes the page, and copies what it shows.
func (c *Command) Run(context.Context) error {
	var page bytes.Buffer
	page.WriteString(intro)
	found := 0
	for _, p := range parts {
		err := p.section(&page, c.From)
		if errors.Is(err, record.ErrNone) {
			fmt.Fprintf(&page, "\n## %s\n\nNot measured yet: `cd bench && go run . %s`.\n", p.command, p.command)
			continue
		}
		if err != nil {
			return err
		}
		found++
	}
	if found == 0 {
		return fmt.Errorf("%w in %s: run other commands first", record.ErrNone, c.From)
	}
	if err := os.MkdirAll(c.To, 0o755); err != nil {
		return err
	}
	if err := c.replace(); err != nil {
		return err
	}
	name := filepath.Join(c.To, "README.md")
	fmt.Println("written:", name)
	return os.WriteFile(name, page.Bytes(), 0o644)
}

func (p part) records(dir string) ([]string, error) {
	if p.used != nil {
		return p.used(dir)
	}
	newest, err := record.Newest(dir, p.command)
	return []string{newest}, err
}

// replace takes away what an earlier page showed, and copies what this one does. A page
// that is made of the records beside it has nothing to copy.
func (c *Command) replace() error {
	if c.From == c.To {
		return nil
	}
	for _, p := range parts {
		names, err := p.records(c.From)
		if errors.Is(err, record.ErrNone) {
			continue
		}
		if err != nil {
			return err
		}
		if err := remove(c.To, p.command); err != nil {
			return err
		}
		for _, name := range names {
			if err := c.copyAll(strings.TrimSuffix(filepath.Base(name), ".json"), p); err != nil {
				return err
			}
		}
	}
	return nil
}

// remove deletes a command's files of any date from a folder.
func remove(dir, command string) error {
	dated := regexp.MustCompile(`^` + regexp.QuoteMeta(command) + `-\d{8}T\d{6}Z`)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if dated.MatchString(entry.Name()) {
			if err := os.Remove(filepath.Join(dir, entry.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// copyAll copies a record and its pictures. PNG is for where SVG can't be shown, and
// stays where it was made.
func (c *Command) copyAll(base string, p part) error {
	names, err := fs.Glob(os.DirFS(c.From), base+"*")
	if err != nil {
		return err
	}
	for _, name := range names {
		if filepath.Ext(name) == ".png" {
			continue
		}
		text, err := os.ReadFile(filepath.Join(c.From, name))
		if err != nil {
			return err
		}
		if p.bulky && filepath.Ext(name) == ".json" {
			if text, err = withoutRows(text); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		if err := os.WriteFile(filepath.Join(c.To, name), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// withoutRows takes the rows out of a record.
func withoutRows(text []byte) ([]byte, error) {
	var r map[string]json.RawMessage
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, err
	}
	delete(r, "rows")
	out, err := json.MarshalIndent(r, "", "\t")
	return append(out, '\n'), err
}
