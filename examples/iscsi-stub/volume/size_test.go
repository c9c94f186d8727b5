package volume

import (
	"errors"
	"math"
	"testing"
)

// The table of a volume in memory took the program with it, if the volume was large enough.
func TestMemoryTooLarge(t *testing.T) {
	for _, blocks := range []uint64{math.MaxInt64 / 512, maxMemory/512 + 1} {
		if _, err := Open(Config{Name: "m", Kind: Memory, Blocks: blocks}); !errors.Is(err, ErrConfig) {
			t.Errorf("%d blocks: %v", blocks, err)
		}
	}
	v, err := Open(Config{Name: "m", Kind: Memory, Blocks: maxMemory / 512})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	if err := v.Grow(maxMemory/512 + 1); !errors.Is(err, ErrConfig) {
		t.Error(err)
	}
}
