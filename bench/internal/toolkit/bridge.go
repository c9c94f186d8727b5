package toolkit

import "github.com/nsreactor/nsreactor/bench/internal/trial"

// bridge is net/http: a listener of package net in each namespace, or one of the
// engine over all.
var bridge = part{
	name: "bridge", title: "net/http, keep-alive, a GET a message",
	servers: []trial.Server{
		{Name: "net/http", Program: "nethttp", Floor: "net/http"},
		{Name: "net/http on Engine.Listener", Program: "nethttp", Args: []string{"-bridge"}, Floor: "net/http"},
	},
	cells: []trial.Cell{
		{Shape: trial.Shape{Namespaces: 64, Conns: 4}, Size: 64, Depth: 1, Kind: trial.HTTP},
		{Shape: trial.Shape{Namespaces: 512, Conns: 1}, Size: 64, Depth: 1, Kind: trial.HTTP},
		{Shape: trial.Shape{Namespaces: 64, Conns: 4}, Size: 16 << 10, Depth: 1, Kind: trial.HTTP},
	},
	target: target{what: "net/http on Engine.Listener within 5 % of net/http on listeners of package net", cpu: 1.05, rate: 0.95},
}

// bridgeAccept is what a connection costs that does little: the bridge's worst case,
// since it accepts on one thread and serves on another.
var bridgeAccept = part{
	name: "bridge-accept", title: "A connection a message: connect, 64 bytes there and back, reset",
	servers: []trial.Server{
		{Name: "gonet", Program: "gonet", Floor: "gonet"},
		{Name: "gonet on Engine.Listener", Program: "gonet", Args: []string{"-bridge"}, Floor: "gonet"},
	},
	cells: []trial.Cell{
		{Shape: trial.Shape{Namespaces: 64, Conns: 1}, Size: 64, Depth: 1, Kind: trial.Connect},
	},
}
