package tlshandler

import (
	"container/list"
	"sync"

	"github.com/nsreactor/nsreactor/engine"
)

// gate bounds the handshakes that are under way, all and a namespace's. Those
// beyond wait, and are let in in the order of their coming within a namespace, and
// in turns between namespaces: a tenant that is flooded keeps no other waiting.
type gate struct {
	max, share int // of handshakes: all, and one namespace's

	mu      sync.Mutex
	running int
	waiting int
	lines   map[*engine.Namespace]*line
	turns   list.List // lines in which somebody waits, the next to be served first
}

// line is a namespace's part.
type line struct {
	ns      *engine.Namespace
	running int
	waiting list.List     // of *session
	turn    *list.Element // in gate.turns; nil when nobody waits
}

// enter reports whether a handshake may begin; if so, leave must follow. If
// not, the session waits, and its admitted is called later unless it withdraws.
func (g *gate) enter(s *session) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	ns := s.conn.Namespace()
	l := g.lines[ns]
	if l == nil {
		l = &line{ns: ns}
		if g.lines == nil {
			g.lines = make(map[*engine.Namespace]*line)
		}
		g.lines[ns] = l
	}
	if g.running < g.max && l.running < g.share && l.waiting.Len() == 0 {
		g.running++
		l.running++
		return true
	}
	s.place = l.waiting.PushBack(s)
	g.waiting++
	if l.turn == nil {
		l.turn = g.turns.PushBack(l)
	}
	return false
}

// leave ends what enter or admitted has begun.
func (g *gate) leave(s *session) {
	g.mu.Lock()
	l := g.lines[s.conn.Namespace()]
	g.running--
	l.running--
	next := g.next()
	g.tidy(l)
	g.mu.Unlock()
	for _, s := range next {
		s.admitted()
	}
}

// withdraw takes a session that waits out of its line. It does nothing for one
// that was let in meanwhile.
func (g *gate) withdraw(s *session) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if s.place == nil {
		return
	}
	l := g.lines[s.conn.Namespace()]
	g.remove(l, s)
	g.tidy(l)
}

// next takes those who may enter now out of their lines.
func (g *gate) next() (in []*session) {
	for e := g.turns.Front(); e != nil && g.running < g.max; {
		l, after := e.Value.(*line), e.Next()
		if l.running < g.share {
			s := l.waiting.Front().Value.(*session)
			g.remove(l, s)
			g.running++
			l.running++
			in = append(in, s)
			if l.turn != nil {
				g.turns.MoveToBack(l.turn)
			}
		}
		e = after
	}
	return in
}

func (g *gate) remove(l *line, s *session) {
	l.waiting.Remove(s.place)
	s.place = nil
	g.waiting--
	if l.waiting.Len() == 0 {
		g.turns.Remove(l.turn)
		l.turn = nil
	}
}

// tidy forgets a namespace that has none.
func (g *gate) tidy(l *line) {
	if l.running == 0 && l.waiting.Len() == 0 {
		delete(g.lines, l.ns)
	}
}

// count is the number of handshakes under way and of those that wait.
func (g *gate) count() (running, waiting int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.running, g.waiting
}
