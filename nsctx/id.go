package nsctx

import (
	"fmt"
	"strconv"
	"strings"
)

// Grade says what an ID rests on. A higher grade is a stronger one.
type Grade uint8

const (
	// GradeNone is the grade of the zero ID.
	GradeNone Grade = iota
	// GradePaper is the device, inode and modification time of the namespace's
	// file. Unique among the namespaces that are held open, and only fairly so
	// over time: the kernel gives an inode again within milliseconds, and the
	// time has the resolution of a timer tick. A namespace that nothing mounts
	// or holds open gets a new time, and so another ID, whenever it is opened.
	GradePaper
	// GradeCookie is the namespace's SO_NETNS_COOKIE (Linux 5.14), never given
	// twice between two boots.
	GradeCookie
	// GradeKernelID is the namespace's NS_GET_ID (Linux 6.18), never given twice
	// between two boots.
	GradeKernelID

	gradeBest = GradeKernelID
)

// String returns the grade's name.
func (g Grade) String() string {
	switch g {
	case GradePaper:
		return "paper"
	case GradeCookie:
		return "cookie"
	case GradeKernelID:
		return "kernel-id"
	default:
		return "none"
	}
}

// ID tells one network namespace from all others, as far as its Grade goes. IDs
// are compared with == and make map keys; IDs of different grades are never
// equal, even of one namespace. The zero ID is that of no namespace.
type ID struct {
	grade Grade
	id    uint64 // the kernel's id or the cookie; of a paper ID, the inode
	dev   uint64 // paper only
	mtime int64  // paper only, in nanoseconds
}

// ParseID is the ID with the given String.
func ParseID(s string) (ID, error) {
	var id ID
	kind, number, _ := strings.Cut(s, ":")
	var err error
	switch kind {
	case "id":
		id.grade = GradeKernelID
		id.id, err = strconv.ParseUint(number, 10, 64)
	case "cookie":
		id.grade = GradeCookie
		id.id, err = strconv.ParseUint(number, 10, 64)
	case "paper":
		id.grade = GradePaper
		_, err = fmt.Sscanf(number, "%d-%d-%x", &id.dev, &id.id, &id.mtime)
	}
	if err != nil || id.grade == GradeNone || id.String() != s {
		return ID{}, fmt.Errorf("%w: %q", ErrInvalidID, s)
	}
	return id, nil
}

// Grade says what the ID rests on.
func (id ID) Grade() Grade { return id.grade }

// IsZero reports whether the ID is that of no namespace.
func (id ID) IsZero() bool { return id == ID{} }

// String returns a short form, the same for equal IDs: "id:4105", "cookie:4105"
// or "paper:4-4026532177-18f3a9".
func (id ID) String() string {
	switch id.grade {
	case GradeKernelID:
		return "id:" + strconv.FormatUint(id.id, 10)
	case GradeCookie:
		return "cookie:" + strconv.FormatUint(id.id, 10)
	case GradePaper:
		return fmt.Sprintf("paper:%d-%d-%x", id.dev, id.id, id.mtime)
	default:
		return "none"
	}
}
