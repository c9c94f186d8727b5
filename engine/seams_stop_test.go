package engine

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nsreactor/nsreactor/nsctx"
)

// Whatever is asked of an engine while it stops, and while home comes and goes, is done or
// refused with an error: each dial that was taken has its OnClose, each socket that was
// opened too, no unix socket's file stays and (see TestMain) no descriptor.
func TestStopMeetsEveryCall(t *testing.T) {
	for round := range 8 {
		dir := t.TempDir()
		eng, err := New(Config{Loops: 2, DrainTimeout: 20 * time.Millisecond, Logger: slog.New(slog.DiscardHandler)})
		unitMust(t, err)
		var dialed, ended, opened, closed atomic.Int64
		unitMust(t, eng.Handle("tcp", 0, hooks{data: echo}))
		unitMust(t, eng.HandlePackets("udp", 0, packetHooks{packet: packetEcho}))
		client := hooks{
			open:   func(c *Conn) { c.AfterFunc(time.Millisecond, (*Conn).Close) },
			closed: func(*Conn, error) { ended.Add(1) },
		}
		packet := packetHooks{
			open:   func(c *PacketConn) { opened.Add(1); c.SetTimer(time.Millisecond) },
			timer:  (*PacketConn).Close,
			closed: func(*PacketConn, error) { closed.Add(1) },
		}
		n := 0
		path := func() string { n++; return filepath.Join(dir, strconv.Itoa(n%4)) }
		calls := []func(*Namespace) error{
			func(*Namespace) error { return eng.HandleUnix(path(), hooks{data: echo}) },
			func(*Namespace) error { _, err := eng.Attach(nsctx.Home()); return err },
			func(home *Namespace) error {
				now, cancel := context.WithTimeout(t.Context(), time.Millisecond)
				defer cancel()
				return eng.Detach(now, home)
			},
			func(home *Namespace) error {
				_, err := eng.Dial(home, "unix", filepath.Join(dir, "0"), client, DialTimeout(5*time.Millisecond))
				if err == nil {
					dialed.Add(1)
				}
				return err
			},
			func(home *Namespace) error {
				_, err := eng.Dial(home, "tcp", "localhost:"+strconv.Itoa(max(home.Port("tcp", 0), 9)), client)
				if err == nil {
					dialed.Add(1)
				}
				return err
			},
			func(home *Namespace) error { _, err := eng.OpenPacket(home, 0, packet); return err },
			func(*Namespace) error {
				l, err := eng.Listener(0)
				if err == nil {
					_ = l.Close() // which the engine's end may have done
				}
				return err
			},
		}
		var callers sync.WaitGroup
		for _, call := range calls {
			callers.Go(func() {
				for {
					home, err := eng.Home()
					if err == nil {
						_ = call(home)
						continue
					}
					if !errors.Is(err, ErrStopped) {
						t.Error(err)
					}
					return
				}
			})
		}
		time.Sleep(time.Duration(1+5*round) * time.Millisecond)
		if err := eng.Shutdown(t.Context()); err != nil && !errors.Is(err, ErrDrained) {
			t.Error(err)
		}
		callers.Wait()
		if dialed.Load() != ended.Load() || opened.Load() != closed.Load() {
			t.Errorf("%d dialed, %d ended; %d packet sockets opened, %d closed", dialed.Load(), ended.Load(), opened.Load(), closed.Load())
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("socket files stay: %v, %v", left, err)
		}
	}
}
