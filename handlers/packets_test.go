package handlers_test

import (
	"bytes"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/handlers"
	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

// servePackets is serve for a handler of packets.
func servePackets(t *testing.T, cfg engine.Config, h engine.PacketHandler) rig {
	t.Helper()
	lab := nstest.New(t)
	r := rig{tenant: lab.MustAdd(t, "a")}
	cfg.CheckThread = true
	cfg.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	eng, err := engine.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r.eng = eng
	t.Cleanup(func() { r.shutdown(t) })
	if err := eng.HandlePackets("udp", 7, h, engine.AnyNamespace); err != nil {
		t.Fatal(err)
	}
	if err := eng.Watch(lab.Dir()); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r rig) dialPackets(t *testing.T, network string) net.Conn {
	t.Helper()
	conn, err := r.tenant.Dial(t.Context(), network, 7)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return conn
}

func exchangePacket(t *testing.T, conn net.Conn, sent []byte) {
	t.Helper()
	if _, err := conn.Write(sent); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 1<<16)
	n, err := conn.Read(got)
	if err != nil || !bytes.Equal(got[:n], sent) {
		t.Errorf("%d bytes came back of %d, or others; err %v", n, len(sent), err)
	}
}

func TestPacketEcho(t *testing.T) {
	r := servePackets(t, engine.Config{PacketMax: 2000}, handlers.PacketEcho{})
	for _, network := range []string{"udp4", "udp6"} {
		conn := r.dialPackets(t, network)
		if _, err := conn.Write(noise(2001)); err != nil {
			t.Fatal(err)
		}
		for _, size := range []int{0, 1, 2000} {
			exchangePacket(t, conn, noise(size))
		}
	}
	if n := r.stats(t).Packets; n.In != 8 || n.Truncated != 2 {
		t.Errorf("counted %+v", n)
	}
}

func TestPacketDiscard(t *testing.T) {
	r := servePackets(t, engine.Config{}, handlers.PacketDiscard{})
	conn := r.dialPackets(t, "udp4")
	if _, err := conn.Write(noise(100)); err != nil {
		t.Fatal(err)
	}
	for r.stats(t).Packets.In == 0 {
		time.Sleep(time.Millisecond)
	}
	if n := r.stats(t).Packets; n.Out != 0 {
		t.Errorf("counted %+v", n)
	}
}
