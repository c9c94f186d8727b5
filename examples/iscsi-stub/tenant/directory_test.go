package tenant

import (
	"errors"
	"log/slog"
	"path/filepath"
	"testing"
)

func nobodyCounts(string, string) (any, func()) { return nil, func() {} }

// A namespace that has names of two tenants, which no file can rule out, is nobody's.
func TestNamesOfTwoTenants(t *testing.T) {
	f, err := Parse("t.yaml", []byte("tenants:\n- {name: a, namespaces: [a, 'a-*']}\n- {name: b, namespaces: b}\n"))
	if err != nil {
		t.Fatal(err)
	}
	d, err := Open(f, 3260, slog.Default(), nobodyCounts)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for _, test := range []struct {
		names     []string
		want      string
		contested bool
	}{
		{[]string{"a"}, "a", false},
		{[]string{"c", "a-1"}, "a", false},
		{[]string{"a", "a-1"}, "a", false},
		{[]string{"a-1", "b"}, "", true},
		{[]string{"c"}, "", false},
		{nil, "", false},
	} {
		var got string
		found, contested := d.find(test.names)
		if found != nil {
			got = found.Name
		}
		if got != test.want || contested != test.contested {
			t.Errorf("%q is %q's, contested %v", test.names, got, contested)
		}
	}
}

// The volumes' files stay where they are while the program runs.
func TestDataCannotMove(t *testing.T) {
	const text = "tenants:\n- {name: a, namespaces: a, volumes: [{name: d, size: 1MiB}]}\n"
	parse := func(dir string) *File {
		f, err := Parse("t.yaml", []byte("data: "+dir+"\n"+text))
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	dir := t.TempDir()
	d, err := Open(parse(filepath.Join(dir, "x")), 3260, slog.Default(), nobodyCounts)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := d.Apply(parse(filepath.Join(dir, "y")), nil); !errors.Is(err, ErrDataMoved) {
		t.Errorf("err is %v", err)
	}
}
