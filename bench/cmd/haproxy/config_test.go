package main

import (
	"strings"
	"testing"
)

func TestConfigHasABindForEachNamespace(t *testing.T) {
	text := config{port: 80, namespaces: 3, size: 64, files: 20000}.text("/run/body")
	for _, want := range []string{
		"bind 0.0.0.0:80 namespace b0\n", "bind 0.0.0.0:80 namespace b2\n", "maxconn 19894\n", "file /run/body\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, "namespace b3") || strings.Contains(text, "bufsize") {
		t.Errorf("too much in\n%s", text)
	}
	if text := (config{size: 20000}).text(""); !strings.Contains(text, "tune.bufsize 24096\n") {
		t.Errorf("no room for the body in\n%s", text)
	}
}

func TestIsListener(t *testing.T) {
	for line, want := range map[string]bool{
		"   0: 00000000:1B5F 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0": true,
		"   0: 00000000:1B5F 00000000:0000 01 00000000:00000000 00:00000000 00000000     0": false,
		"   0: 00000000:1B5E 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0": false,
		"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid": false,
		"": false,
	} {
		if got := isListener(line, 7007); got != want {
			t.Errorf("%q: %v", line, got)
		}
	}
}
