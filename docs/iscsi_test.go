package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/nsreactor/nsreactor/examples/iscsi-stub/tenant"
)

// The tenants file of iscsi-stub.md is one that the program takes.
func TestTenantsFile(t *testing.T) {
	page, err := os.ReadFile("iscsi-stub.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindSubmatch(page)
	if block == nil {
		t.Fatal("there is no tenants file in iscsi-stub.md")
	}
	file := filepath.Join(t.TempDir(), "tenants.yaml")
	if err := os.WriteFile(file, block[1], 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{file, "../examples/iscsi-stub/try.yaml"} {
		f, err := tenant.Load(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(f.Warnings) > 0 {
			t.Errorf("%s has warnings: %v", name, f.Warnings)
		}
	}
}
