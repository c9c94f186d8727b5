package resolver

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A file that is written twice within a tick of the clock has the same time twice, and
// may have the same size. The first contents would then have stayed for good.
func TestFileWrittenTwiceInATick(t *testing.T) {
	f := file[string]{
		path: filepath.Join(t.TempDir(), "f"), limit: 10,
		parse: func(data []byte) (string, error) { return string(data), nil },
	}
	now := time.Now()
	for _, text := range []string{"one", "two"} {
		if err := os.WriteFile(f.path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(f.path, now, now); err != nil {
			t.Fatal(err)
		}
		got, err := f.load()
		if err != nil || *got != text {
			t.Fatalf("load gives %v, %v; want %q", got, err, text)
		}
		again, err := f.load()
		if err != nil || again != got {
			t.Errorf("the same contents make another value, or: %v", err)
		}
	}
}
