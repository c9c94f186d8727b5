package pdu_test

import (
	"testing"

	"github.com/nsreactor/nsreactor/examples/iscsi-stub/pdu"
)

// Each method reads its own place: of a header whose bytes are their offsets.
func TestFieldsAreWhereTheRFCHasThem(t *testing.T) {
	h := make(pdu.Header, pdu.HeaderSize)
	for i := range h {
		h[i] = byte(i)
	}
	h.SetDataLength(0x050607)
	p1, p2, p3 := h.Parameters()
	for name, c := range map[string]struct{ got, want any }{
		"Opcode":         {h.Opcode(), pdu.OpNOPOut},
		"AHSLength":      {h.AHSLength(), 16},
		"DataLength":     {h.DataLength(), 0x050607},
		"LUN":            {h.LUN(), [8]byte{8, 9, 10, 11, 12, 13, 14, 15}},
		"ISID":           {h.ISID(), [6]byte{8, 9, 10, 11, 12, 13}},
		"TSIH":           {h.TSIH(), uint16(0x0e0f)},
		"ITT":            {h.ITT(), pdu.Tag(0x10111213)},
		"TTT":            {h.TTT(), pdu.Tag(0x14151617)},
		"SNACKTag":       {h.SNACKTag(), pdu.Tag(0x14151617)},
		"ReferencedTag":  {h.ReferencedTag(), pdu.Tag(0x14151617)},
		"ExpectedLength": {h.ExpectedLength(), uint32(0x14151617)},
		"CID":            {h.CID(), uint16(0x1415)},
		"CmdSN":          {h.CmdSN(), pdu.Serial(0x18191a1b)},
		"StatSN":         {h.StatSN(), pdu.Serial(0x18191a1b)},
		"ExpStatSN":      {h.ExpStatSN(), pdu.Serial(0x1c1d1e1f)},
		"ExpCmdSN":       {h.ExpCmdSN(), pdu.Serial(0x1c1d1e1f)},
		"MaxCmdSN":       {h.MaxCmdSN(), pdu.Serial(0x20212223)},
		"RefCmdSN":       {h.RefCmdSN(), pdu.Serial(0x20212223)},
		"CDB":            {[16]byte(h.CDB()), [16]byte(h[32:48])},
		"DataSN":         {h.DataSN(), uint32(0x24252627)},
		"R2TSN":          {h.R2TSN(), uint32(0x24252627)},
		"ExpDataSN":      {h.ExpDataSN(), uint32(0x24252627)},
		"LoginStatus":    {h.LoginStatus(), pdu.LoginStatus(0x2425)},
		"AsyncEvent":     {h.AsyncEvent(), pdu.AsyncEvent(0x24)},
		"AsyncVCode":     {h.AsyncVCode(), uint8(0x25)},
		"Parameter1":     {p1, uint16(0x2627)},
		"Parameter2":     {p2, uint16(0x2829)},
		"Parameter3":     {p3, uint16(0x2a2b)},
		"BufferOffset":   {h.BufferOffset(), uint32(0x28292a2b)},
		"BegRun":         {h.BegRun(), uint32(0x28292a2b)},
		"Time2Wait":      {h.Time2Wait(), uint16(0x2829)},
		"Time2Retain":    {h.Time2Retain(), uint16(0x2a2b)},
		"DesiredLength":  {h.DesiredLength(), uint32(0x2c2d2e2f)},
		"RunLength":      {h.RunLength(), uint32(0x2c2d2e2f)},
		"Response":       {h.Response(), pdu.Response(2)},
		"TaskResult":     {h.TaskResult(), pdu.TaskResult(2)},
		"LogoutResult":   {h.LogoutResult(), pdu.LogoutResult(2)},
		"RejectReason":   {h.RejectReason(), pdu.RejectDataDigest},
		"VersionMax":     {h.VersionMax(), uint8(2)},
		"VersionMin":     {h.VersionMin(), uint8(3)},
		"VersionActive":  {h.VersionActive(), uint8(3)},
		"Status":         {h.Status(), uint8(3)},
	} {
		if c.got != c.want {
			t.Errorf("%s is %v, not %v", name, c.got, c.want)
		}
	}
}

// The bits of the first two bytes.
func TestFlags(t *testing.T) {
	set := func(b0, b1 byte) pdu.Header {
		h := make(pdu.Header, pdu.HeaderSize)
		h[0], h[1], h[43], h[47] = b0, b1, 3, 9
		return h
	}
	for name, c := range map[string]struct{ got, want any }{
		"opcode without I": {set(0x7f, 0).Opcode(), pdu.OpReject},
		"I":                {set(0x40, 0).Immediate(), true},
		"no I":             {set(0xbf, 0).Immediate(), false},
		"F":                {set(0, 0x80).Final(), true},
		"T":                {set(0, 0x80).Transit(), true},
		"no F":             {set(0, 0x7f).Final(), false},
		"C":                {set(0, 0x40).Continue(), true},
		"A":                {set(0, 0x40).Acknowledge(), true},
		"R":                {set(0, 0x40).Read(), true},
		"no R":             {set(0, 0xbf).Read(), false},
		"W":                {set(0, 0x20).Write(), true},
		"no W":             {set(0, 0xdf).Write(), false},
		"S":                {set(0, 0x01).HasStatus(), true},
		"attribute":        {set(0, 0xfc).Attribute(), pdu.ACA},
		"CSG":              {set(0, 0x0c).CSG(), pdu.FullFeaturePhase},
		"NSG":              {set(0, 0x01).NSG(), pdu.OperationalNegotiation},
		"function":         {set(0, 0x85).TaskFunction(), pdu.LogicalUnitReset},
		"logout":           {set(0, 0x82).LogoutReason(), pdu.RecoverConnection},
		"SNACK":            {set(0, 0x82).SNACKType(), pdu.SNACKDataACK},
		"O":                {set(0, 0x84).Residual(), int64(9)},
		"U":                {set(0, 0x82).Residual(), int64(-9)},
		"o":                {set(0, 0x90).BidiResidual(), int64(3)},
		"u":                {set(0, 0x88).BidiResidual(), int64(-3)},
		"neither O nor U":  {set(0, 0x98).Residual(), int64(0)},
		"both O and U":     {set(0, 0x86).Residual(), int64(0)},
	} {
		if c.got != c.want {
			t.Errorf("%s is %v, not %v", name, c.got, c.want)
		}
	}
}

// What is stamped on a header that is already built.
func TestSet(t *testing.T) {
	h := make(pdu.Header, pdu.HeaderSize)
	h.SetImmediate(true)
	h.SetITT(itt)
	h.SetTTT(ttt)
	h.SetCmdSN(5)
	h.SetExpStatSN(6)
	if !h.Immediate() || h.ITT() != itt || h.TTT() != ttt || h.CmdSN() != 5 || h.ExpStatSN() != 6 {
		t.Errorf("%x", []byte(h))
	}
	h.SetImmediate(false)
	h.SetNumbers(numbers)
	if h.Immediate() || (pdu.Numbers{StatSN: h.StatSN(), ExpCmdSN: h.ExpCmdSN(), MaxCmdSN: h.MaxCmdSN()}) != numbers {
		t.Errorf("%x", []byte(h))
	}
	if b := both.AppendHeader(nil, h); len(b) != both.HeaderSize() {
		t.Errorf("%d bytes", len(b))
	}
}
