package iscsi

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/nsreactor/nsreactor/examples/iscsi-stub/initiator"
	"github.com/nsreactor/nsreactor/nsctx"
)

const (
	sector = 512
	small  = 4 << 10 // bytes of the I/Os of a client here
)

// dial connects from inside the i-th namespace.
func (b *bench) dial(i int) (nc net.Conn, err error) {
	ns, err := nsctx.ByFD(b.spaces.FD(i)).Open()
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	err = ns.Do(func() error {
		nc, err = net.DialTCP("tcp", nil, &net.TCPAddr{IP: net.ParseIP(address), Port: 3260})
		return err
	})
	return nc, err
}

// logIn is in when the target in the i-th namespace is there, and its disk is ready.
func (b *bench) logIn(ctx context.Context, i int) (*initiator.Session, error) {
	for deadline := time.Now().Add(patience); ; {
		s, err := b.tryLogIn(ctx, i)
		if err == nil || ctx.Err() != nil {
			return s, err
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("namespace %d: %w", i, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (b *bench) tryLogIn(ctx context.Context, i int) (*initiator.Session, error) {
	nc, err := b.dial(i)
	if err != nil {
		return nil, err
	}
	s, err := initiator.Open(ctx, nc, initiator.Config{Target: iqn})
	if err != nil {
		return nil, err
	}
	if err := s.Ready(ctx, initiator.LUN(1)); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// read reads 4 KiB at one of 4096 places, and says how long that took.
func read(ctx context.Context, s *initiator.Session, n int) (time.Duration, error) {
	const places = 4096
	start := time.Now()
	_, err := s.Do(ctx, initiator.Read(initiator.LUN(1), uint64(uint32(n)*2654435761%places)*small/sector, small, sector))
	return time.Since(start), err
}

// inParallel runs f for 0 to n-1, so many at a time.
func inParallel(n, width int, f func(i int) error) error {
	errs := make([]error, n)
	turns := make(chan struct{}, width)
	var all sync.WaitGroup
	for i := range n {
		turns <- struct{}{}
		all.Go(func() {
			errs[i] = f(i)
			<-turns
		})
	}
	all.Wait()
	return errors.Join(errs...)
}
