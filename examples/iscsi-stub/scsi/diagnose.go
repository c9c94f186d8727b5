package scsi

// diagnosing: the default self-test, which a unit that answers has passed (SPC-4, 6.42).
var diagnosing = []row{
	{
		op: 0x1D, action: none, name: "SEND DIAGNOSTIC", usage: "1D 14 00 00 00 00",
		does: needsMedium, check: func(*Command) {},
	},
}
