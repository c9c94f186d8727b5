package docs

import (
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/handlers/handlertest"
	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

// upper is shout, and gives up on those that say nothing.
type upper struct{ shout }

func (upper) OnOpen(c *engine.Conn) { c.SetIdleTimeout(time.Minute) }

// snippet handlertest
func TestUpper(t *testing.T) {
	lp := handlertest.New(t, upper{})
	c := lp.Connect()          // OnOpen has run
	c.SendPieces("hello\n", 2) // in two reads: "he", "llo\n"
	c.Expect("HELLO\n")
	lp.Advance(time.Minute)
	c.ExpectEnd(engine.ErrIdle)
}

func TestUpperConforms(t *testing.T) {
	handlertest.Conform(t, func() engine.Handler { return upper{} }, handlertest.Script{
		Exchanges: []handlertest.Exchange{{Send: "hello\n", Want: "HELLO\n"}, {Send: "and\nmore\n", Want: "AND\nMORE\n"}},
		Except:    map[string]string{"garbage": "it has an answer to everything"},
	})
}

// end

// snippet two-tenants
func TestTwoTenants(t *testing.T) {
	lab := nstest.New(t)
	a, b := lab.MustAdd(t, "a"), lab.MustAdd(t, "b") // both have 10.77.0.1, each on a veth of its own
	eng, err := engine.New(engine.Config{CheckThread: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = eng.Shutdown(t.Context()) }()
	if err := eng.Handle("tcp", 7000, shout{}); err != nil {
		t.Fatal(err)
	}
	if err := eng.Watch(lab.Dir()); err != nil {
		t.Fatal(err)
	}
	for _, tenant := range []*nstest.Tenant{a, b} {
		conn, err := tenant.Dial(t.Context(), "tcp", 7000) // from the other end of its veth
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(conn, "hi")
		got := make([]byte, 2)
		if _, err := io.ReadFull(conn, got); err != nil || string(got) != "HI" {
			t.Errorf("%s: %q, %v", tenant.Name, got, err)
		}
		conn.Close()
	}
}

// end
