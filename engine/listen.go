package engine

import (
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// sockets are a port's listening sockets, made and not yet handed out.
type sockets struct {
	port *port
	fds  []int // one for each loop, or only one
	v4   bool  // packet sockets without IPv6
}

func closeAll(all []*sockets) {
	for _, s := range all {
		for _, fd := range s.fds {
			closeSocket(fd)
		}
	}
}

func (ct *control) addPort(ns *Namespace, svc *service) *port {
	p := &port{svc: svc}
	for _, cell := range ns.cells {
		p.eps = append(p.eps, &endpoint{svc: svc, cell: cell, handler: svc.handler, anywhere: svc.anywhere, port: p})
	}
	ns.mu.Lock()
	ns.ports = append(ns.ports, p)
	ns.mu.Unlock()
	return p
}

// open makes a port's listening sockets inside the namespace.
func (ct *control) open(ns *Namespace, p *port) (*sockets, error) {
	fail := func(err error) error {
		return &Error{
			Op: "listen", Namespace: ns.Name(),
			Addr: netip.AddrPortFrom(netip.IPv6Unspecified(), uint16(p.svc.port)), Err: describeDescriptors(err),
		}
	}
	if err := ct.thread.Enter(ns.nsc); err != nil {
		return nil, fail(fmt.Errorf("%w: %w", ErrSwitch, err))
	}
	cfg := ct.eng.cfg
	spec := listenSpec{network: p.svc.network, port: p.svc.port, backlog: cfg.Backlog, keepAlive: cfg.KeepAlive, timeout: cfg.UserTimeout}
	s := &sockets{port: p}
	if cfg.Accept == AcceptSteered && len(ct.eng.loops) > 1 {
		err := ct.openGroup(s, spec)
		if err == nil || !noGroup(err) {
			return s, wrapIf(err, fail)
		}
		ct.eng.log.Warn("no reuseport group to be had; one listener for all loops", "netns", ns.Name(), "port", p.svc.port, "err", err)
	}
	fd, bound, err := s.make(spec)
	if err != nil {
		return nil, fail(err)
	}
	s.fds = []int{fd}
	ns.setBound(p, bound, 1)
	return s, nil
}

// make makes one of the sockets.
func (s *sockets) make(spec listenSpec) (fd, port int, err error) {
	if spec.network != "udp" {
		return listenTCP(spec)
	}
	u, err := listenUDP(spec)
	s.v4 = u.v4
	return u.fd, u.port, err
}

func wrapIf(err error, wrap func(error) error) error {
	if err == nil {
		return nil
	}
	return wrap(err)
}

// openGroup makes one socket for each loop, in the loops' order, which the
// steering program goes by.
func (ct *control) openGroup(s *sockets, spec listenSpec) error {
	spec.share = true
	cpus := make([]int, 0, len(ct.eng.loops))
	for i, l := range ct.eng.loops {
		fd, bound, err := s.make(spec)
		if err == nil {
			s.fds = append(s.fds, fd)
			cpus = append(cpus, l.cpu)
			spec.port = bound
		}
		if err == nil && i == len(ct.eng.loops)-1 {
			err = steerByCPU(s.fds[0], cpus)
		}
		if err != nil {
			closeAll([]*sockets{s})
			s.fds = nil
			return err
		}
	}
	s.port.eps[0].cell.ns.setBound(s.port, spec.port, len(s.fds))
	return nil
}

func (ct *control) handOutAll(all []*sockets) {
	for _, s := range all {
		ct.handOut(s)
	}
}

// handOut gives the sockets to the loops.
func (ct *control) handOut(s *sockets) {
	loops := ct.eng.loops
	if len(s.fds) == 1 {
		ct.turn++
		i := ct.turn % len(loops)
		ct.give(loops[i], s, s.fds[0], len(loops) > 1)
		return
	}
	for i, fd := range s.fds {
		ct.give(loops[i], s, fd, false)
	}
}

func (ct *control) give(l *loop, s *sockets, fd int, spread bool) {
	ep, bound := s.port.eps[l.index], s.port.bound
	run := func(l *loop) { l.listen(ep, fd, spread) }
	if h := ep.svc.packets; h != nil {
		run = func(l *loop) { l.adoptPackets(ep, h, packetSocket{fd, bound, s.v4}) }
	}
	if !l.post(task{kind: taskLoop, run: run}) {
		ct.eng.closeListener(ep.svc, fd)
	}
}

// serve opens a port of a namespace that is attached, now or later.
func (ct *control) serve(ns *Namespace, p *port) {
	s, err := ct.open(ns, p)
	if err != nil {
		ct.listenFailed(ns, p, err)
		return
	}
	if p.retry > 0 {
		ct.eng.log.Info("port is served at last", "netns", ns.Name(), "port", p.svc.port)
		p.retry = 0
	}
	ct.handOut(s)
}

// How long after a failure a port is tried again: doubled each time.
const (
	minListenRetry = 100 * time.Millisecond
	maxListenRetry = 30 * time.Second
)

// listenFailed counts, logs once, and tries again later.
func (ct *control) listenFailed(ns *Namespace, p *port, err error) {
	ns.listenErrors.Add(1)
	if p.retry == 0 {
		ct.eng.log.Warn("port can't be served; trying again", "netns", ns.Name(), "port", p.svc.port, "err", err)
	}
	ns.setPortError(p, err)
	p.retry = min(max(2*p.retry, minListenRetry), maxListenRetry)
	time.AfterFunc(p.retry, func() {
		ct.post(func(ct *control) {
			if ct.byID[ns.id] == ns && slices.Contains(ct.services, p.svc) {
				ct.serve(ns, p)
			}
		})
	})
}

func (ns *Namespace) setBound(p *port, bound, sockets int) {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	p.bound, p.sockets, p.err = bound, sockets, nil
}

func (ns *Namespace) setPortError(p *port, err error) {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	p.err, p.sockets = err, 0
}
