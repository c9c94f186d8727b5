package login

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

const (
	openRecord = "TargetName=iqn.2020-01.example:open"
	address1   = "TargetAddress=192.0.2.1:3260,1"
	address2   = "TargetAddress=[2001:db8::1]:3260,2"
)

// session is a Text of a session, of discovery or with the open target.
func session(discovery bool, cfg Config) *Text {
	h := newHouse()
	r := Result{Initiator: "iqn.2020-01.example:me", Discovery: discovery, Params: DefaultParams()}
	if !discovery {
		r.Target = h.targets[0]
	}
	return NewText(&cfg, h, r)
}

// ask is one request for an answer in one response.
func ask(t *testing.T, x *Text, pairs ...string) ([]string, error) {
	t.Helper()
	res, err := x.Step(TextRequest{Final: true, TaskTag: 3, TransferTag: NoTag}, []byte(text(pairs...)))
	if err != nil {
		var r *RejectError
		if !errors.As(err, &r) || x.now != nil {
			t.Errorf("%v is no RejectError, or leaves something", err)
		}
		return nil, err
	}
	if !res.Final || res.Continue || res.TaskTag != 3 || res.TransferTag != NoTag {
		t.Errorf("answered with %+v", res)
	}
	return slices.DeleteFunc(strings.Split(string(res.Text), "\x00"), func(s string) bool { return s == "" }), nil
}

func TestSendTargets(t *testing.T) {
	all := []string{}
	for _, name := range []string{"open", "locked", "private", "moved"} {
		all = append(all, "TargetName=iqn.2020-01.example:"+name, address1, address2)
	}
	lenient := Config{LenientSendTargets: true}
	for _, c := range []struct {
		name      string
		discovery bool
		cfg       Config
		value     string
		want      []string // nil: rejected
	}{
		{"all", true, Config{}, "All", all},
		{"by name", true, Config{}, "iqn.2020-01.EXAMPLE:Locked", all[3:6]},
		{"by a name that is not to be seen", true, Config{}, "iqn.2020-01.example:other", []string{}},
		{"nothing, in discovery", true, Config{}, "", nil},
		{"no name", true, Config{}, "Alle", nil},
		{"normal session: nothing", false, Config{}, "", all[:3]},
		{"normal session: all", false, Config{}, "All", nil},
		{"normal session: all, leniently", false, lenient, "All", all[:3]},
		{"normal session: its own", false, Config{}, "iqn.2020-01.example:open", all[:3]},
		{"normal session: another", false, lenient, "iqn.2020-01.example:locked", []string{}},
		{"normal session: no name", false, lenient, "A", nil},
	} {
		got, err := ask(t, session(c.discovery, c.cfg), "SendTargets="+c.value)
		if (err != nil) != (c.want == nil) || !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, %v; want %q", c.name, got, err, c.want)
		}
	}
}

func TestTextKeys(t *testing.T) {
	x := session(false, Config{})
	got, err := ask(t, x, "MaxRecvDataSegmentLength=1024", "InitiatorAlias=me", "MaxBurstLength=512", "HeaderDigest=None", "X-a=b")
	if err != nil {
		t.Fatal(err)
	}
	same(t, got, "MaxBurstLength=Reject", "HeaderDigest=Reject", "X-a=NotUnderstood")
	if n := x.Params().MaxSendDataSegmentLength; n != 1024 {
		t.Errorf("MaxSendDataSegmentLength is %d", n)
	}
	if got, err := ask(t, x); err != nil || len(got) != 0 {
		t.Errorf("nothing was said: %q, %v", got, err)
	}
	for _, bad := range [][]string{
		{"MaxRecvDataSegmentLength=511"},
		{"MaxRecvDataSegmentLength=512", "MaxRecvDataSegmentLength=600"},
		{"X-a=1", "X-a=1"},
		{"TargetName=iqn.2020-01.example:open"},
		{"TargetAddress=x"},
		{"X-a=Reject"},
		{"x"},
		{"AuthMethod=None"},
		{"InitiatorName=x"},
		{"MaxRecvDataSegmentLength=600", "SendTargets=All"},
	} {
		if got, err := ask(t, x, bad...); err == nil {
			t.Errorf("%q is answered with %q", bad, got)
		}
	}
	if n := x.Params().MaxSendDataSegmentLength; n != 1024 {
		t.Errorf("MaxSendDataSegmentLength is %d after negotiations that failed", n)
	}
}

// A length declared half-way holds only once the negotiation is over.
func TestTextOverSeveralPDUsInForceAtTheEnd(t *testing.T) {
	x := session(false, Config{})
	step := func(req TextRequest, data string) TextResponse {
		t.Helper()
		req.TaskTag = 8
		res, err := x.Step(req, []byte(data))
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	res := step(TextRequest{Continue: true, TransferTag: NoTag}, "MaxRecvDataSeg")
	if res.Final || res.TransferTag == NoTag || res.Text != nil {
		t.Fatalf("%+v", res)
	}
	res = step(TextRequest{TransferTag: res.TransferTag}, "mentLength=512\x00")
	if res.Final || res.TransferTag == NoTag || x.Params().MaxSendDataSegmentLength != 8192 {
		t.Fatalf("%+v", res)
	}
	res = step(TextRequest{Final: true, TransferTag: res.TransferTag}, "")
	if !res.Final || res.TransferTag != NoTag || x.Params().MaxSendDataSegmentLength != 512 {
		t.Fatalf("%+v", res)
	}
}

// A long answer comes in pieces of what the initiator takes.
func TestLongSendTargets(t *testing.T) {
	h := newHouse()
	var want []string
	h.targets = nil
	for i := range 1000 {
		name := fmt.Sprintf("iqn.2020-01.example:%d", i)
		h.targets = append(h.targets, Target{Name: name, Addresses: portals})
		want = append(want, "TargetName="+name, address1, address2)
	}
	params := DefaultParams()
	params.MaxSendDataSegmentLength = 512
	x := NewText(&Config{}, h, Result{Discovery: true, Params: params})
	var all strings.Builder
	req := TextRequest{Final: true, TaskTag: 1, TransferTag: NoTag}
	data := "SendTargets=All\x00"
	for {
		res, err := x.Step(req, []byte(data))
		if err != nil || len(res.Text) > 512 || res.Continue == res.Final {
			t.Fatalf("%+v, %v", res, err)
		}
		all.Write(res.Text)
		if res.Final {
			break
		}
		req.TransferTag, data = res.TransferTag, ""
	}
	same(t, strings.Split(strings.TrimSuffix(all.String(), "\x00"), "\x00"), want...)
	if x.now != nil {
		t.Error("the answer is kept")
	}

	for range 20000 {
		h.targets = append(h.targets, h.targets[0])
	}
	var r *RejectError
	if _, err := x.Step(TextRequest{Final: true, TransferTag: NoTag}, []byte("SendTargets=All\x00")); !errors.As(err, &r) || r.Reason != OutOfRoom {
		t.Errorf("over a megabyte of targets: %v", err)
	}
}

func TestTransferTags(t *testing.T) {
	x := session(true, Config{})
	begin := TextRequest{Continue: true, TaskTag: 1, TransferTag: NoTag}
	res, err := x.Step(begin, []byte("SendTar"))
	if err != nil {
		t.Fatal(err)
	}
	for name, req := range map[string]TextRequest{
		"another transfer tag": {Final: true, TaskTag: 1, TransferTag: res.TransferTag + 1},
		"another task tag":     {Final: true, TaskTag: 2, TransferTag: res.TransferTag},
		"F and C":              {Final: true, Continue: true, TaskTag: 1, TransferTag: res.TransferTag},
	} {
		x := session(true, Config{})
		if _, err := x.Step(begin, nil); err != nil {
			t.Fatal(err)
		}
		if res, err := x.Step(req, nil); err == nil {
			t.Errorf("%s: %+v", name, res)
		}
		if got, err := ask(t, x, "SendTargets=iqn.2020-01.example:open"); err != nil || len(got) != 3 {
			t.Errorf("%s: after it %q, %v", name, got, err)
		}
	}
	// One that begins ends the one before.
	if got, err := ask(t, x, "SendTargets=iqn.2020-01.example:open"); err != nil {
		t.Error(err)
	} else {
		same(t, got, openRecord, address1, address2)
	}
	if res, err := x.Step(TextRequest{Final: true, TaskTag: 1, TransferTag: res.TransferTag}, nil); err == nil {
		t.Errorf("a negotiation that is over goes on: %+v", res)
	}
	x.lastTag = NoTag - 1
	if res, err := x.Step(begin, nil); err != nil || res.TransferTag == NoTag {
		t.Errorf("the tags have come round: %+v, %v", res, err)
	}
}
