// Package docs holds the pages of documentation, and tests that run what they show.
//
// A block of code in a page that follows a line <!-- snippet NAME --> is the region
// of that name in a test file here:
//
//	// snippet NAME
//	…
//	// end
//
// go test ./docs -update writes the regions into the pages.
package docs

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

func TestMain(m *testing.M) { nstest.Main(m) }

var update = flag.Bool("update", false, "write the snippets into the pages")

var (
	region = regexp.MustCompile(`(?ms)^\t*// snippet ([a-z-]+)\n(.*?)^\t*// end$`)
	block  = regexp.MustCompile("(?ms)^<!-- snippet ([a-z-]+) -->\n```go\n(.*?)^```$")
)

// regions are the snippets of all files here, by name.
func regions(t *testing.T) map[string]string {
	t.Helper()
	found := make(map[string]string)
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range region.FindAllStringSubmatch(string(source), -1) {
			if found[m[1]] != "" {
				t.Errorf("%s: a second snippet %s", name, m[1])
			}
			found[m[1]] = outdent(m[2])
		}
	}
	return found
}

// outdent takes the tabs away that all lines begin with.
func outdent(code string) string {
	lines := strings.SplitAfter(code, "\n")
	common := -1
	for _, line := range lines {
		if strings.TrimSpace(line) == "" {
			continue
		}
		tabs := len(line) - len(strings.TrimLeft(line, "\t"))
		if common < 0 || tabs < common {
			common = tabs
		}
	}
	for i, line := range lines {
		lines[i] = strings.TrimPrefix(line, strings.Repeat("\t", min(max(common, 0), len(line)-len(strings.TrimLeft(line, "\t")))))
	}
	return strings.Join(lines, "")
}

// What the pages show is what runs here: a page once showed a call that had
// another name by then.
func TestPagesShowWhatRuns(t *testing.T) {
	code := regions(t)
	shown := make(map[string]bool)
	pages, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range pages {
		page, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		current := block.ReplaceAllStringFunc(string(page), func(b string) string {
			snippet := block.FindStringSubmatch(b)[1]
			shown[snippet] = true
			if code[snippet] == "" {
				t.Errorf("%s: nothing is called %s", name, snippet)
				return b
			}
			return "<!-- snippet " + snippet + " -->\n```go\n" + code[snippet] + "```"
		})
		switch {
		case current == string(page):
		case *update:
			if err := os.WriteFile(name, []byte(current), 0o644); err != nil {
				t.Fatal(err)
			}
		default:
			t.Errorf("%s shows other code than what runs; go test ./docs -update writes it anew", name)
		}
	}
	for name := range code {
		if !shown[name] {
			t.Errorf("no page shows %s", name)
		}
	}
}
