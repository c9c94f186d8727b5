package volume

// null is nowhere. It always reads zeros, so that it is as consistent as a volume
// can be and a reader is never handed what was in its buffer before.
type null struct{}

func (null) readAt(p []byte, _ int64, _ Wait) error {
	clear(p)
	return nil
}

func (null) update(b []byte, _ int64, _ bool, _ Wait, f func([]byte) error) error {
	clear(b)
	return f(b)
}

func (null) status(off, end int64, _ Wait) (bool, int64, error) { return false, end - off, nil }

func (null) writeAt([]byte, int64, bool, Wait) error { return nil }
func (null) zero(int64, int64, Wait) error           { return nil }
func (null) sync(Wait) error                         { return nil }
func (null) resize(int64) error                      { return nil }
func (null) close() error                            { return nil }
