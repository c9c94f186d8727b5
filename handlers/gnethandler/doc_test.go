package gnethandler_test

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/panjf2000/gnet/v2"
)

const guide = "../../docs/migrating-from-gnet.md"

// The guide has a row for everything that gnet's users know, once, and none for
// what is no longer there: an update of gnet may not pass it by.
func TestGuideIsComplete(t *testing.T) {
	text, err := os.ReadFile(guide)
	if err != nil {
		t.Fatal(err)
	}
	for heading, names := range map[string][]string{
		"gnet.EventHandler": append(methods[gnet.EventHandler](), "None", "Close", "Shutdown"),
		"gnet.Conn":         methods[gnet.Conn](),
		"gnet.EventLoop":    methods[gnet.EventLoop](),
		"gnet.Engine":       methods[gnet.Engine](),
		"Options":           fields[gnet.Options](),
	} {
		got := rows(string(text), heading)
		slices.Sort(got)
		slices.Sort(names)
		if !slices.Equal(got, names) {
			t.Errorf("the tables of %q are for\n%s\nnot for\n%s", heading, got, names)
		}
	}
}

func methods[T any]() []string {
	var names []string
	for m := range reflect.TypeFor[T]().Methods() {
		names = append(names, m.Name)
	}
	return names
}

func fields[T any]() []string {
	var names []string
	for f := range reflect.TypeFor[T]().Fields() {
		names = append(names, f.Name)
	}
	return names
}

var row = regexp.MustCompile("(?m)^\\| `(\\w+)` \\| \\S")

// rows are the names in the first column of the tables under a heading.
func rows(text, heading string) []string {
	_, section, _ := strings.Cut(text, "\n## "+heading+"\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var names []string
	for _, match := range row.FindAllStringSubmatch(section, -1) {
		names = append(names, match[1])
	}
	return names
}
