package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/metrics"
	"github.com/nsreactor/nsreactor/nsctx"
)

// config is the command line.
type config struct {
	file, dir, netns, admin string
	port, loops             int
	home, lenient           bool
	check, demo             bool
	ping                    time.Duration

	ready func() // called when all that is there is served; may be nil
}

// errUsage is a wrong command line.
var errUsage = errors.New("wrong arguments")

func (c *config) flags() *flag.FlagSet {
	flags := flag.NewFlagSet("iscsi-stub", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // what is wrong is returned
	flags.StringVar(&c.file, "config", "", "the `file` that says which tenants there are and what they have")
	flags.BoolVar(&c.check, "check", false, "say what is wrong with the file, and end")
	flags.StringVar(&c.dir, "netns-dir", nsctx.NamedDir, "`directory` of the namespaces' names")
	flags.StringVar(&c.netns, "netns", "*", "serve the namespaces whose names match this `glob`, now and later; '' serves none")
	flags.BoolVar(&c.home, "home", false, "serve the process's own namespace too; its name is home")
	flags.IntVar(&c.port, "port", 3260, "TCP `port` to serve in every namespace")
	flags.IntVar(&c.loops, "loops", 0, "`number` of event loops; 0 is one for each CPU")
	flags.StringVar(&c.admin, "admin", "", "`address` of the endpoint for Prometheus and /sessions, such as 127.0.0.1:9100 or unix:/run/iscsi-stub.sock; '' is none")
	flags.BoolVar(&c.lenient, "lenient-sendtargets", false, "answer SendTargets=All in normal sessions, which RFC 7143 forbids and some initiators want")
	flags.DurationVar(&c.ping, "ping", 15*time.Second, "how long an initiator may be silent before it is asked whether it is there")
	flags.BoolVar(&c.demo, "demo", false, "make two tenants with one address, and show that each sees only its own")
	return flags
}

// usage is the text for -h.
func usage() string {
	var b strings.Builder
	b.WriteString("Usage: iscsi-stub -config FILE [flags], or iscsi-stub -demo\n\nServes iSCSI to the tenants of a machine, each in its network namespaces.\n\n")
	flags := new(config).flags()
	flags.SetOutput(&b)
	flags.PrintDefaults()
	return b.String()
}

// parse reads the arguments. An error is flag.ErrHelp, or an errUsage that says what is wrong.
func parse(args []string) (config, error) {
	var c config
	flags := c.flags()
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return c, err
	case err == nil:
		err = c.wrong(flags)
	}
	if err != nil {
		err = fmt.Errorf("%w: %w; iscsi-stub -h lists the flags", errUsage, err)
	}
	return c, err
}

func (c *config) wrong(flags *flag.FlagSet) error {
	_, badGlob := path.Match(c.netns, "")
	switch {
	case flags.NArg() > 0:
		return fmt.Errorf("%q is not a flag", flags.Arg(0))
	case c.demo && c.file != "":
		return errors.New("-demo has tenants of its own, so it can't go with -config")
	case !c.demo && c.file == "":
		return errors.New("-config is missing")
	case c.port < 1 || c.port > 65535:
		return fmt.Errorf("-port %d is not within 1 to 65535", c.port)
	case c.ping <= 0:
		return fmt.Errorf("-ping %v is not more than 0", c.ping)
	case c.loops < 0:
		return fmt.Errorf("-loops %d is less than 0", c.loops)
	case badGlob != nil:
		return fmt.Errorf("-netns %q: %w", c.netns, badGlob)
	case c.netns == "" && !c.home:
		return errors.New("-netns '' without -home leaves nothing to serve")
	}
	return nil
}

// isUsage reports whether an error is the user's, wherever it was found.
func isUsage(err error) bool {
	for _, wrong := range []error{errUsage, engine.ErrBadConfig, engine.ErrBadHandle, metrics.ErrBadAddress, metrics.ErrNotLoopback} {
		if errors.Is(err, wrong) {
			return true
		}
	}
	return false
}
