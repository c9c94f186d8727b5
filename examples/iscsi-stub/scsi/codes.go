package scsi

import "fmt"

// Code is an additional sense code and its qualifier (SPC-4, table 49): ASC in the upper
// byte, ASCQ in the lower.
type Code uint16

// The additional sense codes that this target gives, by their names in SPC-4.
const (
	NoAdditionalSense                 Code = 0x0000
	OperationInProgress               Code = 0x0016
	LogicalUnitNotReady               Code = 0x0400
	BecomingReady                     Code = 0x0401
	InitializingCommandRequired       Code = 0x0402
	SanitizeInProgress                Code = 0x041B
	TargetPortInStandbyState          Code = 0x040B
	UnreachableCopyTarget             Code = 0x0804
	WriteError                        Code = 0x0C00
	ThirdPartyDeviceFailure           Code = 0x0D01
	CopyTargetNotReachable            Code = 0x0D02
	IncorrectCopyTargetType           Code = 0x0D03
	InvalidInformationUnit            Code = 0x0E00
	InvalidFieldInInformationUnit     Code = 0x0E03
	UnrecoveredReadError              Code = 0x1100
	ParameterListLengthError          Code = 0x1A00
	MiscompareDuringVerify            Code = 0x1D00
	SanitizeCommandFailed             Code = 0x3103
	InvalidOperationCode              Code = 0x2000
	LBAOutOfRange                     Code = 0x2100
	InvalidFieldInCDB                 Code = 0x2400
	LogicalUnitNotSupported           Code = 0x2500
	InvalidFieldInParameterList       Code = 0x2600
	ParameterNotSupported             Code = 0x2601
	ParameterValueInvalid             Code = 0x2602
	InvalidReleaseOfReservation       Code = 0x2604
	TooManyTargetDescriptors          Code = 0x2606
	UnsupportedTargetDescriptorType   Code = 0x2607
	TooManySegmentDescriptors         Code = 0x2608
	UnsupportedSegmentDescriptorType  Code = 0x2609
	UnexpectedInexactSegment          Code = 0x260A
	InlineDataLengthExceeded          Code = 0x260B
	InvalidOperationForCopySource     Code = 0x260C
	WriteProtected                    Code = 0x2700
	SoftwareWriteProtected            Code = 0x2702
	SpaceAllocationFailed             Code = 0x2707
	MediumMayHaveChanged              Code = 0x2800
	PowerOnOrReset                    Code = 0x2900
	BusDeviceReset                    Code = 0x2903
	NexusLossOccurred                 Code = 0x2907
	ModeParametersChanged             Code = 0x2A01
	ReservationsPreempted             Code = 0x2A03
	ReservationsReleased              Code = 0x2A04
	RegistrationsPreempted            Code = 0x2A05
	AsymmetricAccessStateChanged      Code = 0x2A06
	CapacityDataChanged               Code = 0x2A09
	CommandsClearedByAnotherInitiator Code = 0x2F00
	SavingParametersNotSupported      Code = 0x3900
	MediumNotPresent                  Code = 0x3A00
	MediumNotPresentTrayClosed        Code = 0x3A01
	MediumNotPresentTrayOpen          Code = 0x3A02
	ReportedLUNsDataChanged           Code = 0x3F0E
	InternalTargetFailure             Code = 0x4400
	OperatorMediumRemovalRequest      Code = 0x5A01
	MediumRemovalPrevented            Code = 0x5302
	InsufficientRegistrationResources Code = 0x5504
)

var codeNames = map[Code]string{
	NoAdditionalSense:                 "NO ADDITIONAL SENSE INFORMATION",
	OperationInProgress:               "OPERATION IN PROGRESS",
	LogicalUnitNotReady:               "LOGICAL UNIT NOT READY, CAUSE NOT REPORTABLE",
	BecomingReady:                     "LOGICAL UNIT IS IN PROCESS OF BECOMING READY",
	InitializingCommandRequired:       "LOGICAL UNIT NOT READY, INITIALIZING COMMAND REQUIRED",
	SanitizeInProgress:                "LOGICAL UNIT NOT READY, SANITIZE IN PROGRESS",
	TargetPortInStandbyState:          "LOGICAL UNIT NOT ACCESSIBLE, TARGET PORT IN STANDBY STATE",
	UnreachableCopyTarget:             "UNREACHABLE COPY TARGET",
	WriteError:                        "WRITE ERROR",
	ThirdPartyDeviceFailure:           "THIRD PARTY DEVICE FAILURE",
	CopyTargetNotReachable:            "COPY TARGET DEVICE NOT REACHABLE",
	IncorrectCopyTargetType:           "INCORRECT COPY TARGET DEVICE TYPE",
	InvalidInformationUnit:            "INVALID INFORMATION UNIT",
	InvalidFieldInInformationUnit:     "INVALID FIELD IN COMMAND INFORMATION UNIT",
	UnrecoveredReadError:              "UNRECOVERED READ ERROR",
	ParameterListLengthError:          "PARAMETER LIST LENGTH ERROR",
	MiscompareDuringVerify:            "MISCOMPARE DURING VERIFY OPERATION",
	SanitizeCommandFailed:             "SANITIZE COMMAND FAILED",
	InvalidOperationCode:              "INVALID COMMAND OPERATION CODE",
	LBAOutOfRange:                     "LOGICAL BLOCK ADDRESS OUT OF RANGE",
	InvalidFieldInCDB:                 "INVALID FIELD IN CDB",
	LogicalUnitNotSupported:           "LOGICAL UNIT NOT SUPPORTED",
	InvalidFieldInParameterList:       "INVALID FIELD IN PARAMETER LIST",
	ParameterNotSupported:             "PARAMETER NOT SUPPORTED",
	ParameterValueInvalid:             "PARAMETER VALUE INVALID",
	InvalidReleaseOfReservation:       "INVALID RELEASE OF PERSISTENT RESERVATION",
	TooManyTargetDescriptors:          "TOO MANY TARGET DESCRIPTORS",
	UnsupportedTargetDescriptorType:   "UNSUPPORTED TARGET DESCRIPTOR TYPE CODE",
	TooManySegmentDescriptors:         "TOO MANY SEGMENT DESCRIPTORS",
	UnsupportedSegmentDescriptorType:  "UNSUPPORTED SEGMENT DESCRIPTOR TYPE CODE",
	UnexpectedInexactSegment:          "UNEXPECTED INEXACT SEGMENT",
	InlineDataLengthExceeded:          "INLINE DATA LENGTH EXCEEDED",
	InvalidOperationForCopySource:     "INVALID OPERATION FOR COPY SOURCE OR DESTINATION",
	WriteProtected:                    "WRITE PROTECTED",
	SoftwareWriteProtected:            "LOGICAL UNIT SOFTWARE WRITE PROTECTED",
	SpaceAllocationFailed:             "SPACE ALLOCATION FAILED WRITE PROTECT",
	MediumMayHaveChanged:              "NOT READY TO READY CHANGE, MEDIUM MAY HAVE CHANGED",
	PowerOnOrReset:                    "POWER ON, RESET, OR BUS DEVICE RESET OCCURRED",
	BusDeviceReset:                    "BUS DEVICE RESET FUNCTION OCCURRED",
	NexusLossOccurred:                 "I_T NEXUS LOSS OCCURRED",
	ModeParametersChanged:             "MODE PARAMETERS CHANGED",
	ReservationsPreempted:             "RESERVATIONS PREEMPTED",
	ReservationsReleased:              "RESERVATIONS RELEASED",
	RegistrationsPreempted:            "REGISTRATIONS PREEMPTED",
	AsymmetricAccessStateChanged:      "ASYMMETRIC ACCESS STATE CHANGED",
	CapacityDataChanged:               "CAPACITY DATA HAS CHANGED",
	CommandsClearedByAnotherInitiator: "COMMANDS CLEARED BY ANOTHER INITIATOR",
	SavingParametersNotSupported:      "SAVING PARAMETERS NOT SUPPORTED",
	MediumNotPresent:                  "MEDIUM NOT PRESENT",
	MediumNotPresentTrayClosed:        "MEDIUM NOT PRESENT - TRAY CLOSED",
	MediumNotPresentTrayOpen:          "MEDIUM NOT PRESENT - TRAY OPEN",
	ReportedLUNsDataChanged:           "REPORTED LUNS DATA HAS CHANGED",
	InternalTargetFailure:             "INTERNAL TARGET FAILURE",
	OperatorMediumRemovalRequest:      "OPERATOR MEDIUM REMOVAL REQUEST",
	MediumRemovalPrevented:            "MEDIUM REMOVAL PREVENTED",
	InsufficientRegistrationResources: "INSUFFICIENT REGISTRATION RESOURCES",
}

// String gives the code its name in SPC-4, or its number.
func (c Code) String() string {
	if name := codeNames[c]; name != "" {
		return name
	}
	return fmt.Sprintf("%02Xh/%02Xh", byte(c>>8), byte(c))
}
