package main

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/nsreactor/nsreactor/engine"
)

// maxAsked is how many queries of one socket, which is one tenant's, may wait for their
// answer. What is above it is told so, and nobody else notices.
const maxAsked = 1024

// forwarder serves the port in every namespace. A tenant's socket has an asker as its
// context from its first query on.
type forwarder struct {
	engine.BasePacketHandler
	home     *engine.Namespace
	upstream netip.AddrPort
	timeout  time.Duration
}

// OnPacket passes a query on. What is none gets no answer, or two forwarders might have an
// endless conversation.
func (f *forwarder) OnPacket(p *engine.Packet) {
	question, ok := questionOf(p.Data)
	if !ok || p.Truncated || isAnswer(p.Data) {
		return
	}
	q := query{path: p.Path, id: binary.BigEndian.Uint16(p.Data), flags: p.Data[2], question: bytes.Clone(question)}
	a, err := f.askerFor(p.Conn())
	if err == nil {
		err = a.ask(q, p.Data)
	}
	if err != nil {
		q.fail(p.Conn())
	}
}

// askerFor makes a socket's asker if it has none yet.
func (f *forwarder) askerFor(tenant *engine.PacketConn) (*asker, error) {
	if a, ok := tenant.Context().(*asker); ok {
		return a, nil
	}
	a := &asker{of: f, tenant: tenant, asked: make(map[uint16]query)}
	var err error
	if a.home, err = tenant.OpenPacket(f.home, 0, a, engine.AnyNamespace); err != nil {
		return nil, err
	}
	tenant.SetContext(a)
	return a, nil
}

// OnClose closes the other socket too.
func (f *forwarder) OnClose(tenant *engine.PacketConn, _ error) {
	if a, ok := tenant.Context().(*asker); ok {
		a.home.Close()
	}
}

// asker asks the upstream for one of a tenant's sockets, from a socket in home. Both are
// on one loop, so that nothing here needs a lock.
type asker struct {
	engine.BasePacketHandler
	of           *forwarder
	tenant, home *engine.PacketConn
	asked        map[uint16]query // by the id that the upstream was told
}

// query is what is known of a query until its answer comes.
type query struct {
	path     engine.PacketPath // who asked, and which address
	id       uint16
	flags    byte
	question []byte
	deadline time.Time
}

// ask sends a query on under an id that nobody can guess, so that nobody can answer it but
// the upstream.
func (a *asker) ask(q query, message []byte) error {
	if len(a.asked) >= maxAsked {
		return engine.ErrBusy
	}
	id := uint16(rand.Uint32())
	for a.asked[id].question != nil {
		id++
	}
	binary.BigEndian.PutUint16(message, id)
	if err := a.home.Send(engine.PacketPath{Remote: a.of.upstream}, message); err != nil {
		return err
	}
	if len(a.asked) == 0 {
		a.home.SetTimer(a.of.timeout / 4)
	}
	q.deadline = time.Now().Add(a.of.timeout)
	a.asked[id] = q
	return nil
}

// OnPacket brings an answer back to who asked, from the address that was asked. Whatever
// is not the upstream's answer to a question that waits is no answer.
func (a *asker) OnPacket(p *engine.Packet) {
	question, ok := questionOf(p.Data)
	if !ok || p.Truncated || !isAnswer(p.Data) || !sameServer(p.Path.Remote, a.of.upstream) {
		return
	}
	id := binary.BigEndian.Uint16(p.Data)
	q := a.asked[id]
	if !bytes.EqualFold(q.question, question) {
		return
	}
	delete(a.asked, id)
	binary.BigEndian.PutUint16(p.Data, q.id)
	_ = a.tenant.Send(q.path, p.Data) // what can't be sent is lost, as on the way, and counted
}

// OnTimer tells those who have waited for too long.
func (a *asker) OnTimer(home *engine.PacketConn) {
	now := time.Now()
	for id, q := range a.asked {
		if now.After(q.deadline) {
			delete(a.asked, id)
			q.fail(a.tenant)
		}
	}
	if len(a.asked) > 0 {
		home.SetTimer(a.of.timeout / 4)
	}
}

// sameServer leaves the zone out, which one may know by name and the other by number.
func sameServer(a, b netip.AddrPort) bool {
	return a.Port() == b.Port() && a.Addr().WithZone("") == b.Addr().WithZone("")
}
