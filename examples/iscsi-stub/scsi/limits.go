package scsi

import "github.com/nsreactor/nsreactor/examples/iscsi-stub/volume"

// limits is what VPD page B0h says, and what commands are held to; in logical blocks.
type limits struct {
	transfer    uint64 // MAXIMUM TRANSFER LENGTH
	optimal     uint64 // OPTIMAL TRANSFER LENGTH
	compare     uint64 // MAXIMUM COMPARE AND WRITE LENGTH
	writeSame   uint64 // MAXIMUM WRITE SAME LENGTH
	unmap       uint64 // MAXIMUM UNMAP LBA COUNT
	ranges      uint64 // MAXIMUM UNMAP BLOCK DESCRIPTOR COUNT
	atomic      uint64 // MAXIMUM ATOMIC TRANSFER LENGTH
	granularity uint64 // OPTIMAL UNMAP GRANULARITY
}

// The limits in bytes. Nothing a volume does at a time takes long, so that a command can
// be aborted and its neighbours go on.
const (
	maxTransfer  = 8 << 20
	goodTransfer = 1 << 20
	maxWriteSame = 16 << 20
	maxUnmap     = 512 << 20
	maxRanges    = 256 // of an UNMAP; not bytes
	physical     = 4096
)

// newLimits turns what is bounded in bytes into blocks.
func newLimits(v *volume.Volume) limits {
	block := uint64(v.BlockSize())
	return limits{
		transfer:    maxTransfer / block,
		optimal:     goodTransfer / block,
		compare:     min(255, volume.MaxUpdate/block),
		writeSame:   maxWriteSame / block,
		unmap:       maxUnmap / block,
		ranges:      maxRanges,
		atomic:      volume.MaxUpdate / block,
		granularity: max(1, physical/block),
	}
}
