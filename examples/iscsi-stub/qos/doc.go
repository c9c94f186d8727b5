// Package qos shapes what volumes do: for each a minimum, a maximum and a burst, of
// I/Os a second and of bytes a second.
//
//   - The maximum is a hard cap.
//   - The burst is a higher one, for as long as credits last. A volume saves credits by
//     staying below its maximum; full, they last for Settings.BurstFor at burst rate. A
//     volume begins without any.
//   - The minimum is what a volume is sure to get when the machine has more to do than it
//     can: a [Governor] then slows the volumes that are above theirs.
//
// An I/O a second is one of 8 KiB or less. A larger one counts as several, a MiB as 128:
// otherwise a limit would say little about what a volume may cost the others.
//
// The package has no clock, no goroutine and no socket. Whoever serves a volume has an
// [IO] for each I/O that comes, asks [Volume.Admit] until that lets it go, and tells
// [Volume.Done] at its end. Any goroutine may, and neither allocates.
//
// golang.org/x/time/rate does not fit: it refuses an I/O above its burst where a debt
// is wanted, and what several of its limiters allow separately, each at its own time,
// isn't what they allow together. A bucket is twenty lines (bucket.go).
package qos
