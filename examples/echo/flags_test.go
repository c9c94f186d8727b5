package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/nsreactor/nsreactor/engine"
)

func TestParse(t *testing.T) {
	normal := config{port: 7000, netns: "*", dir: "/run/netns", mode: modeNamespace}
	with := func(change func(*config)) config {
		c := normal
		change(&c)
		return c
	}
	for _, test := range []struct {
		args string
		want config
	}{
		{"", normal},
		{"-port 0", with(func(c *config) { c.port = 0 })},
		{"-port 65535", with(func(c *config) { c.port = 65535 })},
		{"-netns tenant-* -netns-dir /run/docker/netns", with(func(c *config) { c.netns, c.dir = "tenant-*", "/run/docker/netns" })},
		{"-home -netns=", with(func(c *config) { c.home, c.netns = true, "" })},
		{"-loops 3", with(func(c *config) { c.loops = 3 })},
		{"-mode any", with(func(c *config) { c.mode = modeAny })},
		{"-mode always -v", with(func(c *config) { c.mode, c.verbose = modeAlways, true })},
		{"-admin unix:/run/a", with(func(c *config) { c.admin = "unix:/run/a" })},
		{"-demo 1", with(func(c *config) { c.demo = 1 })},
		{"-demo 250 -port 7 -loops 1 -mode any", with(func(c *config) { c.demo, c.port, c.loops, c.mode = 250, 7, 1, modeAny })},
	} {
		got, err := parse(strings.Fields(test.args))
		if err != nil || got != test.want {
			t.Errorf("%q is %+v, err %v; want %+v", test.args, got, err, test.want)
		}
	}
}

// wrongArguments has command lines and what a message about them has to name.
var wrongArguments = []struct{ args, want string }{
	{"-port x", `"x"`},
	{"-port -1", "-port -1"},
	{"-port 65536", "-port 65536"},
	{"-netns [", `-netns "["`},
	{"-netns=", "-home"},
	{"-netns-dir=", "-netns-dir"},
	{"-loops -1", "-loops -1"},
	{"-loops 100000", "100000"},
	{"-mode sometimes", `"sometimes" is none of namespace, any, always`},
	{"-mode=", "-mode"},
	{"-admin nowhere", "nowhere"},
	{"-admin 0.0.0.0:9100", "loopback"},
	{"-admin unix:relative", "absolute"},
	{"-demo 0", "-demo 0"},
	{"-demo -3", "-demo -3"},
	{"-demo 251", "1 to 250"},
	{"-demo many", `"many"`},
	{"-demo 2 -home", "-home"},
	{"-demo 2 -netns a", "-netns"},
	{"-demo 2 -netns-dir /tmp", "-netns-dir"},
	{"-unheard-of", "-unheard-of"},
	{"stray", `"stray"`},
	{"-port 7 stray -home", `"stray"`},
}

func TestWrongArgumentsAreExplained(t *testing.T) {
	for _, test := range wrongArguments {
		t.Run(test.args, func(t *testing.T) {
			p := launch(t, strings.Fields(test.args)...)
			p.wait(t, 2)
			if got := p.stderr.String(); !strings.HasPrefix(got, "echo: ") || !strings.Contains(got, test.want) {
				t.Errorf("nothing of %s in %q", test.want, got)
			}
			if got := p.stdout.String(); got != "" {
				t.Errorf("stdout has %q", got)
			}
		})
	}
}

func TestParseErrorsAreTyped(t *testing.T) {
	if _, err := parse([]string{"-mode", "x"}); !errors.Is(err, errUsage) {
		t.Errorf("err is %v", err)
	}
	if _, err := parse([]string{"-help"}); !errors.Is(err, errHelp) {
		t.Errorf("err is %v", err)
	}
}

func TestHelp(t *testing.T) {
	p := launch(t, "-h")
	p.wait(t, 0)
	for _, name := range []string{"-port", "-netns", "-netns-dir", "-home", "-loops", "-mode", "-admin", "-demo"} {
		p.stdout.await(t, "^  "+name+"\\b")
	}
	if got := p.stderr.String(); got != "" {
		t.Errorf("stderr has %q", got)
	}
}

func TestModes(t *testing.T) {
	for mode, want := range map[string]struct {
		policy  engine.SwitchPolicy
		options int
	}{
		modeNamespace: {engine.SwitchOnChange, 0},
		modeAny:       {engine.SwitchOnChange, 1},
		modeAlways:    {engine.SwitchAlways, 0},
	} {
		c := config{mode: mode}
		if got := c.engine(nil).Switch; got != want.policy {
			t.Errorf("-mode %s switches by policy %d", mode, got)
		}
		if got := len(c.handleOptions()); got != want.options {
			t.Errorf("-mode %s has %d handle options", mode, got)
		}
	}
}
