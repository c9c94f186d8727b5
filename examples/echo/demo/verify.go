package demo

import (
	"errors"
	"fmt"

	"github.com/nsreactor/nsreactor/engine"
)

// verify compares the two ends when the load is over. That each reply was the
// one that was due, its client has seen to.
func (s *show) verify() error {
	var errs []error
	for _, c := range s.crowds {
		errs = append(errs, c.failures()...)
		errs = append(errs, s.verifyCrowd(c))
	}
	if s.rebirth.new == s.rebirth.old {
		errs = append(errs, fmt.Errorf("the reborn %s has its predecessor's id", s.rebirth.name))
	}
	for _, l := range s.eng.Stats().Loops {
		if l.Panics+l.Strays+l.SwitchErrors > 0 {
			errs = append(errs, fmt.Errorf("loop %d: %d panics, %d strays, %d failed switches", l.Index, l.Panics, l.Strays, l.SwitchErrors))
		}
	}
	return errors.Join(errs...)
}

// verifyCrowd looks for bytes and connections that one end knows of and the
// other does not.
func (s *show) verifyCrowd(c *crowd) error {
	if l := s.handler.life(c.id); l.conns != len(c.clients) || l.open != 0 {
		return fmt.Errorf("%s (%v): %d connections were served and %d are open, of %d clients", c.name, c.id, l.conns, l.open, len(c.clients))
	}
	if c.messages.Load() == 0 {
		return fmt.Errorf("%s (%v): no message", c.name, c.id)
	}
	if c.id == s.rebirth.old {
		return nil // the engine forgets what is gone
	}
	ns, serving := s.namespaces[c.id]
	if !serving || ns.State != engine.StateServing {
		return fmt.Errorf("%s (%v) is not served at the end", c.name, c.id)
	}
	if n := errorSum(ns.Errors); n > 0 {
		return fmt.Errorf("%s (%v): the engine counts %d errors", c.name, c.id, n)
	}
	sent, received := c.traffic()
	if ns.BytesIn != sent || ns.BytesOut != received {
		return fmt.Errorf("%s (%v): its clients sent %d bytes and received %d, the engine received %d and sent %d",
			c.name, c.id, sent, received, ns.BytesIn, ns.BytesOut)
	}
	return nil
}

func errorSum(counts engine.ErrorCounts) (n uint64) {
	for _, c := range counts {
		n += c
	}
	return n
}
