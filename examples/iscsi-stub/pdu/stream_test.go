package pdu_test

import (
	"bytes"
	"errors"
	"testing"
	"testing/iotest"

	"github.com/nsreactor/nsreactor/examples/iscsi-stub/pdu"
	"github.com/nsreactor/nsreactor/handlers/framing"
)

var both = pdu.Format{HeaderDigest: true, DataDigest: true}

// Write data of odd lengths lands in the task's buffer, one PDU after the other,
// also though padding and digest come behind each.
func TestDataLandsInTheTasksBuffer(t *testing.T) {
	want := make([]byte, 1021)
	for i := range want {
		want[i] = byte(i * 7)
	}
	var stream []byte
	for at := 0; at < len(want); at += 255 {
		data := want[at:min(at+255, len(want))]
		stream = pdu.DataOut{Offset: uint32(at), Data: data}.Append(stream, both)
	}
	task := make([]byte, len(want)+pdu.MaxTrailer)
	d := both.Decoder(255)
	d.Alloc = func(h pdu.Header, n int) []byte {
		at := int(h.BufferOffset())
		return task[at : at+n]
	}
	r := framing.NewReader(iotest.OneByteReader(bytes.NewReader(stream)), d)
	frames := 0
	for m, err := range r.All() {
		if err != nil {
			t.Fatal(err)
		}
		data, err := both.Data(m)
		if err != nil || !m.Owned || &data[0] != &task[m.Header.BufferOffset()] {
			t.Fatalf("%d bytes elsewhere, %v", len(data), err)
		}
		frames++
	}
	if frames != 5 || !bytes.Equal(task[:len(want)], want) {
		t.Errorf("%d PDUs, %x", frames, task)
	}
}

// A data digest error leaves the stream in order.
func TestAStreamSurvivesABadDataDigest(t *testing.T) {
	bad := pdu.NOPOut{ITT: itt, Data: text}.Append(nil, both)
	bad[len(bad)-1] ^= 1
	r := framing.NewReader(bytes.NewReader(pdu.NOPOut{ITT: ttt, Data: text}.Append(bad, both)), both.Decoder(100))
	m, err := r.Next()
	if err != nil {
		t.Fatal(err)
	}
	data, err := both.Data(m)
	var e *pdu.DigestError
	if !errors.As(err, &e) || !errors.Is(err, pdu.ErrDataDigest) || e.Opcode != pdu.OpNOPOut || e.Kind() != "data_digest" {
		t.Errorf("error is %v", err)
	}
	if !bytes.Equal(data, text) {
		t.Errorf("data is %q", data)
	}
	if m, err = r.Next(); err != nil || m.Header.ITT() != ttt {
		t.Errorf("next: %v", err)
	}
}

// With a header digest no length is believed before the digest is checked;
// without, a length over the limit is refused at once.
func TestATooLongDataSegmentIsRefused(t *testing.T) {
	for _, f := range formats {
		b := pdu.NOPOut{Data: make([]byte, 101)}.Append(nil, f)
		_, _, err := f.Decoder(100).Decode(b[:f.HeaderSize()])
		var e *pdu.LengthError
		if !errors.As(err, &e) || !errors.Is(err, pdu.ErrDataTooLong) || *e != (pdu.LengthError{Opcode: pdu.OpNOPOut, Length: 101, Limit: 100}) {
			t.Errorf("%+v: %v", f, err)
		}
		if !f.HeaderDigest {
			continue
		}
		b[5] = 0xff
		if _, _, err = f.Decoder(100).Decode(b); !errors.Is(err, pdu.ErrHeaderDigest) {
			t.Errorf("%+v: %v of a header that is damaged", f, err)
		}
	}
	if _, n, err := both.Decoder(pdu.MaxData).Decode(pdu.NOPOut{Data: make([]byte, pdu.MaxData)}.Append(nil, both)); err != nil || n != both.Size(pdu.MaxData) {
		t.Errorf("16 MiB: %d, %v", n, err)
	}
}

// Nothing follows a header without data, not even a digest.
func TestEmptyDataHasNoDigest(t *testing.T) {
	if b := (pdu.NOPOut{}).Append(nil, both); len(b) != pdu.HeaderSize+pdu.DigestSize {
		t.Errorf("%d bytes", len(b))
	}
}

// A Data-In whose data is put in place afterwards is the same as one with data.
func TestDataInCanBeFilledInPlace(t *testing.T) {
	p := pdu.DataIn{Final: true, HasStatus: true, ITT: itt, TTT: pdu.NoTag, Data: text}
	for _, f := range formats {
		b := p.AppendHeader(make([]byte, 0, f.Size(len(text))), f, len(text))
		b = b[:len(b)+copy(b[len(b):cap(b)], text)]
		if got := f.AppendTrailer(b, len(text)); !bytes.Equal(got, p.Append(nil, f)) {
			t.Errorf("%+v: %x", f, got)
		}
	}
}

func TestSense(t *testing.T) {
	for data, want := range map[string]string{
		"": "", "00": "", "0000": "", "0002 7000": "7000", "0001 7000": "70", "ffff 7000": "7000",
	} {
		if got := pdu.Sense(unhex(t, data)); !bytes.Equal(got, unhex(t, want)) {
			t.Errorf("%s: %x", data, got)
		}
	}
}
