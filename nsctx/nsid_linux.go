package nsctx

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// nsidEvents waits for the kernel to say that a namespace which has a number at
// home is gone. The kernel gives the number again at once, so only the message
// counts, and one lost means that nothing is known any more.
type nsidEvents struct {
	nsid    int
	socket  *nl.NetlinkSocket
	goneCh  chan struct{} // closed when the message has come
	lostCh  chan struct{} // closed when it may have been lost
	stopped chan struct{} // closed when the reader has ended
}

// atHome runs f on a thread at home, wherever the caller's is.
func atHome(f func() error) error {
	home, err := homeNamespace()
	if err != nil {
		return err
	}
	return home.Do(f)
}

// homeNSID returns the number at home of the namespace open at fd, or -1.
func homeNSID(fd int) (nsid int, err error) {
	err = atHome(func() error {
		return withRoute(func(h *netlink.Handle) error {
			nsid, err = h.GetNetNsIdByFd(fd)
			return err
		})
	})
	return nsid, err
}

// withRoute needs the calling thread at home.
func withRoute(f func(*netlink.Handle) error) error {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer h.Close()
	return f(h)
}

// trackNSID gives the namespace a number if it has none, and listens for its end.
func trackNSID(fd int) (*nsidEvents, int, error) {
	var nsid int
	err := atHome(func() error {
		return withRoute(func(h *netlink.Handle) (err error) {
			nsid, err = nsidOf(h, fd)
			return err
		})
	})
	if err != nil {
		return nil, -1, err
	}
	// fd keeps the namespace from going before someone listens.
	events, err := listenNSID(nsid)
	return events, nsid, err
}

func nsidOf(h *netlink.Handle, fd int) (int, error) {
	const anyNumber = -1
	nsid, err := h.GetNetNsIdByFd(fd)
	if err != nil || nsid >= 0 {
		return nsid, err
	}
	if err := h.SetNetNsIdByFd(fd, anyNumber); err != nil && !errors.Is(err, unix.EEXIST) {
		return -1, fmt.Errorf("RTM_NEWNSID: %w", err)
	}
	nsid, err = h.GetNetNsIdByFd(fd)
	if err == nil && nsid < 0 {
		err = ErrUntracked
	}
	return nsid, err
}

func listenNSID(nsid int) (*nsidEvents, error) {
	e := &nsidEvents{
		nsid: nsid, goneCh: make(chan struct{}), lostCh: make(chan struct{}), stopped: make(chan struct{}),
	}
	err := atHome(func() (err error) {
		e.socket, err = nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_NSID)
		return err
	})
	if err != nil {
		return nil, err
	}
	go e.read()
	return e, nil
}

func (e *nsidEvents) read() {
	defer close(e.stopped)
	for {
		messages, _, err := e.socket.Receive()
		if err != nil { // ENOBUFS: messages were dropped; or close was called
			close(e.lostCh)
			return
		}
		for _, m := range messages {
			if m.Header.Type == unix.RTM_DELNSID && messageNSID(m) == e.nsid {
				close(e.goneCh)
				return
			}
		}
	}
}

func messageNSID(m syscall.NetlinkMessage) int {
	header := nl.NewRtGenMsg().Len()
	if len(m.Data) < header {
		return -1
	}
	attrs, err := nl.ParseRouteAttr(m.Data[header:])
	if err != nil {
		return -1
	}
	for _, a := range attrs {
		if a.Attr.Type == netlink.NETNSA_NSID && len(a.Value) >= 4 {
			return int(int32(nl.NativeEndian().Uint32(a.Value)))
		}
	}
	return -1
}

func (e *nsidEvents) gone() (bool, error) {
	select {
	case <-e.goneCh:
		return true, nil
	default:
	}
	select {
	case <-e.lostCh:
		return false, fmt.Errorf("%w: netlink messages were lost", ErrUntracked)
	default:
		return false, nil
	}
}

// deleted never yields on a nil receiver.
func (e *nsidEvents) deleted() <-chan struct{} {
	if e == nil {
		return nil
	}
	return e.goneCh
}

func (e *nsidEvents) close() {
	e.socket.Close()
	<-e.stopped
}
