package engine

// extras are what few connections have. They lie apart, so that the others do
// without the memory.
type extras struct {
	values    []value
	filter    Filter
	into      readInto
	work      works
	eofDue    bool  // OnReadEOF is due when the handler wants data again
	eofPassed bool  // the filter has passed the end on
	flushDue  bool  // the filter has kept something back
	reason    error // CloseWith's
	dial      *dial // while it is connecting
	traffic   traffic
	tap       func(*Conn, Direction, []byte)
	alarms    []*Timer // that are armed
	reserved  []byte   // by Reserve, with a filter

	keepReading bool // also while the output is above the high-water mark
	awaitsSpace bool // it is, and is read on
}

type value struct{ key, value any }

// needExtras are c's, made if there are none.
func (c *Conn) needExtras() *extras {
	if c.extra == nil {
		c.extra = new(extras)
	}
	return c.extra
}

// mark notes in the connection's first cache line whether reading and writing
// have to look at the extras.
func (c *Conn) mark() {
	x := c.extra
	c.special = x.filter != nil || x.into.done != nil || x.tap != nil || x.traffic.wanted || x.awaitsSpace
}

// SetValue keeps something with the connection under a key, as a handler that
// wraps another must, since Context belongs to the inner one. The key is compared
// with ==; a pointer of the package's own is a good one. A nil value takes
// the key away.
func (c *Conn) SetValue(key, v any) {
	x := c.needExtras()
	for i := range x.values {
		if x.values[i].key == key {
			x.values[i].value = v
			return
		}
	}
	x.values = append(x.values, value{key, v})
}

// Value is what SetValue kept under a key, or nil. It is still there in
// OnClose.
func (c *Conn) Value(key any) any {
	if c.extra == nil {
		return nil
	}
	for _, v := range c.extra.values {
		if v.key == key {
			return v.value
		}
	}
	return nil
}
