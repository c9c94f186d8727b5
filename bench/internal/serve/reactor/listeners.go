package reactor

import (
	"net"

	"github.com/nsreactor/nsreactor/bench/internal/serve"
	"github.com/nsreactor/nsreactor/engine"
)

// Listeners are one of package net in each namespace or, with bridge, one of an engine
// over all.
func Listeners(bridge bool, options *serve.Options) ([]net.Listener, error) {
	if bridge {
		listener, err := bridged(options)
		return []net.Listener{listener}, err
	}
	var all []net.Listener
	for _, path := range options.Namespaces {
		listener, err := serve.Listen(path, options.Port)
		if err != nil {
			return nil, err
		}
		all = append(all, listener)
	}
	return all, nil
}

func bridged(options *serve.Options) (net.Listener, error) {
	config := Config(1)
	config.KeepMaxProcs = true // the loop only accepts
	eng, err := engine.New(config)
	if err != nil {
		return nil, err
	}
	listener, err := eng.Listener(options.Port)
	if err != nil {
		return nil, err
	}
	for _, path := range options.Namespaces {
		if err := Attach(eng, path); err != nil {
			return nil, err
		}
	}
	return listener, nil
}
