package qos

import (
	"errors"
	"fmt"
	"time"
)

// IOSize is how many bytes an I/O has that counts as one. A larger one counts once for
// each that it begins.
const IOSize = 8 << 10

// DefaultBurstFor is how long full credits last, unless settings say something else.
const DefaultBurstFor = time.Minute

// Limits are of one kind: I/Os a second, or bytes a second. 0 is none.
type Limits struct {
	Min   uint64 // guaranteed
	Max   uint64 // hard cap
	Burst uint64 // above Max, while credits last; needs a Max
}

// Settings are a volume's. The zero value neither limits nor guarantees anything.
type Settings struct {
	IOPS Limits
	// Bandwidth is in bytes a second, what is read and what is written together. Its Min
	// is a promise to I/Os of IOSize and more: it counts as Min/IOSize I/Os.
	Bandwidth Limits
	// BurstFor is how long full credits last at burst rate; 0 means DefaultBurstFor.
	BurstFor time.Duration
}

// ErrSettings is wrapped by what Validate returns.
var ErrSettings = errors.New("qos settings that contradict themselves")

// Validate refuses settings that contradict themselves.
func (s Settings) Validate() error {
	if s.BurstFor < 0 {
		return fmt.Errorf("%w: a burst of %v", ErrSettings, s.BurstFor)
	}
	if err := s.IOPS.validate(); err != nil {
		return fmt.Errorf("%w: I/Os a second: %w", ErrSettings, err)
	}
	if err := s.Bandwidth.validate(); err != nil {
		return fmt.Errorf("%w: bytes a second: %w", ErrSettings, err)
	}
	return nil
}

func (l Limits) validate() error {
	switch {
	case l.Burst > 0 && l.Max == 0:
		return errors.New("a burst without a maximum")
	case l.Burst > 0 && l.Burst < l.Max:
		return fmt.Errorf("burst %d is below maximum %d", l.Burst, l.Max)
	case l.Max > 0 && l.Min > l.Max:
		return fmt.Errorf("minimum %d is above maximum %d", l.Min, l.Max)
	}
	return nil
}

// guaranteed is the minimum in I/Os a second: the larger of the two.
func (s Settings) guaranteed() float64 {
	return max(float64(s.IOPS.Min), float64(s.Bandwidth.Min)/IOSize)
}

// limited says that there is a cap.
func (s Settings) limited() bool { return s.IOPS.Max > 0 || s.Bandwidth.Max > 0 }

// units is how many I/Os one of so many bytes counts as.
func units(bytes int) int { return max(1, (bytes+IOSize-1)/IOSize) }
