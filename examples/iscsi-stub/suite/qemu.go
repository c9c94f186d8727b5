package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// imageSize is in bytes.
const imageSize = 32 << 20

// discover has iscsi-ls list what two tenants of the same address have. It returns what was
// wrong.
func (s *site) discover(ctx context.Context) (wrong []string) {
	for tenant, want := range map[string][]string{
		"thin": {"disk"}, "bursts": {"immediate", "r2t", "r2t-immediate", "unsolicited"},
	} {
		out, err := s.beside(tenant, exec.CommandContext(ctx, "iscsi-ls", "iscsi://10.77.0.1/"))
		var listed []string
		for line := range strings.Lines(out) {
			if name, ok := strings.CutPrefix(line, "Target:iqn.2026-01.com.example:"); ok {
				listed = append(listed, strings.Fields(name)[0])
			}
		}
		slices.Sort(listed)
		if err != nil || !slices.Equal(listed, want) {
			wrong = append(wrong, fmt.Sprintf("iscsi-ls at %s finds %q, %v, not %q\n%s", tenant, listed, err, want, out))
		}
	}
	return wrong
}

// qemu has qemu-img and qemu-io write to two tenants of the same address, target and volume at
// once, and read back what is to be each one's own. It returns what was wrong.
func (s *site) qemu(ctx context.Context) (wrong []string) {
	tenants := []string{"thin", "thick"}
	answers := make([]string, len(tenants))
	var running sync.WaitGroup
	for i, tenant := range tenants {
		running.Go(func() {
			if err := s.qemuIn(ctx, tenant, 0x11*(i+1)); err != nil {
				answers[i] = fmt.Sprintf("qemu at %s: %v", tenant, err)
			}
		})
	}
	running.Wait()
	for _, a := range answers {
		if a != "" {
			wrong = append(wrong, a)
		}
	}
	return wrong
}

func (s *site) qemuIn(ctx context.Context, tenant string, pattern int) error {
	image := filepath.Join(s.dir, tenant+".img")
	content := make([]byte, imageSize)
	_, _ = rand.Read(content) // never fails
	if err := os.WriteFile(image, content, 0o600); err != nil {
		return err
	}
	back := image + ".back"
	url := "iscsi://10.77.0.1/" + disk + "/0"
	p := fmt.Sprintf("-P %#x", pattern)
	for _, args := range [][]string{
		{"qemu-img", "info", url},
		{"qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", image, url},
		{"qemu-img", "convert", "-f", "raw", "-O", "raw", url, back},
		{
			"qemu-io", "-f", "raw", "-c", "write " + p + " 40M 8M", "-c", "write -f " + p + " 50M 4k", "-c", "write -z 48M 1M", "-c", "aio_write " + p + " 52M 1M",
			"-c", "aio_flush", "-c", "discard 60M 1M", "-c", "flush", url,
		},
		{"qemu-io", "-f", "raw", "-c", "read " + p + " 40M 8M", "-c", "read -P 0 48M 1M", "-c", "read " + p + " 50M 4k", "-c", "read " + p + " 52M 1M", url},
	} {
		if out, err := s.beside(tenant, exec.CommandContext(ctx, args[0], args[1:]...)); err != nil {
			return fmt.Errorf("%q: %w\n%s", args, err, out)
		}
	}
	got, err := os.ReadFile(back)
	if err != nil {
		return err
	}
	if string(got[:imageSize]) != string(content) {
		return fmt.Errorf("what came back is not what was written")
	}
	return nil
}
