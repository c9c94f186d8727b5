//go:build !race

package volume

// raceEnabled says that the race detector is on, which has pools forget at random.
const raceEnabled = false
