package serve

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
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

func TestCompleteCutsOffWhatIsNoWholeMessage(t *testing.T) {
	for _, test := range []struct{ size, n, want int }{{0, 7, 7}, {10, 0, 0}, {10, 9, 0}, {10, 10, 10}, {10, 39, 30}} {
		m := Messages{Size: test.size}
		if got := m.Complete(test.n); got != test.want {
			t.Errorf("size %d: %d of %d bytes, want %d", test.size, got, test.n, test.want)
		}
	}
}

// FuzzComplete cuts a stream anywhere and expects the same messages as without.
func FuzzComplete(f *testing.F) {
	f.Add(10, 35, 17)
	f.Fuzz(func(t *testing.T, size, n, cut int) {
		if size < 0 || cut < 0 || n < cut {
			return
		}
		m := Messages{Size: size}
		first := m.Complete(cut)
		second := m.Complete(n - first)
		if first > cut || first+second != m.Complete(n) {
			t.Errorf("size %d, %d bytes cut at %d: %d and %d, want %d in all", size, n, cut, first, second, m.Complete(n))
		}
	})
}

// TestPrepareScales expects more rounds for more work. How long a round takes is the
// machine's affair.
func TestPrepareScales(t *testing.T) {
	none, some := Messages{}, Messages{micros: 1000}
	none.prepare()
	some.prepare()
	if none.rounds != 0 || some.rounds < 1000 {
		t.Errorf("%d and %d rounds for 0 and 1000 µs", none.rounds, some.rounds)
	}
}

func TestFollowAnswersEachLine(t *testing.T) {
	var added []string
	var out strings.Builder
	follow(strings.NewReader("add /a\nadd /bad\nremove /a\n"), &out, func(path string) error {
		if path == "/bad" {
			return errors.New("no such thing")
		}
		added = append(added, path)
		return nil
	})
	want := "added\nfailed: no such thing\nfailed: want \"add PATH\", got \"remove /a\"\n"
	if out.String() != want || !slices.Equal(added, []string{"/a"}) {
		t.Errorf("got %q, added %q; want %q", out.String(), added, want)
	}
}
