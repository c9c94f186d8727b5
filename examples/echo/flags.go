package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"path"
	"strings"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/metrics"
	"github.com/nsreactor/nsreactor/nsctx"
)

// config is the command line.
type config struct {
	port    int
	netns   string // a glob; "" watches nothing
	dir     string
	home    bool
	loops   int
	mode    string
	admin   string
	demo    int // how many namespaces; 0 serves instead
	verbose bool
}

// The values of -mode.
const (
	modeNamespace = "namespace"
	modeAny       = "any"
	modeAlways    = "always"
)

// maxDemo keeps a demonstration to what the kernel's defaults allow: the table of
// neighbours, of which each namespace takes two, has 1024 places for all
// namespaces of the machine together (net.ipv4.neigh.default.gc_thresh3).
const maxDemo = 250

var (
	// errHelp asks for the usage text.
	errHelp = errors.New("help wanted")
	// errUsage is a wrong command line.
	errUsage = errors.New("wrong arguments")
)

func (c *config) flags() *flag.FlagSet {
	fs := flag.NewFlagSet("echo", flag.ContinueOnError)
	fs.SetOutput(io.Discard) // parse returns what there is to say
	fs.IntVar(&c.port, "port", 7000, "TCP `port` to serve in every namespace; 0 is one that the kernel chooses in each")
	fs.StringVar(&c.netns, "netns", "*", "attach the namespaces whose names match this `glob`, now and later; '' attaches none")
	fs.StringVar(&c.dir, "netns-dir", nsctx.NamedDir, "`directory` of the names")
	fs.BoolVar(&c.home, "home", false, "serve the process's own namespace too")
	fs.IntVar(&c.loops, "loops", 0, "`number` of event loops; 0 is one for each CPU")
	fs.StringVar(&c.mode, "mode", modeNamespace, "when a loop's thread switches namespace: `MODE` is\n"+
		"namespace, when an event is of another than the one before;\n"+
		"any, never, as an echo needs no namespace;\n"+
		"always, in and back for each event, to measure by")
	fs.StringVar(&c.admin, "admin", "", "`address` of the admin endpoint, such as 127.0.0.1:9100 or unix:/run/echo.sock; '' is none")
	fs.IntVar(&c.demo, "demo", 0, "make `N` namespaces with one address and show that all are served, 1 to 250; takes seconds")
	fs.BoolVar(&c.verbose, "v", false, "log debug messages")
	return fs
}

// usage is the text for -h.
func usage() string {
	var b strings.Builder
	fs := new(config).flags()
	fs.SetOutput(&b)
	b.WriteString("Usage: echo [flags]\n\nEchoes on one TCP port in many network namespaces.\n\n")
	fs.PrintDefaults()
	return b.String()
}

// parse reads the arguments. An error is errHelp or an errUsage that says what
// is wrong.
func parse(args []string) (config, error) {
	var c config
	fs := c.flags()
	err := fs.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return c, errHelp
	case err != nil:
		return c, fmt.Errorf("%w: %w", errUsage, err)
	case fs.NArg() > 0:
		return c, fmt.Errorf("%w: %q is not a flag", errUsage, fs.Arg(0))
	}
	given := make(map[string]bool)
	fs.Visit(func(f *flag.Flag) { given[f.Name] = true })
	if err := c.check(given); err != nil {
		return c, fmt.Errorf("%w: %w", errUsage, err)
	}
	return c, nil
}

// check is about values; given are the flags that were set.
func (c config) check(given map[string]bool) error {
	if c.port < 0 || c.port > 65535 {
		return fmt.Errorf("-port %d is not within 0 to 65535", c.port)
	}
	if _, err := path.Match(c.netns, ""); err != nil {
		return fmt.Errorf("-netns %q: %w", c.netns, err)
	}
	if c.loops < 0 {
		return fmt.Errorf("-loops %d is less than 0", c.loops)
	}
	if c.mode != modeNamespace && c.mode != modeAny && c.mode != modeAlways {
		return fmt.Errorf("-mode %q is none of %s, %s, %s", c.mode, modeNamespace, modeAny, modeAlways)
	}
	if given["demo"] {
		return c.checkDemo(given)
	}
	if c.netns == "" && !c.home {
		return errors.New("-netns '' without -home leaves nothing to serve")
	}
	if c.dir == "" {
		return errors.New("-netns-dir is empty")
	}
	return nil
}

func (c config) checkDemo(given map[string]bool) error {
	if c.demo < 1 || c.demo > maxDemo {
		return fmt.Errorf("-demo %d is not within 1 to %d", c.demo, maxDemo)
	}
	for _, name := range []string{"netns", "netns-dir", "home"} {
		if given[name] {
			return fmt.Errorf("-demo makes its own namespaces, so it can't go with -%s", name)
		}
	}
	return nil
}

// isUsage reports whether an error is the user's, wherever it was found.
func isUsage(err error) bool {
	for _, wrong := range []error{errUsage, engine.ErrBadConfig, metrics.ErrBadAddress, metrics.ErrNotLoopback} {
		if errors.Is(err, wrong) {
			return true
		}
	}
	return false
}

// complain says what went wrong, if anything, and returns the exit code.
func complain(stderr io.Writer, err error) int {
	if err == nil {
		return 0
	}
	fmt.Fprintln(stderr, "echo:", err)
	if isUsage(err) {
		fmt.Fprintln(stderr, "echo -h lists the flags.")
		return 2
	}
	return 1
}

// logger logs from a level on, or everything if -v is set.
func (c config) logger(w io.Writer, level slog.Level) *slog.Logger {
	if c.verbose {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level}))
}

func (c config) engine(log *slog.Logger) engine.Config {
	cfg := engine.Config{Loops: c.loops, Logger: log}
	if c.mode == modeAlways {
		cfg.Switch = engine.SwitchAlways
	}
	if c.demo > 0 {
		// The demonstration's clients are on this machine: the CPU of a handshake
		// is where its client happens to run, which may be one for all of them.
		cfg.Accept = engine.AcceptSpread
	}
	return cfg
}

func (c config) handleOptions() []engine.HandleOption {
	if c.mode == modeAny {
		return []engine.HandleOption{engine.AnyNamespace}
	}
	return nil
}
