// Package record keeps what a benchmark has found: as JSON with everything, as CSV with
// a line a measurement, both with the machine, kernel, versions, date and commit that
// the figures belong to.
package record

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A Record is a run of one command. Row is a measurement, Summary what they come to.
type Record[Row, Summary any] struct {
	Command  string   `json:"command"`            // such as "switch"
	Args     []string `json:"args"`               // as given
	Machine  Machine  `json:"machine"`            //
	Seconds  float64  `json:"seconds"`            // that it took
	Warnings []string `json:"warnings"`           // what speaks against the figures
	Versions []string `json:"versions,omitempty"` // of what was measured
	Pictures []string `json:"pictures"`           // file names without an ending; .svg and .png exist
	Summary  Summary  `json:"summary"`
	Rows     []Row    `json:"rows"`

	began time.Time
}

// Warn adds a warning, once.
func (r *Record[Row, Summary]) Warn(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(r.Warnings, text) {
		r.Warnings = append(r.Warnings, text)
	}
}

// Base is the files' common name without an ending: the command and the date.
func (r *Record[Row, Summary]) Base() string {
	return r.Command + "-" + strings.NewReplacer(":", "", "-", "").Replace(r.Machine.Date)
}

// Save writes DIR/BASE.json and DIR/BASE.csv, and makes the folder if need be.
func (r *Record[Row, Summary]) Save(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	text, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	base := filepath.Join(dir, r.Base())
	if err := os.WriteFile(base+".json", append(text, '\n'), 0o644); err != nil {
		return err
	}
	return SaveCSV(base+".csv", r.Machine, r.Rows)
}

// ErrNone says that a command has no record in a folder.
var ErrNone = errors.New("no record")

// Newest finds a command's newest record in a folder.
func Newest(dir, command string) (string, error) {
	names, err := All(dir, command)
	if err != nil {
		return "", err
	}
	return names[0], nil
}

// All finds a command's records in a folder, the newest first: dates in names sort by
// age. There is one at least, or the error is ErrNone.
func All(dir, command string) ([]string, error) {
	names, err := fs.Glob(os.DirFS(dir), command+"-[0-9]*.json")
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%w of %q in %s", ErrNone, command, dir)
	}
	slices.Sort(names)
	slices.Reverse(names)
	for i, name := range names {
		names[i] = filepath.Join(dir, name)
	}
	return names, nil
}

// Load reads a record.
func Load[Row, Summary any](name string) (*Record[Row, Summary], error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	r := new(Record[Row, Summary])
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return r, nil
}

// New begins a record of a command, on this machine and now.
func New[Row, Summary any](command string, args []string) *Record[Row, Summary] {
	return &Record[Row, Summary]{Command: command, Args: withoutPaths(args), Machine: DescribeMachine(), began: time.Now()}
}

// withoutPaths leaves out where things were written to: it is of no use elsewhere.
func withoutPaths(args []string) []string {
	kept := []string{}
	for i := 0; i < len(args); i++ {
		name, _, inOne := strings.Cut(args[i], "=")
		switch {
		case !slices.Contains([]string{"--out", "--programs", "--baseline"}, name):
			kept = append(kept, args[i])
		case !inOne:
			i++ // its value
		}
	}
	return kept
}

// Finish saves a run that is over: figures, and the pictures that draw makes of them.
// It prints the warnings, and what was written.
func (r *Record[Row, Summary]) Finish(dir string, draw func(base string) (pictures []string, err error)) error {
	r.Seconds = time.Since(r.began).Seconds()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	names, err := draw(filepath.Join(dir, r.Base()))
	for _, name := range names {
		r.Pictures = append(r.Pictures, filepath.Base(name))
	}
	if err := errors.Join(err, r.Save(dir)); err != nil {
		return err
	}
	for _, warning := range r.Warnings {
		fmt.Println("warning:", warning)
	}
	fmt.Printf("\nwritten: %s .json, .csv", filepath.Join(dir, r.Base()))
	for _, name := range r.Pictures {
		fmt.Printf(", %s .svg .png", name)
	}
	fmt.Println()
	return nil
}
