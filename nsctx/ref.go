package nsctx

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
)

// NamedDir is where ByName looks, the directory of ip-netns(8).
const NamedDir = "/run/netns"

type refKind uint8

const (
	refNone refKind = iota
	refName
	refPath
	refPID
	refFD
	refHome
)

// Ref says how to find a network namespace. It is a comparable value that holds
// nothing open; the zero Ref finds nothing.
type Ref struct {
	kind refKind
	text string
	num  int
}

// ByName refers to the namespace mounted at /run/netns/name.
func ByName(name string) Ref { return Ref{kind: refName, text: name} }

// ByPath refers to the namespace that is mounted at path, or that path links
// to, as /proc/PID/ns/net does.
func ByPath(path string) Ref { return Ref{kind: refPath, text: path} }

// ByPID refers to the namespace of a process's main thread.
func ByPID(pid int) Ref { return Ref{kind: refPID, num: pid} }

// ByFD refers to the namespace that fd is open on. Open duplicates the
// descriptor, which stays the caller's.
func ByFD(fd int) Ref { return Ref{kind: refFD, num: fd} }

// Home refers to the namespace of this process's main thread, as it was when
// this package first needed it.
func Home() Ref { return Ref{kind: refHome} }

// Name returns a label: the name, the last element of the path, "pid:N", "fd:N"
// or "home".
func (r Ref) Name() string {
	switch r.kind {
	case refName:
		return r.text
	case refPath:
		return filepath.Base(r.text)
	case refPID:
		return "pid:" + strconv.Itoa(r.num)
	case refFD:
		return "fd:" + strconv.Itoa(r.num)
	case refHome:
		return "home"
	default:
		return ""
	}
}

// Path returns the file that Open opens, or "" if the Ref is not by name or
// path.
func (r Ref) Path() string {
	switch r.kind {
	case refName:
		return filepath.Join(NamedDir, r.text)
	case refPath:
		return r.text
	default:
		return ""
	}
}

// String returns the path, or the label if there is none.
func (r Ref) String() string {
	if path := r.Path(); path != "" {
		return path
	}
	if r.kind == refNone {
		return "nothing"
	}
	return r.Name()
}

// check reports what is wrong with the Ref whatever exists.
func (r Ref) check() error {
	switch r.kind {
	case refName:
		return checkName(r.text)
	case refPath:
		if r.text == "" || strings.ContainsRune(r.text, 0) {
			return fmt.Errorf("path %q: %w", r.text, ErrInvalidRef)
		}
	case refPID:
		if r.num < 1 {
			return fmt.Errorf("pid %d: %w", r.num, ErrInvalidRef)
		}
	case refFD:
		if r.num < 0 {
			return fmt.Errorf("descriptor %d: %w", r.num, ErrInvalidRef)
		}
	case refHome:
	default:
		return ErrInvalidRef
	}
	return nil
}

// checkName refuses what is not one element of a path.
func checkName(name string) error {
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
		return fmt.Errorf("name %q: %w", name, ErrInvalidRef)
	}
	return nil
}
