package handlertest

import (
	"net/netip"
	"time"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/internal/simulate"
)

// simulation is what package engine makes for this one: an engine with one loop, which
// does nothing by itself.
type simulation interface {
	Engine() *engine.Engine
	AddNamespace(name string) *engine.Namespace
	Handle(ns *engine.Namespace, port int, h engine.Handler, options ...engine.HandleOption)
	Accept(ns *engine.Namespace, port, fd int, peer netip.AddrPort) error
	Turn()
	Spoil(read int)
	Due() bool
	Signal() <-chan struct{}
	Next() (d time.Duration, armed bool)
	Pass(d time.Duration)
	Drain(ns *engine.Namespace)
	Refuse(ns *engine.Namespace, err error)
	Dialer(d any)
	Works() int
	RunWork()
	Finish()
	Kept() []string
	Holds(c *engine.Conn) bool
}

func newSimulation(cfg engine.Config) (simulation, error) {
	s, err := simulate.New(cfg)
	if err != nil {
		return nil, err
	}
	return s.(simulation), nil
}
