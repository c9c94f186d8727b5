package handlertest

import "github.com/nsreactor/nsreactor/engine"

// Option changes what [New] makes.
type Option func(*options)

type options struct {
	config     engine.Config
	namespaces []string
	anywhere   bool
	panics     bool
	holdWork   bool
	backend    func(received []byte) []byte
}

// Port is the port that the handler under test serves.
const Port = 7000

// WithConfig is the engine's configuration, of which Loops is always 1 and what is
// about threads, CPUs and listening sockets does nothing. Without a Logger, warnings
// and errors go to the test's output; without a Resolver no name can be dialed.
func WithConfig(cfg engine.Config) Option { return func(o *options) { o.config = cfg } }

// Namespaces has the handler served in namespaces with these names, instead of in
// one with the name "a".
func Namespaces(names ...string) Option { return func(o *options) { o.namespaces = names } }

// AnyNamespace registers the handler with [engine.AnyNamespace].
func AnyNamespace() Option { return func(o *options) { o.anywhere = true } }

// AllowPanics lets a handler's panic end its connection without failing the test.
func AllowPanics() Option { return func(o *options) { o.panics = true } }

// HoldWork has [engine.Conn.Go] wait for [Loop.RunWork]. Without it work is done when
// the loop has nothing else to do, one at a time and in the order of the pool.
func HoldWork() Option { return func(o *options) { o.holdWork = true } }

// Backend has f play what the handler dials, in place of the test: each time that something
// is received from the handler, f returns what is sent back, if anything. When the handler
// has sent its last, so has the backend. It is what a handler that proxies needs for
// [Conform].
func Backend(f func(received []byte) (reply []byte)) Option {
	return func(o *options) { o.backend = f }
}
