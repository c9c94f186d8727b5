package attack

import (
	"bytes"
	"errors"
	"net"
	"os"
	"testing"

	"github.com/nsreactor/nsreactor/examples/iscsi-stub/initiator"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/pdu"
)

// Several connections have one order of commands, and each command its own
// connection (section 4.2.5.1).
func TestCommandsOverSeveralConnections(t *testing.T) {
	r := newRig(t)
	s := r.open(r.red, initiator.Config{Target: disk, Keys: []string{"MaxConnections=3"}})
	defer s.Close()
	for cid := range uint16(2) {
		if err := s.Join(r.ctx, r.dial(r.red), cid+1); err != nil {
			t.Fatal(err)
		}
	}
	var tasks []*initiator.Task
	for i := range 60 {
		c := initiator.Write(initiator.LUN(0), uint64(i), bytes.Repeat([]byte{byte(i)}, block), block)
		c.On, c.Connection = true, uint16(i%3)
		task, err := s.Start(r.ctx, c)
		if err != nil {
			t.Fatal(err)
		}
		tasks = append(tasks, task)
	}
	for i, task := range tasks {
		if _, err := task.Wait(r.ctx); err != nil {
			t.Fatalf("write %d: %v", i, err)
		}
	}
	got, err := s.Do(r.ctx, initiator.Read(initiator.LUN(0), 0, 60*block, block))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 60 {
		if got.In[i*block] != byte(i) {
			t.Errorf("block %d is %d", i, got.In[i*block])
		}
	}
	if result, err := s.LogoutConnection(r.ctx, 2); err != nil || result != pdu.LoggedOut {
		t.Errorf("logout of one connection: %v, %v", result, err)
	}
	if err := s.TestUnitReady(r.ctx, initiator.LUN(0)); err != nil {
		t.Error(err)
	}
	r.unharmed()
}

// A login with the name of a session that exists ends that one (section 6.3.5).
func TestReinstatement(t *testing.T) {
	r := newRig(t)
	cfg := initiator.Config{Target: disk, ISID: [6]byte{0x80, 1, 2, 3, 4, 5}}
	old := r.open(r.red, cfg)
	defer old.Close()
	s := r.open(r.red, cfg)
	defer s.Close()
	if _, err := old.Do(r.ctx, initiator.Read(initiator.LUN(0), 0, block, block)); err == nil {
		t.Error("the old session goes on")
	}
	if err := s.TestUnitReady(r.ctx, initiator.LUN(0)); err != nil {
		t.Error(err)
	}
	_, err := initiator.Open(r.ctx, r.dial(r.red), initiator.Config{Target: disk, TSIH: 0x7777, CID: 1})
	var e *initiator.LoginError
	if !errors.As(err, &e) || e.Status != pdu.SessionDoesNotExist {
		t.Errorf("joining a session that is not there: %v", err)
	}
	r.unharmed()
}

// A flood of connections gets as far as the tenant's limit, and no farther, however long it
// goes on.
func TestFlood(t *testing.T) {
	const connections, open = 10_000, 256
	r := newRig(t)
	var flood [open]net.Conn
	for i := range connections {
		if old := flood[i%open]; old != nil {
			_ = old.Close()
		}
		flood[i%open] = r.dial(r.red)
		if i%(connections/10) == 0 {
			r.unharmed()
		}
	}
	r.unharmed()
	closed := make(chan struct{}, open)
	for _, c := range flood {
		defer c.Close()
		go func() {
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
				closed <- struct{}{}
			}
		}()
	}
	for range open - loggingIn {
		select {
		case <-closed:
		case <-r.ctx.Done():
			t.Fatal("more connections are open than may log in")
		}
	}
	r.unharmed()
}
