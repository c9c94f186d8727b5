package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"path"
	"time"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/metrics"
	"github.com/nsreactor/nsreactor/nsctx"
)

// config is the command line.
type config struct {
	port, max, sendProxy       int
	netns, dir, admin, backend string
	timeout, idle, drain       time.Duration
}

// errUsage is a wrong command line.
var errUsage = errors.New("wrong arguments")

// parse reads the arguments. An error is flag.ErrHelp, whose text is out already, or an
// errUsage that says what is wrong.
func parse(args []string, stderr io.Writer) (config, error) {
	var c config
	flags := flag.NewFlagSet("proxy", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // what is wrong is returned
	flags.IntVar(&c.port, "port", 8080, "TCP `port` to serve in every namespace")
	flags.StringVar(&c.netns, "netns", "*", "serve the namespaces whose names match this `glob`, now and later")
	flags.StringVar(&c.dir, "netns-dir", nsctx.NamedDir, "`directory` of the names")
	flags.StringVar(&c.admin, "admin", "", "`address` of the endpoint for Prometheus, such as 127.0.0.1:9100; '' is none")
	flags.StringVar(&c.backend, "backend", "", "`address` to connect to from here: 192.0.2.1:80, name:80 or unix:/run/x; must be given")
	flags.IntVar(&c.sendProxy, "send-proxy", 0, "`version` of the PROXY header for the backend, 1 or 2; 0 is none")
	flags.IntVar(&c.max, "max", 1000, "how many connections a namespace may have; 0 is no limit")
	flags.DurationVar(&c.timeout, "timeout", 5*time.Second, "how long to try to connect")
	flags.DurationVar(&c.idle, "idle", 5*time.Minute, "end connections on which nothing moves for so long; 0 is never")
	flags.DurationVar(&c.drain, "drain", 10*time.Second, "how long connections may go on at the end")
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		flags.SetOutput(stderr)
		flags.Usage()
	case err != nil:
		err = fmt.Errorf("%w: %w", errUsage, err)
	case flags.NArg() > 0:
		err = fmt.Errorf("%w: %q is not a flag", errUsage, flags.Arg(0))
	case c.backend == "":
		err = fmt.Errorf("%w: -backend is missing", errUsage)
	case c.sendProxy < 0 || c.sendProxy > 2:
		err = fmt.Errorf("%w: -send-proxy %d is not 0, 1 or 2", errUsage, c.sendProxy)
	case c.max < 0:
		err = fmt.Errorf("%w: -max %d is less than 0", errUsage, c.max)
	}
	return c, err
}

// isUsage reports whether an error is the user's, wherever it was found.
func isUsage(err error) bool {
	for _, wrong := range []error{
		errUsage, engine.ErrBadConfig, engine.ErrBadDial, engine.ErrBadHandle,
		path.ErrBadPattern, metrics.ErrBadAddress, metrics.ErrNotLoopback,
	} {
		if errors.Is(err, wrong) {
			return true
		}
	}
	return false
}
