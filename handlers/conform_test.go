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
