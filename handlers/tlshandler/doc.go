// Package tlshandler serves a handler behind TLS: what the handler reads and
// writes is the plain text, and all else is as without TLS.
//
//	store, err := tlshandler.NewStore(
//		tlshandler.Site{Namespaces: "tenant-a", CertFile: "a.pem", KeyFile: "a.key"},
//		tlshandler.Site{Namespaces: "tenant-*", CertFile: "all.pem", KeyFile: "all.key", ClientCAFile: "clients.pem"},
//	)
//	…
//	err = eng.Handle("tcp", 443, tlshandler.New(inner, tlshandler.Config{GetConfig: store.GetConfig}))
//
// # How it works
//
// The protocol is crypto/tls's, all of it: the one implementation in Go that is
// maintained with the language. The kernel's (tls(7)) needs the traffic keys, which
// crypto/tls does not give away, and is missing from many kernels.
//
// A handshake, which computes for long and needs the peer's answers, runs on a
// goroutine of its own, from the moment that the client's first message is
// complete until it is done, and no more of them at a time than Config says. After
// it the tls.Conn is used on the connection's loop, over a net.Conn that never
// blocks: where nothing more has arrived its Read fails with a temporary error, which
// crypto/tls lets pass without losing a byte. An established connection has no
// goroutine, and between records no buffers but those inside of its tls.Conn.
//
// # Ends
//
// Close and CloseWrite send close_notify before the end of file, and the peer's
// close_notify is OnReadEOF. An end of file without one may be an attacker's: it
// ends the connection with an [io.ErrUnexpectedEOF]. Where TLS has an alert for what is wrong
// the peer gets it, then an end of file; OnClose gets the error.
//
// # Clients
//
// Connections that are dialed with a [Client] are TLS's from their first byte:
//
//	secure := tlshandler.Client(inner, &tls.Config{ServerName: "backend"}, tlshandler.Config{})
//	backend, err := c.Dial("tcp", "192.0.2.1:443", secure)
//
// # Tenants
//
// Each namespace has session ticket keys of its own, also where several share a
// tls.Config: a session of one tenant is not resumed at another.
package tlshandler
