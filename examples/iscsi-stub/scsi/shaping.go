package scsi

import (
	"errors"
	"time"

	"github.com/nsreactor/nsreactor/examples/iscsi-stub/qos"
)

// errStopped ends what goes on at a unit that is closed.
var errStopped = errors.New("scsi: the unit was closed")

// shaped does n bytes of what goes on beside commands, a sanitize or a copy, when the
// volume's quality of service lets it, unless stop is closed before. It blocks.
func (u *Unit) shaped(write bool, n int64, stop <-chan struct{}, f func() error) error {
	if u.shaper == nil {
		select {
		case <-stop:
			return errStopped
		default:
			return f()
		}
	}
	io := qos.IO{Write: write, Bytes: int(n)}
	defer func() { u.shaper.Done(&io, time.Now()) }()
	for wait := time.Duration(1); wait > 0; {
		wait = u.shaper.Admit(&io, time.Now())
		select {
		case <-stop:
			return errStopped
		case <-time.After(wait):
		}
	}
	return f()
}
