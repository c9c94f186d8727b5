package scsi

import "fmt"

// Status is the status a command ends with (SAM-5, 5.3.1).
type Status uint8

// The statuses that this target gives.
const (
	Good                Status = 0x00
	CheckCondition      Status = 0x02
	ConditionMet        Status = 0x04
	Busy                Status = 0x08
	ReservationConflict Status = 0x18
	TaskSetFull         Status = 0x28
	TaskAborted         Status = 0x40
)

// String gives a status the name SAM-5 gives it.
func (s Status) String() string {
	switch s {
	case Good:
		return "GOOD"
	case CheckCondition:
		return "CHECK CONDITION"
	case ConditionMet:
		return "CONDITION MET"
	case Busy:
		return "BUSY"
	case ReservationConflict:
		return "RESERVATION CONFLICT"
	case TaskSetFull:
		return "TASK SET FULL"
	case TaskAborted:
		return "TASK ABORTED"
	}
	return fmt.Sprintf("status %02Xh", uint8(s))
}

// TaskAttribute orders a command among others (SAM-5, 8.6). The values are those of
// iSCSI's ATTR field (RFC 7143, section 11.3.1). This package leaves ordering to the
// transport: every I_T nexus has a task set of its own (TST is 001b).
type TaskAttribute uint8

// The task attributes.
const (
	Untagged    TaskAttribute = 0
	Simple      TaskAttribute = 1
	Ordered     TaskAttribute = 2
	HeadOfQueue TaskAttribute = 3
	ACA         TaskAttribute = 4
)
