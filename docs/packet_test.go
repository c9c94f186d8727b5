package docs

import (
	"bytes"
	"io"
	"testing"
	"time"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/handlers"
	"github.com/nsreactor/nsreactor/nsctx"
)

// snippet packets
type shoutPackets struct{ engine.BasePacketHandler }

func (shoutPackets) OnPacket(p *engine.Packet) {
	_ = p.Reply(bytes.ToUpper(p.Data)) // from the address that was asked; what can't be sent is counted
}

// end

func TestPackets(t *testing.T) {
	eng, lab := start(t)
	// snippet handle-packets
	err := eng.HandlePackets("udp", 7000, shoutPackets{})
	// end
	must(t, err)
	must(t, eng.Watch(lab.Dir()))
	for _, tenant := range lab.tenants {
		conn, err := tenant.Dial(t.Context(), "udp", 7000)
		must(t, err)
		must(t, conn.SetDeadline(time.Now().Add(patience)))
		_, err = conn.Write([]byte("hi"))
		must(t, err)
		got := make([]byte, 10)
		if n, err := conn.Read(got); string(got[:n]) != "HI" || err != nil {
			t.Errorf("%s: %q, %v", tenant.Name, got[:n], err)
		}
		must(t, conn.Close())
	}
}

func TestProxy(t *testing.T) {
	eng, lab := start(t)
	ln, err := lab.tenants["tenant-b"].Listen(t.Context(), "tcp", 8080)
	must(t, err)
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, "of b")
			_ = conn.Close()
		}
	}()
	backend, err := eng.Attach(nsctx.ByPath(lab.tenants["tenant-b"].Path))
	must(t, err)
	address := "127.0.0.1:8080"
	// snippet proxy
	err = eng.Handle("tcp", 7000, handlers.Proxy{Address: address, In: backend}, engine.AnyNamespace)
	// end
	must(t, err)
	must(t, eng.Watch(lab.Dir()))
	conn := dial(t, lab, "tenant-a")
	if got, err := io.ReadAll(conn); string(got) != "of b" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}
