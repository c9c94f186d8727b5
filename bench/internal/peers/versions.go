package peers

import (
	"context"
	"os/exec"
	"runtime/debug"
	"slices"
	"strings"
)

// peerModules are the modules whose versions matter.
var peerModules = []string{
	"github.com/panjf2000/gnet/v2", "github.com/lesismal/nbio", "github.com/cloudwego/netpoll", "golang.org/x/sys",
}

// versions lists what is measured and in which version.
func versions(ctx context.Context) []string {
	var all []string
	if list, err := exec.CommandContext(ctx, "go", append([]string{"list", "-m"}, peerModules...)...).Output(); err == nil {
		for line := range strings.Lines(string(list)) {
			all = append(all, strings.TrimSpace(line))
		}
	} else if info, ok := debug.ReadBuildInfo(); ok {
		for _, module := range info.Deps {
			if slices.Contains(peerModules, module.Path) {
				all = append(all, module.Path+" "+module.Version)
			}
		}
	}
	if haproxy := haproxyVersion(ctx); haproxy != "" {
		all = append(all, haproxy)
	}
	return all
}

// haproxyVersion is HAProxy's own word, empty if it is not installed.
func haproxyVersion(ctx context.Context) string {
	output, err := exec.CommandContext(ctx, "haproxy", "-v").Output()
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(output), "\n")
	return strings.TrimSpace(line)
}
