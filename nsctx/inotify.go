package nsctx

import (
	"bytes"
	"encoding/binary"
	"errors"
)

// inotifyEvent is struct inotify_event of inotify(7).
type inotifyEvent struct {
	wd   int
	mask uint32
	name string // "" for the watched directory itself
}

// inotifyHeader is the size of the struct up to its name.
const inotifyHeader = 16

var errShortEvent = errors.New("inotify event cut short")

// nextEvent takes the first event off buf.
func nextEvent(buf []byte) (ev inotifyEvent, rest []byte, err error) {
	if len(buf) < inotifyHeader {
		return ev, nil, errShortEvent
	}
	size := binary.NativeEndian.Uint32(buf[12:])
	if uint64(size) > uint64(len(buf)-inotifyHeader) {
		return ev, nil, errShortEvent
	}
	end := inotifyHeader + int(size)
	name, _, _ := bytes.Cut(buf[inotifyHeader:end], []byte{0})
	return inotifyEvent{
		wd:   int(int32(binary.NativeEndian.Uint32(buf))),
		mask: binary.NativeEndian.Uint32(buf[4:]),
		name: string(name),
	}, buf[end:], nil
}
