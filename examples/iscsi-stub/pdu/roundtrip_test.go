package pdu_test

import (
	"bytes"
	"testing"

	"github.com/nsreactor/nsreactor/examples/iscsi-stub/pdu"
)

var formats = []pdu.Format{{}, {HeaderDigest: true}, {DataDigest: true}, {HeaderDigest: true, DataDigest: true}}

type builder interface {
	Append(dst []byte, f pdu.Format) []byte
}

var (
	lun     = [8]byte{0, 1, 2, 3, 4, 5, 6, 7}
	isid    = [6]byte{0x80, 1, 2, 3, 4, 5}
	text    = []byte("Key=Value\x00")
	sense   = []byte{0x70, 0, 5, 0, 0}
	numbers = pdu.Numbers{StatSN: 0xa0a1a2a3, ExpCmdSN: 0xb0b1b2b3, MaxCmdSN: 0xc0c1c2c3}
)

const (
	itt pdu.Tag = 0x10111213
	ttt pdu.Tag = 0x20212223
)

// all is a PDU of each kind and what its header must be, byte by byte, and its
// data.
var all = []struct {
	pdu    builder
	header string
	data   []byte
}{
	{
		pdu.NOPOut{Immediate: true, LUN: lun, ITT: itt, TTT: ttt, CmdSN: 5, ExpStatSN: 6, Data: text},
		"40800000 0000000a 0001020304050607 10111213 20212223 00000005 00000006 00000000 00000000 00000000 00000000", text,
	},
	{
		pdu.SCSICommand{
			Final: true, Write: true, Attribute: pdu.Ordered, LUN: lun, ITT: itt, Expected: 512, CmdSN: 5, ExpStatSN: 6,
			CDB: []byte{0x2a, 0, 1, 2, 3, 4, 0, 0, 1, 0}, Data: text,
		},
		"01a20000 0000000a 0001020304050607 10111213 00000200 00000005 00000006 2a000102 03040000 01000000 00000000", text,
	},
	{
		pdu.SCSICommand{
			Read: true, Write: true, LUN: lun, ITT: itt, Expected: 512, CmdSN: 5, ExpStatSN: 6,
			CDB: bytes.Repeat([]byte{0x7f}, 18), BidiRead: 1024,
		},
		"01600000 04000000 0001020304050607 10111213 00000200 00000005 00000006 7f7f7f7f 7f7f7f7f 7f7f7f7f 7f7f7f7f" +
			"00030100 7f7f0000 00050200 00000400", nil,
	},
	{
		pdu.TaskRequest{
			Immediate: true, Function: pdu.AbortTask, LUN: lun, ITT: itt, ReferencedTag: 0x30, CmdSN: 5, ExpStatSN: 6,
			RefCmdSN: 4, ExpDataSN: 7,
		},
		"42810000 00000000 0001020304050607 10111213 00000030 00000005 00000006 00000004 00000007 00000000 00000000", nil,
	},
	{
		pdu.LoginRequest{
			Transit: true, CSG: pdu.OperationalNegotiation, NSG: pdu.FullFeaturePhase, VersionMax: 1, ISID: isid, TSIH: 9,
			ITT: itt, CID: 3, CmdSN: 5, ExpStatSN: 6, Data: text,
		},
		"43870100 0000000a 800102030405 0009 10111213 00030000 00000005 00000006 00000000 00000000 00000000 00000000", text,
	},
	{
		pdu.TextRequest{Continue: true, LUN: lun, ITT: itt, TTT: ttt, CmdSN: 5, ExpStatSN: 6, Data: text},
		"04400000 0000000a 0001020304050607 10111213 20212223 00000005 00000006 00000000 00000000 00000000 00000000", text,
	},
	{
		pdu.DataOut{Final: true, LUN: lun, ITT: itt, TTT: ttt, ExpStatSN: 6, DataSN: 2, Offset: 8192, Data: text},
		"05800000 0000000a 0001020304050607 10111213 20212223 00000000 00000006 00000000 00000002 00002000 00000000", text,
	},
	{
		pdu.LogoutRequest{Reason: pdu.CloseConnection, ITT: itt, CID: 3, CmdSN: 5, ExpStatSN: 6},
		"06810000 00000000 0000000000000000 10111213 00030000 00000005 00000006 00000000 00000000 00000000 00000000", nil,
	},
	{
		pdu.SNACK{Type: pdu.SNACKStatus, LUN: lun, ITT: itt, TTT: ttt, ExpStatSN: 6, BegRun: 7, RunLength: 8},
		"10810000 00000000 0001020304050607 10111213 20212223 00000000 00000006 00000000 00000000 00000007 00000008", nil,
	},
	{
		pdu.NOPIn{Numbers: numbers, LUN: lun, ITT: itt, TTT: ttt, Data: text},
		"20800000 0000000a 0001020304050607 10111213 20212223 a0a1a2a3 b0b1b2b3 c0c1c2c3 00000000 00000000 00000000", text,
	},
	{
		pdu.SCSIResponse{
			Numbers: numbers, ITT: itt, Status: 2, Residual: -512, BidiResidual: 64, ExpDataSN: 3, SNACKTag: 4, Sense: sense,
		},
		"21920002 00000007 0000000000000000 10111213 00000004 a0a1a2a3 b0b1b2b3 c0c1c2c3 00000003 00000040 00000200",
		append([]byte{0, 5}, sense...),
	},
	{
		pdu.SCSIResponse{Numbers: numbers, ITT: itt, Response: pdu.TargetFailure, Residual: 512, BidiResidual: -64},
		"218c0100 00000000 0000000000000000 10111213 00000000 a0a1a2a3 b0b1b2b3 c0c1c2c3 00000000 00000040 00000200", nil,
	},
	{
		pdu.TaskResponse{Numbers: numbers, Result: pdu.FunctionNotSupported, ITT: itt},
		"22800500 00000000 0000000000000000 10111213 00000000 a0a1a2a3 b0b1b2b3 c0c1c2c3 00000000 00000000 00000000", nil,
	},
	{
		pdu.LoginResponse{
			Numbers: numbers, Continue: true, CSG: pdu.OperationalNegotiation, ISID: isid, TSIH: 9, ITT: itt,
			Status: pdu.TooManyConnections, Data: text,
		},
		"23440000 0000000a 800102030405 0009 10111213 00000000 a0a1a2a3 b0b1b2b3 c0c1c2c3 02060000 00000000 00000000", text,
	},
	{
		pdu.TextResponse{Numbers: numbers, Final: true, LUN: lun, ITT: itt, TTT: pdu.NoTag, Data: text},
		"24800000 0000000a 0001020304050607 10111213 ffffffff a0a1a2a3 b0b1b2b3 c0c1c2c3 00000000 00000000 00000000", text,
	},
	{
		pdu.DataIn{
			Numbers: numbers, Final: true, Acknowledge: true, HasStatus: true, Residual: 5, LUN: lun, ITT: itt, TTT: ttt,
			DataSN: 1, Offset: 2, Data: text,
		},
		"25c50000 0000000a 0001020304050607 10111213 20212223 a0a1a2a3 b0b1b2b3 c0c1c2c3 00000001 00000002 00000005", text,
	},
	{
		pdu.LogoutResponse{Numbers: numbers, Result: pdu.CIDNotFound, ITT: itt, Time2Wait: 2, Time2Retain: 20},
		"26800100 00000000 0000000000000000 10111213 00000000 a0a1a2a3 b0b1b2b3 c0c1c2c3 00000000 00020014 00000000", nil,
	},
	{
		pdu.R2T{Numbers: numbers, LUN: lun, ITT: itt, TTT: ttt, R2TSN: 1, Offset: 512, Desired: 1024},
		"31800000 00000000 0001020304050607 10111213 20212223 a0a1a2a3 b0b1b2b3 c0c1c2c3 00000001 00000200 00000400", nil,
	},
	{
		pdu.Async{Numbers: numbers, LUN: lun, Event: pdu.SCSIEvent, VCode: 1, Parameter1: 2, Parameter2: 3, Parameter3: 4, Sense: sense},
		"32800000 00000007 0001020304050607 ffffffff 00000000 a0a1a2a3 b0b1b2b3 c0c1c2c3 00010002 00030004 00000000",
		append([]byte{0, 5}, sense...),
	},
	{
		pdu.Reject{Numbers: numbers, Reason: pdu.RejectProtocolError, DataSN: 3, Header: make(pdu.Header, 60)},
		"3f800400 00000030 0000000000000000 ffffffff 00000000 a0a1a2a3 b0b1b2b3 c0c1c2c3 00000003 00000000 00000000",
		make([]byte, 48),
	},
}

func TestEveryPDUIsWhereTheRFCHasIt(t *testing.T) {
	for _, c := range all {
		for _, f := range formats {
			b := c.pdu.Append([]byte("before"), f)
			m, n, err := f.Decoder(1 << 10).Decode(b[6:])
			if err != nil || n != len(b)-6 {
				t.Fatalf("%T, %+v: %d of %d bytes, %v", c.pdu, f, n, len(b)-6, err)
			}
			data, err := f.Data(m)
			if err != nil || !bytes.Equal(data, c.data) {
				t.Errorf("%T, %+v: data is %q, %v", c.pdu, f, data, err)
			}
			if want := unhex(t, c.header); !bytes.Equal(m.Header, want) {
				t.Errorf("%T is\n%x, not\n%x", c.pdu, []byte(m.Header), want)
			}
			if got := f.Size(len(c.data)) + m.Header.AHSLength(); got != n {
				t.Errorf("%T, %+v: Size says %d bytes, not %d", c.pdu, f, got, n)
			}
		}
	}
}
