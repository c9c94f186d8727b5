// Package scsi is the SCSI half of an iSCSI target: a target device (SAM-5) with its
// logical units, which are direct-access block devices (SPC-4, SBC-3) over volumes. It
// knows no sockets, and speaks of what a transport hands it: an I_T [Nexus] and the
// [Command] it delivers.
//
// Its heart is the table of commands: a family of commands is one small file, in which
// each command has a row that says what its CDB looks like, what it asks of the logical
// unit, and which functions check and do it. [Nexus.Start] walks that row in the order of
// SAM-5 and SPC-4, the same for every command; table.go lists the families.
//
// A command's life, as the transport leads it:
//
//	next := nexus.Start(&c)             // checked; nothing blocks, nothing is done yet
//	if next == scsi.NeedData { … }      // fetch c.OutLen bytes into c.Out
//	wait := c.Admit(time.Now())         // ask again then; 0: now
//	if !c.Run(scsi.DontWait) { … }      // or on a worker, c.Run(scsi.MayWait)
//	c.ReadIn(p, pos, scsi.DontWait)     // c.InLen bytes of data-in, in pieces, in any order
//	… send c.Status, c.Sense …
//	c.End()
package scsi
