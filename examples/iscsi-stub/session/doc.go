// Package session is an iSCSI target node (RFC 7143) on package engine: connections,
// sessions and tasks, between the PDUs of package pdu and the logical units of package
// scsi.
//
// A [Server] is one engine.Handler for all namespaces. A [Directory] says whose a namespace
// is, and what targets that tenant has; a connection never learns of another's.
//
// # What belongs to whom
//
// A connection and the tasks that came by it belong to the connection's loop, and need no
// lock. Connections of one session may live on different loops: what they share, the
// command window and the set of tasks, is behind the session's mutex, which is held for
// a few instructions and never while anything is called. One loop acts on a connection of
// another by engine.Conn.Call.
//
// # The way of a READ
//
// The framer delivers the header in the read buffer (handler.OnMessage). The window says that
// it is due (onRequest), a task is made and put among the others (deliverCommand), the command
// is checked (start), waits for its quality of service and runs (execute), and the volume
// is read into the connection's output, behind a header that is filled in afterwards (sendPiece).
// Nothing is allocated, nothing copied, and what many commands of one read answer
// leaves with one send(2). A volume that would have to wait for a disk gets a worker
// (offload), and the loop goes on.
//
// # The way of a WRITE
//
// Immediate data is written from the read buffer, if it is all there is. Otherwise the task
// gets a block of the tenant's budget, and waits in line if there is none left, before it asks
// for data (solicit): a peer holds only what it was granted. Data-Out PDUs are received
// into the block by the kernel, where they belong (place). dataOut checks that they are what
// was asked for.
//
// # What there is, and what not
//
// Error recovery level 0 is complete. Of level 1 there is: recovery R2Ts for Data-Out with
// a bad digest, and SNACKs for statuses, R2Ts and Data-In, which is read anew. Level 2,
// with its reassignment of tasks, is not there: TASK REASSIGN and a logout for recovery are
// refused, and a connection that is lost ends its session. Data-In is not asked to
// be acknowledged (the A bit), and R-Data SNACKs are rejected. Neither are there markers (obsolete), nor
// bidirectional commands, but the protocol for them is; TaskReporting is negotiated, and
// its FastAbort is answered as ResponseFence is: after the tasks are over.
package session
