// Package handlertest runs a handler on a real event loop without sockets, namespaces,
// threads or root, one step at a time and the same each time: a unit test of a protocol.
//
//	lp := handlertest.New(t, pop3.Handler{})
//	c := lp.Connect()                      // OnOpen has run
//	c.Expect("+OK ready\r\n")
//	c.SendPieces("QUIT\r\n", 1, 3)         // in three reads: "Q", "UIT", "\r\n"
//	c.Expect("+OK bye\r\n")
//	c.ExpectEnd(nil)
//
// Only what is outside of the program is simulated: the loop, its connections, buffers,
// water marks and timers are package engine's own. Each call runs the loop until it is at
// rest, so there is nothing to wait for.
//
// # The network
//
// A client ([Loop.Connect]) sends in any pieces ([Conn.Send], [Conn.SendPieces]), takes as
// much as its window allows ([Conn.Window]), and ends as clients do ([Conn.CloseWrite],
// [Conn.Close], [Conn.Reset]). Errors of the network itself come from [Conn.FailRead] and
// [Conn.FailWrite]. There is nothing between the two: what is sent has arrived, and what the
// client doesn't take stays with the handler's connection. What several clients do within
// [Loop.Together] the loop finds in one batch.
//
// What the handler dials is accepted at once, or answered as [Loop.OnDial] says; [Loop.Dialed]
// has the other side of it, which is a [Conn] like a client's.
//
// # Time
//
// The loop's clock stands still but for [Loop.Advance], which fires timers, deadlines and
// timeouts at their time and in their order. A deadline that a handler computes from
// time.Now is as far away on the loop's clock as on the wall's.
//
// # Goroutines
//
// Work that is given to [engine.Conn.Go] is done when the loop has nothing else to do or,
// with [HoldWork], when [Loop.RunWork] says so. A handler that starts goroutines or timers
// of its own belongs into a bubble of testing/synctest: there the loop's clock is the
// bubble's, Advance sleeps, and the loop is at rest only when all goroutines are. Without a
// bubble, [Loop.Until] waits for what they post.
//
// # Namespaces
//
// [Namespaces] names those in which the handler is served; they exist in the engine only.
// The engine enters and leaves them as it would, and counts that in Stats, but the thread
// stays where it is: a handler that makes sockets of its own needs nstest.
//
// # What is checked
//
// A handler that panics fails the test, and so do callbacks out of order, an OnClose that does
// not come, or a timer or buffer that is left at the end. What a callback was shown is
// overwritten after it, with 0xDB, so that a handler that has kept it is found out. [Conform]
// goes further: it has a conversation with a handler again and again, under everything that
// may come between the two.
package handlertest
