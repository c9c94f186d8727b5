package main

// A profile is a kind of logical unit, and the tests that are for it.
type profile struct {
	name   string
	about  string
	tenant string // of tenants.yaml, and its namespace
	iqn    string
	both   bool // the tests know both portals
	chap   string
	args   string // of the URL
	tests  string // globs
	not    string
}

const (
	disk = "iqn.2026-01.com.example:disk"
	// what waits for seconds; a test of its own tenant each
	waiting = "SCSI.Reserve6.* SCSI.P* iSCSI.iSCSIcmdsn.*"
	// what has another profile
	special = "SCSI.Sanitize.* SCSI.MultipathIO.* SCSI.ReadOnly.* SCSI.NoMedia.* SCSI.StartStopUnit.* SCSI.PreventAllow.*"
	// what passes with large blocks and WSNZ only. UnmapSingle asks for the status of a block
	// and wants the answer to begin with the next physical one, which is the same if logical
	// blocks are as large. UnmapUntilEnd gives FFh as the data of a WRITE SAME with UNMAP, and
	// wants zeros back, where SBC-3 wants FFh; it is content with a refusal if WSNZ is 1.
	large = "SCSI.GetLBAStatus.UnmapSingle SCSI.WriteSame10.UnmapUntilEnd"
	// what moves data
	moving = "SCSI.Read16.Simple SCSI.Write10.* SCSI.Write16.Simple SCSI.WriteVerify16.Simple SCSI.CompareAndWrite.Simple SCSI.OrWrite.Simple SCSI.Verify10.Mismatch iSCSI.iSCSIResiduals.* iSCSI.iSCSIdatasn.*"
	// what depends on the size of blocks, and on whether there is room for them
	mapping = "SCSI.GetLBAStatus.* SCSI.Unmap.* SCSI.WriteSame1* SCSI.Inquiry.* SCSI.ReadCapacity1* SCSI.Mandatory.* SCSI.TestUnitReady.*"
)

// Each of the 230 tests is for one of the first profiles, whose results together are the
// conformance table. The others repeat some of them where they may differ.
var profiles = []profile{
	{name: "thin", about: "a thin file of 512-byte blocks", tenant: "thin", iqn: disk, tests: "SCSI.* iSCSI.*", not: waiting + " " + special + " " + large},
	{name: "thin, waiting", about: "the same, for tests that wait or reserve", tenant: "reservations", iqn: disk, tests: waiting, not: special},
	{name: "two portals", about: "the same, by IPv4 and by IPv6, a portal group each", tenant: "portals", iqn: disk, both: true, tests: "SCSI.MultipathIO.*"},
	{name: "read-only", about: "a file that may not be written", tenant: "read-only", iqn: disk, tests: "SCSI.ReadOnly.*"},
	{name: "slow", about: "a thin file of 64 MiB, kept to 8 MiB a second: SANITIZE is to last through resets", tenant: "slow", iqn: disk, tests: "SCSI.Sanitize.Reset"},
	{name: "encrypted", about: "an encrypted thin file of 64 MiB: SANITIZE can destroy its key", tenant: "encrypted", iqn: disk, tests: "SCSI.Sanitize.*", not: "SCSI.Sanitize.Reset"},
	{name: "removable", about: "a medium that can be ejected", tenant: "removable", iqn: disk, tests: "SCSI.NoMedia.* SCSI.StartStopUnit.* SCSI.PreventAllow.*"},
	{name: "large blocks", about: "blocks of 4096 bytes, and no WRITE SAME of 0 blocks", tenant: "large-blocks", iqn: disk, tests: large},

	{name: "thick", about: "a file with all its room from the start", tenant: "thick", iqn: disk, tests: mapping},
	{name: "4 KiB blocks", about: "memory in blocks of 4096 bytes", tenant: "blocks-4096", iqn: disk, tests: mapping + " " + moving, not: large},
	{name: "R2T, immediate", about: "InitialR2T=Yes, ImmediateData=Yes", tenant: "bursts", iqn: "iqn.2026-01.com.example:r2t-immediate", tests: moving},
	{name: "R2T", about: "InitialR2T=Yes, ImmediateData=No", tenant: "bursts", iqn: "iqn.2026-01.com.example:r2t", tests: moving},
	{name: "immediate", about: "InitialR2T=No, ImmediateData=Yes", tenant: "bursts", iqn: "iqn.2026-01.com.example:immediate", tests: moving},
	{
		name: "unsolicited", about: "InitialR2T=No, ImmediateData=No; header digests, and CHAP both ways", tenant: "bursts",
		iqn: "iqn.2026-01.com.example:unsolicited", chap: "tester%testers-own-secret",
		args: "?target_user=target&target_password=targets-own-secret&header_digest=crc32c", tests: moving,
	},
}

// standard is how many of the profiles make the conformance table.
const standard = 8
