package handlers_test

import (
	"testing"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/handlers"
	"github.com/nsreactor/nsreactor/handlers/handlertest"
)

func TestEchoConforms(t *testing.T) {
	big := string(noise(10 << 10)) // above the size from which a Write is sent at once
	handlertest.Conform(t, func() engine.Handler { return handlers.Echo{} }, handlertest.Script{
		Exchanges: []handlertest.Exchange{{Send: "hello", Want: "hello"}, {Send: "\x00", Want: "\x00"}, {Send: big, Want: big}},
		Except:    map[string]string{"garbage": "there is none for an echo"},
	})
}

func TestDiscardConforms(t *testing.T) {
	handlertest.Conform(t, func() engine.Handler { return handlers.Discard{} }, handlertest.Script{
		Exchanges: []handlertest.Exchange{{Send: "hello"}, {Send: "there"}},
	})
}

// A proxy's replies are its backend's.
func TestProxyConforms(t *testing.T) {
	big := string(noise(10 << 10))
	handlertest.Conform(t, func() engine.Handler { return handlers.Proxy{Address: "192.0.2.1:80"} }, handlertest.Script{
		Exchanges: []handlertest.Exchange{{Send: "hello", Want: "hello"}, {Send: "\x00", Want: "\x00"}, {Send: big, Want: big}},
		Options:   []handlertest.Option{handlertest.Backend(func(b []byte) []byte { return b })},
		Except: map[string]string{
			"garbage": "there is none for a proxy",
			"drain":   "it can't tell an idle stream from a whole one, and leaves it its time",
		},
	})
}
