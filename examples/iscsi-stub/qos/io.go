package qos

import "time"

// IO is an I/O on its way through a [Volume]: made of what it moves, then asked about with
// Admit, and done with after Done, when it may be used anew. One goroutine at a time uses
// it.
type IO struct {
	Write bool
	Bytes int // that are read or written; 0 for an I/O that moves none
	// Waited is for how long it has been there before Admit is first asked, as far as is
	// known: for the loop that serves it, say.
	Waited time.Duration

	stage stage
	came  time.Duration // when Admit was first asked; all times since the volume's epoch
	due   time.Duration // when the volume's own limits let it go
	place float64       // in the governor's line
	went  time.Duration // when Admit let it go
}

// A stage is how far an I/O has come.
type stage uint8

const (
	fresh stage = iota
	paid        // the volume's own limits know of it
	lined       // the governor does, too
	gone        // let go
)
