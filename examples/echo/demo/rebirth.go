package demo

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/nsctx"
	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

// rebirth is how one namespace was deleted and another made under its name.
type rebirth struct {
	name     string
	old, new nsctx.ID
	deleted  time.Time
	served   time.Duration // how long after that the name was served again
	events   []event
}

// event is something that happened at some time after the deletion.
type event struct {
	after time.Duration
	what  string
}

func (r *rebirth) note(at time.Time, format string, args ...any) {
	r.events = append(r.events, event{at.Sub(r.deleted), fmt.Sprintf(format, args...)})
}

// replaceOne deletes a tenant while its clients and all others talk, makes it
// anew, and waits until the old one is gone and the new one is served.
func (s *show) replaceOne(ctx context.Context) error {
	waiting, cancel := context.WithTimeout(ctx, limit) // the new clients outlive it
	defer cancel()
	i := len(s.tenants) / 2
	t, old := s.tenants[i], s.crowds[i]
	attached := s.attached(old.id)
	if attached == nil {
		return fmt.Errorf("%s is not attached any more", t.Name)
	}
	proof, err := t.NS.Track() // our own, beside the engine's
	if err != nil {
		return err
	}
	defer proof.Close()

	s.say("deleting %s (%v) under load, and making it again", t.Name, old.id)
	s.rebirth = rebirth{name: t.Name, old: old.id, deleted: time.Now()}
	released := released(waiting, attached)
	if err := s.remake(ctx, t, i+1); err != nil {
		return err
	}
	at, gone := <-released
	if !gone {
		return fmt.Errorf("%s (%v) is not let go of: %w", t.Name, old.id, waiting.Err())
	}
	old.talking.Wait() // its clients have been told to go
	if err := s.noteEnd(old, at, proof); err != nil {
		return err
	}
	s.say("%s is %v now; it was served again after %s, and %v is gone", t.Name, s.rebirth.new, millis(s.rebirth.served), old.id)
	return nil
}

// remake deletes a tenant and makes it again; the new clients become crowd i.
func (s *show) remake(ctx context.Context, t *nstest.Tenant, i int) error {
	r := &s.rebirth
	if err := t.Delete(); err != nil {
		return err
	}
	r.note(time.Now(), "its name is removed")
	if err := t.Recreate(); err != nil {
		return err
	}
	r.new = t.NS.ID()
	r.note(time.Now(), "another namespace has its name and address: %v", r.new)
	c, err := s.gather(ctx, t)
	if err != nil {
		return err
	}
	r.served = time.Since(r.deleted)
	r.note(time.Now(), "%v is served: it has greeted %s", r.new, count(len(c.clients), "client"))
	c.begin(ctx)
	s.crowds = slices.Insert(s.crowds, i, c)
	return nil
}

// released gives the time at which the engine has let a namespace go, or
// nothing if ctx ends before.
func released(ctx context.Context, ns *engine.Namespace) <-chan time.Time {
	at := make(chan time.Time, 1)
	go func() {
		defer close(at)
		select {
		case <-ns.Released():
			at <- time.Now()
		case <-ctx.Done():
		}
	}()
	return at
}

// noteEnd completes the timeline with what became of the old namespace.
func (s *show) noteEnd(old *crowd, at time.Time, proof *nsctx.Release) error {
	r, l := &s.rebirth, s.handler.life(old.id)
	r.note(l.told, "the drain begins: %s told", count(l.conns, "connection"))
	r.note(l.ended, "drained: they have got every reply and ended")
	switch gone, err := proof.Gone(); {
	case proof.Method() == nsctx.MethodNone:
		r.note(at, "%v is let go of; this kernel does not tell whether it is gone", old.id)
	case err != nil:
		return err
	case !gone || s.eng.Stats().Released != 1:
		return fmt.Errorf("the engine has let go of %s (%v), but it lives on", old.name, old.id)
	default:
		r.note(at, "released: the kernel confirms that %v is gone", old.id)
	}
	slices.SortStableFunc(r.events, func(a, b event) int { return cmp.Compare(a.after, b.after) })
	return nil
}
