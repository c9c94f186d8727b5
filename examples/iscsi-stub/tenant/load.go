package tenant

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// maxFile is far more than a thousand tenants need, and less than memory.
const maxFile = 64 << 20

// Load reads a tenants file and checks it as a whole. The error has all mistakes, an [*Error]
// each; or it says that the file can't be read.
func Load(path string) (*File, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxFile {
		return nil, &Error{File: path, Text: fmt.Sprintf("has more than %d bytes, which no tenants file needs", maxFile)}
	}
	return Parse(path, text)
}

// Parse is Load for a text that has been read. Files that it names are looked for beside path.
func Parse(path string, text []byte) (*File, error) {
	r := &reader{mistakes: mistakes{file: path}}
	f := &File{Path: path}
	if root := r.document(text); root != nil {
		r.file(root, f)
		r.check(f)
	}
	if len(r.all) > 0 {
		return nil, r.err()
	}
	if f.Data != "" && !filepath.IsAbs(f.Data) {
		f.Data = filepath.Join(filepath.Dir(path), f.Data)
	}
	f.Warnings = r.exposed()
	return f, nil
}

// exposed says which files with secrets others than their owner may read.
func (r *reader) exposed() (warnings []string) {
	files := r.secretFiles
	if r.inline {
		files = append([]string{r.mistakes.file}, files...)
	}
	for _, file := range files {
		if info, err := os.Stat(file); err == nil && info.Mode().Perm()&0o077 != 0 {
			warnings = append(warnings, fmt.Sprintf("%s has CHAP secrets, and others than its owner may read it (mode %o)", file, info.Mode().Perm()))
		}
	}
	return warnings
}
