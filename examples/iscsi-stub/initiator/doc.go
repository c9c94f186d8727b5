// Package initiator is an iSCSI initiator (RFC 7143) over a net.Conn, for tests,
// for the demonstration, and for attacks.
//
// It has three layers, and a caller may stop at any of them:
//
//   - [Conn] sends and receives PDUs, or any bytes at all, and keeps no numbers.
//   - [Conn.Login] does the login phase with whatever keys it is given.
//   - [Session] has commands in flight on one or more connections. It answers
//     R2Ts and pings, asks for lost PDUs at error recovery level 1, and ends
//     with a [*ProtocolError] when the target breaks a rule, of numbers,
//     offsets, lengths or residuals: it is a test of the target that it talks to.
//
// The SCSI commands in scsi.go are what a program needs to find and use a disk.
//
//	s, err := initiator.Dial(ctx, "192.0.2.1:3260", initiator.Config{
//		Initiator: "iqn.2026-01.example:host", Target: "iqn.2026-01.example:disk",
//	})
//	…
//	defer s.Logout(ctx)
//	capacity, err := s.ReadCapacity(ctx, initiator.LUN(0))
package initiator
