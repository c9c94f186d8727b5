package serve

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestExpandPathsReadsLists(t *testing.T) {
	list := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(list, []byte("/b\n\n /c \n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := ExpandPaths([]string{"/a", "@" + list, "/d"})
	if want := []string{"/a", "/b", "/c", "/d"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
}

func TestExpandPathsReportsAMissingList(t *testing.T) {
	if _, err := ExpandPaths([]string{"@/does/not/exist"}); !os.IsNotExist(err) {
		t.Errorf("got %v; want that the file does not exist", err)
	}
}
