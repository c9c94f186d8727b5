package gnethandler

import (
	"time"

	gneterrors "github.com/panjf2000/gnet/v2/pkg/errors"
)

// noDeadlines are the methods of net.Conn that gnet has in name only.
type noDeadlines struct{}

// SetDeadline fails, as it does on gnet.
func (noDeadlines) SetDeadline(time.Time) error { return gneterrors.ErrUnsupportedOp }

// SetReadDeadline fails, as it does on gnet.
func (noDeadlines) SetReadDeadline(time.Time) error { return gneterrors.ErrUnsupportedOp }

// SetWriteDeadline fails, as it does on gnet.
func (noDeadlines) SetWriteDeadline(time.Time) error { return gneterrors.ErrUnsupportedOp }
