package record

import (
	"encoding/csv"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

type inner struct {
	P50 float64 `json:"p50"`
}

type row struct {
	Server string `json:"server"`

	Load  inner    `json:"load"`
	Parts []string `json:"parts"`
	Count int      `json:"count"`
}

type embedded struct {
	Name string `json:"name"`
	Inner
}

// Inner is exported, as an embedded struct has to be for its fields to be seen.
type Inner struct {
	P50 float64 `json:"p50"`
}

func TestRecordComesBackAsItWasSaved(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made")
	r := Record[row, inner]{Command: "peers", Args: []string{"--quick"}, Machine: Machine{Date: "2026-01-02T03:04:05Z", CPUs: 2}}
	r.Summary.P50 = 7
	r.Rows = []row{{Server: "a", Load: inner{1.5}, Parts: []string{"x"}, Count: 3}}
	r.Warn("noisy: %d", 1)
	r.Warn("noisy: %d", 1)
	if err := r.Save(dir); err != nil {
		t.Fatal(err)
	}
	name, err := Newest(dir, "peers")
	if err != nil || filepath.Base(name) != "peers-20260102T030405Z.json" {
		t.Fatalf("got %q, %v", name, err)
	}
	got, err := Load[row, inner](name)
	if err != nil || got.Summary.P50 != 7 || got.Machine != r.Machine || got.Rows[0].Load.P50 != 1.5 || len(got.Warnings) != 1 {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestNewestIsTheLatestOfItsCommand(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{
		"switch-20260102T000000Z.json", "switch-20260101T000000Z.json", "switch-20260103T000000Z.csv",
		"switch-baseline.json", "switching-20270101T000000Z.json",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := Newest(dir, "switch"); err != nil || filepath.Base(got) != "switch-20260102T000000Z.json" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := Newest(dir, "peers"); !errors.Is(err, ErrNone) {
		t.Errorf("got %v, want ErrNone", err)
	}
}

func TestCSVHasAColumnForEachFieldThatFits(t *testing.T) {
	var text strings.Builder
	rows := []embedded{{"a,b", Inner{0.1234567}}, {"c", Inner{2}}}
	if err := writeCSV(&text, Machine{Commit: "abc"}, rows); err != nil {
		t.Fatal(err)
	}
	lines, err := csv.NewReader(strings.NewReader(text.String())).ReadAll()
	if err != nil || len(lines) != 3 {
		t.Fatalf("got %q, %v", lines, err)
	}
	n := len(lines[0])
	if got := lines[0][n-2:]; !slices.Equal(got, []string{"name", "p50"}) {
		t.Errorf("head: got %q", got)
	}
	if got := lines[1][n-2:]; !slices.Equal(got, []string{"a,b", "0.123457"}) {
		t.Errorf("line: got %q", got)
	}
	if i := slices.Index(lines[0], "commit"); i < 0 || lines[2][i] != "abc" {
		t.Errorf("no commit in %q", lines[2])
	}
}

func TestArgumentsAreKeptWithoutPaths(t *testing.T) {
	got := withoutPaths([]string{"peers", "--out", "/tmp/x", "--rounds", "3", "--programs=/tmp/y", "--short"})
	if want := []string{"peers", "--rounds", "3", "--short"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
