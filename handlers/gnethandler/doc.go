// Package gnethandler serves an unmodified gnet.EventHandler
// (github.com/panjf2000/gnet/v2) on a port in every namespace.
//
//	h, err := gnethandler.New(events, gnethandler.Config{Shutdown: cancel})
//	…
//	defer h.Close()
//	err = eng.Handle("tcp", 7000, h)
//	err = eng.HandlePackets("udp", 7000, h.Packets())
//	…
//	err = eng.Run(ctx)
//
// The handler sees a [gnet.Conn] with all its methods. docs/migrating-from-gnet.md
// says of each of them what holds here and what cannot; the tests run the same
// handlers on gnet and here, and compare.
//
// It is the only package of the module that imports gnet's root package, which
// starts goroutines, reads environment variables and releases the default pool
// of github.com/panjf2000/ants when a program that links it starts.
package gnethandler
