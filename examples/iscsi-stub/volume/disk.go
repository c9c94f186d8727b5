package volume

// disk is a file as volumes need one. The tests have another that loses power.
// Errors wrap ErrFull, ErrMedium, ErrTruncated and so on; see failure.
type disk interface {
	readAt(p []byte, off int64) error
	// readCached reads what is in memory, and returns ErrWait for the rest.
	readCached(p []byte, off int64) error
	writeAt(p []byte, off int64) error
	// writeStable writes and syncs the range, no more.
	writeStable(p []byte, off int64) error
	// punch makes a hole, zero makes zeros that have room: errNoHoles if the
	// filesystem has no such operation.
	punch(off, n int64) error
	zero(off, n int64) error
	// reserve sees that writing there won't meet a full disk, where it can.
	reserve(off, n int64) error
	// sync makes all that has been written stable.
	sync() error
	// check returns ErrTruncated if the file is below size, ErrDeleted if it has no name.
	check(size int64) error
	// seek says whether off is data, and up to where, at most end, all is alike.
	seek(off, end int64) (data bool, until int64, err error)
	// resize makes the file longer, with room for all of it if thick.
	resize(size int64, thick bool) error
	close() error
}
