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

const (
	maxTransfer  = 8 << 20
	maxUnmap     = 512 << 20
	maxWriteSame = 512 << 20
	maxRanges    = 256
)

// newLimits turns what is bounded in bytes into blocks.
func newLimits(v *volume.Volume) limits {
	block := uint64(v.BlockSize())
	most := uint64(volume.MaxUpdate)
	return limits{
		transfer:    maxTransfer / block,
		optimal:     min(1<<20, maxTransfer) / block,
		compare:     min(255, most/block),
		writeSame:   maxWriteSame / block,
		unmap:       maxUnmap / block,
		ranges:      maxRanges,
		atomic:      most / block,
		granularity: max(1, 4096/block),
	}
}
