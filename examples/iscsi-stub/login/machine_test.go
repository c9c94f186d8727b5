package login

import (
	"bytes"
	"crypto/md5"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// The initiator and the targets of the tests.
const (
	me      = "InitiatorName=iqn.2020-01.example:me"
	open    = "TargetName=iqn.2020-01.example:open"
	locked  = "TargetName=iqn.2020-01.example:locked"
	private = "TargetName=iqn.2020-01.example:private"
)

// house is a tenant's directory: targets by the last part of their names, and what is
// asked of them.
type house struct {
	targets   []Target
	discovery Secrets
}

func (h *house) Target(name string) (Target, Status) {
	for _, t := range h.targets {
		switch {
		case t.Name == name && strings.HasSuffix(name, ":moved"):
			return t, MovedTemporarily
		case t.Name == name:
			return t, Success
		}
	}
	if strings.HasSuffix(name, ":gone") {
		return Target{}, TargetRemoved
	}
	return Target{}, NotFound
}
func (h *house) Targets(string) []Target { return h.targets }
func (h *house) Discovery() Secrets      { return h.discovery }

// users are secrets by user; the target proves itself as "target" with "target's own secret".
type users map[string]string

func (u users) Secret(user string) ([]byte, bool) { s, ok := u[user]; return []byte(s), ok }
func (u users) Own(user string) (string, []byte, bool) {
	return "target", []byte("target's own secret"), user != "nomutual"
}

var portals = []Address{{"192.0.2.1:3260", 1}, {"[2001:db8::1]:3260", 2}}

func newHouse() *house {
	secrets := users{"ann": "ann's own secret", "same": "target's own secret", "nomutual": "another secret!!", "empty": ""}
	target := func(name string) Target {
		return Target{Name: "iqn.2020-01.example:" + name, PortalGroup: 1, Addresses: portals}
	}
	h := &house{targets: []Target{target("open"), target("locked"), target("private"), target("moved")}}
	h.targets[0].Alias = "the open one"
	h.targets[1].Secrets = secrets
	h.targets[2].Authorized = func(initiator, user string) bool { return initiator == "iqn.2020-01.example:friend" }
	return h
}

// caller is an initiator's side of a login.
type caller struct {
	t       *testing.T
	m       *Machine
	res     Response
	verdict Verdict
}

func call(t *testing.T, cfg Config, h *house) *caller {
	t.Helper()
	if cfg.Rand == nil {
		cfg.Rand = bytes.NewReader(bytes.Repeat([]byte{0x5a}, 1000))
	}
	return &caller{t: t, m: New(&cfg, h)}
}

// step is a request of stage csg, which wants to go over to nsg if that is another, and the pairs of
// its answer.
func (c *caller) step(csg, nsg Stage, pairs ...string) []string {
	c.t.Helper()
	return c.send(Request{Current: csg, Next: nsg, Transit: nsg != csg}, text(pairs...))
}

func (c *caller) send(req Request, data string) []string {
	c.t.Helper()
	req.ISID, req.TaskTag, req.CmdSN = ISID{0x80, 1}, 77, 9
	c.res, c.verdict = c.m.Step(req, []byte(data))
	if c.verdict == Admit {
		c.res = c.m.Accept(42)
	}
	if c.res.TaskTag != 77 || c.res.ISID != req.ISID {
		c.t.Errorf("the answer is to %d, %x", c.res.TaskTag, c.res.ISID)
	}
	if len(c.res.Text) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(c.res.Text), "\x00"), "\x00")
}

// want checks the state after a step.
func (c *caller) want(status Status, transit bool, next Stage) {
	c.t.Helper()
	if c.res.Status != status || c.res.Transit != transit || transit && c.res.Next != next {
		c.t.Fatalf("status %v, T %v, NSG %v (%v); want %v, %v, %v", c.res.Status, c.res.Transit, c.res.Next, c.m.Err(), status, transit, next)
	}
	if (c.verdict == Failed) != (status != Success) {
		c.t.Fatalf("verdict %v with %v", c.verdict, status)
	}
}

func text(pairs ...string) string {
	if len(pairs) == 0 {
		return ""
	}
	return strings.Join(pairs, "\x00") + "\x00"
}

func same(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("\n got %q\nwant %q", got, want)
	}
}

func TestOperationalOnly(t *testing.T) {
	c := call(t, Config{}, newHouse())
	same(t, c.step(Operational, FullFeature, me, "InitiatorAlias=it's me", open, "MaxRecvDataSegmentLength=4096", "X-com.example.colour=red",
		"MaxBurstLength=16384", "FirstBurstLength=0x10000", "DefaultTime2Retain=0", "IFMarker=No", "OFMarkInt=1~2"),
		"TargetPortalGroupTag=1", "X-com.example.colour=NotUnderstood",
		"MaxBurstLength=16384", "DefaultTime2Retain=0", "IFMarker=Reject", "OFMarkInt=Reject", "FirstBurstLength=16384",
		"MaxRecvDataSegmentLength=262144", "TargetAlias=the open one")
	c.want(Success, true, FullFeature)
	if c.res.TSIH != 42 {
		t.Errorf("TSIH is %d", c.res.TSIH)
	}
	r := c.m.Result()
	p := DefaultParams()
	p.MaxRecvDataSegmentLength, p.MaxSendDataSegmentLength = 262144, 4096
	p.MaxBurstLength, p.FirstBurstLength, p.DefaultTime2Retain = 16384, 16384, 0
	if r.Params != p || r.Initiator != "iqn.2020-01.example:me" || r.Alias != "it's me" || r.CmdSN != 9 || r.Target.Name != "iqn.2020-01.example:open" {
		t.Errorf("agreed on %+v", r)
	}
}

func TestStagesInAnyOrder(t *testing.T) {
	c := call(t, Config{}, newHouse())
	same(t, c.step(Security, Operational, me, open, "AuthMethod=CHAP,None"), "TargetPortalGroupTag=1", "AuthMethod=None")
	c.want(Success, true, Operational)
	// libiscsi says its names again in the next stage.
	same(t, c.step(Operational, FullFeature, me, open, "SessionType=Normal"), "MaxRecvDataSegmentLength=262144", "TargetAlias=the open one")
	c.want(Success, true, FullFeature)

	c = call(t, Config{}, newHouse())
	same(t, c.step(Security, FullFeature, me, open), "TargetPortalGroupTag=1")
	c.want(Success, true, FullFeature)
	if c.m.Result().Params != DefaultParams() {
		t.Errorf("without negotiation %+v are in force", c.m.Result().Params)
	}

	c = call(t, Config{}, newHouse())
	c.step(Security, Security, me, open)
	c.want(Success, false, 0)
	same(t, c.step(Security, Operational))
	same(t, c.step(Operational, Operational, "MaxConnections=2"), "MaxConnections=1", "MaxRecvDataSegmentLength=262144", "TargetAlias=the open one")
	same(t, c.step(Operational, FullFeature))
	c.want(Success, true, FullFeature)
}

func TestAnyInitialR2TAndImmediateData(t *testing.T) {
	for i := range 16 {
		r2t, immediate, offerR2T, offerImmediate := i&1 != 0, i&2 != 0, i&4 != 0, i&8 != 0
		say := map[bool]string{true: "Yes", false: "No"}
		c := call(t, Config{Preferences: Preferences{RequireR2T: r2t, NoImmediateData: !immediate}}, newHouse())
		got := c.step(Operational, FullFeature, me, open, "InitialR2T="+say[offerR2T], "ImmediateData="+say[offerImmediate])
		same(t, got[1:3], "InitialR2T="+say[r2t || offerR2T], "ImmediateData="+say[immediate && offerImmediate])
		if p := c.m.Result().Params; p.InitialR2T != (r2t || offerR2T) || p.ImmediateData != (immediate && offerImmediate) {
			t.Errorf("case %b: %+v", i, p)
		}
	}
}

// Every negotiated key, what it is answered with, and at its bounds.
func TestKeys(t *testing.T) {
	wish := Preferences{
		MaxRecvDataSegmentLength: 65536, MaxBurstLength: 16384, FirstBurstLength: 8192, MaxConnections: 4, MaxOutstandingR2T: 8,
		ErrorRecoveryLevel: 1, DefaultTime2Wait: 5, DefaultTime2Retain: 60, TaskReporting: ResponseFence,
	}
	for offer, answer := range map[string]string{
		"HeaderDigest=None,CRC32C":                      "None",
		"HeaderDigest=CRC32C,None":                      "CRC32C",
		"DataDigest=Y-x,CRC32C":                         "CRC32C",
		"DataDigest=crc32c":                             "Reject",
		"DataDigest=":                                   "Reject",
		"MaxConnections=65535":                          "4",
		"MaxConnections=1":                              "1",
		"MaxConnections=0":                              "Reject",
		"MaxConnections=65536":                          "Reject",
		"InitialR2T=No":                                 "No",
		"InitialR2T=yes":                                "Reject",
		"ImmediateData=Yes":                             "Yes",
		"MaxBurstLength=0x4001":                         "16384",
		"MaxBurstLength=512":                            "512",
		"MaxBurstLength=511":                            "Reject",
		"MaxBurstLength=16777215":                       "16384",
		"MaxBurstLength=16777216":                       "Reject",
		"MaxBurstLength=0512":                           "Reject",
		"MaxBurstLength=-512":                           "Reject",
		"MaxBurstLength=512~1024":                       "Reject",
		"FirstBurstLength=65536":                        "8192",
		"DefaultTime2Wait=0":                            "5",
		"DefaultTime2Wait=3600":                         "3600",
		"DefaultTime2Wait=3601":                         "Reject",
		"DefaultTime2Retain=20":                         "20",
		"DefaultTime2Retain=3600":                       "60",
		"MaxOutstandingR2T=9":                           "8",
		"MaxOutstandingR2T=0":                           "Reject",
		"DataPDUInOrder=No":                             "Yes",
		"DataSequenceInOrder=No":                        "Yes",
		"ErrorRecoveryLevel=2":                          "1",
		"ErrorRecoveryLevel=3":                          "Reject",
		"TaskReporting=FastAbort,ResponseFence,RFC3720": "ResponseFence",
		"TaskReporting=FastAbort":                       "Reject",
		"iSCSIProtocolLevel=2":                          "1",
		"iSCSIProtocolLevel=32":                         "Reject",
		"IFMarker=No":                                   "Reject",
		"OFMarker=Yes":                                  "Reject",
		"IFMarkInt=2048~8192":                           "Reject",
		"OFMarkInt=2048":                                "Reject",
		"X-example=1":                                   "NotUnderstood",
		"X#NodeArchitecture=x":                          "NotUnderstood",
		"RDMAExtensions=Yes":                            "NotUnderstood",
		"maxburstlength=512":                            "NotUnderstood",
	} {
		c := call(t, Config{Preferences: wish}, newHouse())
		got := c.step(Operational, Operational, me, open, offer)
		c.want(Success, false, 0)
		key, _, _ := strings.Cut(offer, "=")
		if want := key + "=" + answer; !slices.Contains(got, want) {
			t.Errorf("%s is answered with %q, not %s", offer, got, want)
		}
	}
}

// What the initiator leaves out and the target does not want by default, the target asks for.
func TestTargetOffers(t *testing.T) {
	wish := Preferences{HeaderDigest: NeedDigest, NoImmediateData: true, MaxBurstLength: 16384, FirstBurstLength: 8192}
	c := call(t, Config{Preferences: wish}, newHouse())
	same(t, c.step(Operational, FullFeature, me, open, "FirstBurstLength=4096"), "TargetPortalGroupTag=1", "FirstBurstLength=4096",
		"MaxRecvDataSegmentLength=262144", "TargetAlias=the open one", "HeaderDigest=CRC32C", "ImmediateData=No", "MaxBurstLength=16384")
	c.want(Success, false, 0)
	same(t, c.step(Operational, FullFeature, "HeaderDigest=CRC32C"))
	c.want(Success, false, 0) // two answers are still due
	same(t, c.step(Operational, FullFeature, "ImmediateData=No", "MaxBurstLength=8192"))
	c.want(Success, true, FullFeature)
	if p := c.m.Result().Params; !p.HeaderDigest || p.ImmediateData || p.MaxBurstLength != 8192 {
		t.Errorf("agreed on %+v", p)
	}
	for answer, status := range map[string]Status{
		"HeaderDigest=None": InitiatorError, "ImmediateData=Yes": InitiatorError, "MaxBurstLength=16385": InitiatorError,
		"MaxBurstLength=Reject": Success, "ImmediateData=Irrelevant": Success, "HeaderDigest=NotUnderstood": Success,
	} {
		c := call(t, Config{Preferences: wish}, newHouse())
		c.step(Operational, FullFeature, me, open)
		c.step(Operational, FullFeature, answer)
		c.want(status, false, 0)
	}
}

func TestDiscoverySession(t *testing.T) {
	c := call(t, Config{}, newHouse())
	same(t, c.step(Operational, FullFeature, me, "SessionType=Discovery", "HeaderDigest=None", "InitialR2T=No", "MaxBurstLength=512", "ErrorRecoveryLevel=0"),
		"HeaderDigest=None", "InitialR2T=Irrelevant", "MaxBurstLength=Irrelevant", "ErrorRecoveryLevel=0", "MaxRecvDataSegmentLength=262144")
	c.want(Success, true, FullFeature)
	if r := c.m.Result(); !r.Discovery || r.Target.Name != "" {
		t.Errorf("agreed on %+v", r)
	}
}

// Each way in which a first request is refused.
func TestRefusedAtOnce(t *testing.T) {
	for name, c := range map[string]struct {
		req    Request
		data   string
		status Status
	}{
		"no InitiatorName":        {Request{Current: Operational}, text(open), MissingParameter},
		"nothing":                 {Request{Current: Operational}, "", MissingParameter},
		"bad InitiatorName":       {Request{Current: Operational}, text("InitiatorName=me", open), InitiatorError},
		"no TargetName":           {Request{Current: Operational}, text(me), MissingParameter},
		"bad TargetName":          {Request{Current: Operational}, text(me, "TargetName=x"), NotFound},
		"unknown target":          {Request{Current: Operational}, text(me, open+"er"), NotFound},
		"removed target":          {Request{Current: Operational}, text(me, "TargetName=iqn.2020-01.example:gone"), TargetRemoved},
		"moved target":            {Request{Current: Operational}, text(me, "TargetName=iqn.2020-01.example:moved"), MovedTemporarily},
		"not authorized":          {Request{Current: Operational}, text(me, private), NotAuthorized},
		"session type":            {Request{Current: Operational}, text(me, open, "SessionType=Other"), UnsupportedSession},
		"names that differ":       {Request{Current: Operational}, text(me, open, me+"2"), InitiatorError},
		"version":                 {Request{Current: Operational, VersionMin: 1, VersionMax: 2}, text(me, open), UnsupportedVersion},
		"stage 2":                 {Request{Current: 2}, text(me, open), InvalidDuringLogin},
		"stage 3":                 {Request{Current: FullFeature}, text(me, open), InvalidDuringLogin},
		"to stage 2":              {Request{Current: Operational, Next: 2, Transit: true}, text(me, open), InvalidDuringLogin},
		"backwards":               {Request{Current: Operational, Next: Security, Transit: true}, text(me, open), InvalidDuringLogin},
		"to the same stage":       {Request{Current: Operational, Next: Operational, Transit: true}, text(me, open), InvalidDuringLogin},
		"T and C":                 {Request{Current: Operational, Next: FullFeature, Transit: true, Continue: true}, text(me, open), InvalidDuringLogin},
		"joining for discovery":   {Request{Current: Operational, TSIH: 4}, text(me, "SessionType=Discovery"), InvalidDuringLogin},
		"no proof":                {Request{Current: Operational}, text(me, locked), AuthFailure},
		"no proof, straight on":   {Request{Current: Security, Next: FullFeature, Transit: true}, text(me, locked), AuthFailure},
		"AuthMethod=None":         {Request{Current: Security}, text(me, locked, "AuthMethod=None"), AuthFailure},
		"AuthMethod=KRB5":         {Request{Current: Security}, text(me, open, "AuthMethod=KRB5"), AuthFailure},
		"CHAP before AuthMethod":  {Request{Current: Security}, text(me, locked, "AuthMethod=CHAP", "CHAP_A=5"), InvalidDuringLogin},
		"security key, too late":  {Request{Current: Operational}, text(me, open, "AuthMethod=None"), InvalidDuringLogin},
		"operational key, early":  {Request{Current: Security}, text(me, open, "MaxBurstLength=512"), InvalidDuringLogin},
		"SendTargets":             {Request{Current: Operational}, text(me, open, "SendTargets=All"), InvalidDuringLogin},
		"a target's key":          {Request{Current: Operational}, text(me, open, "TargetAlias=x"), InitiatorError},
		"an answer to nothing":    {Request{Current: Operational}, text(me, open, "MaxBurstLength=Reject"), InitiatorError},
		"renegotiation":           {Request{Current: Operational}, text(me, open, "MaxBurstLength=512", "MaxBurstLength=512"), InitiatorError},
		"unknown key twice":       {Request{Current: Operational}, text(me, open, "X-a=1", "X-a=1"), InitiatorError},
		"segments of 511":         {Request{Current: Operational}, text(me, open, "MaxRecvDataSegmentLength=511"), InitiatorError},
		"segments of 16 MiB":      {Request{Current: Operational}, text(me, open, "MaxRecvDataSegmentLength=16777216"), InitiatorError},
		"no NUL":                  {Request{Current: Operational}, me + "\x00" + open, InitiatorError},
		"no =":                    {Request{Current: Operational}, text(me, open, "x"), InitiatorError},
		"no key":                  {Request{Current: Operational}, text(me, open, "=x"), InitiatorError},
		"bad key":                 {Request{Current: Operational}, text(me, open, "a b=x"), InitiatorError},
		"long key":                {Request{Current: Operational}, text(me, open, strings.Repeat("k", 64)+"=x"), InitiatorError},
		"long value":              {Request{Current: Operational}, text(me, open, "X-k="+strings.Repeat("v", 256)), InitiatorError},
		"long name":               {Request{Current: Operational}, text(me+strings.Repeat("e", 220), open), InitiatorError},
		"alias that is not UTF-8": {Request{Current: Operational}, text(me, open, "InitiatorAlias=\xff"), InitiatorError},
		"a segment too long":      {Request{Current: Operational}, strings.Repeat("\x00", MaxSegment+1), InitiatorError},
	} {
		t.Run(name, func(t *testing.T) {
			caller := call(t, Config{}, newHouse())
			got := caller.send(c.req, c.data)
			caller.want(c.status, false, 0)
			if c.status.Class() == 1 {
				same(t, got, "TargetAddress=192.0.2.1:3260")
			}
			caller.step(c.req.Current, c.req.Current) // nothing comes after that
			caller.want(InvalidDuringLogin, false, 0)
		})
	}
}

// Requests that do not belong to those before them.
func TestRefusedLater(t *testing.T) {
	for name, req := range map[string]Request{
		"another TSIH": {Current: Security, TSIH: 1}, "another CID": {Current: Security, CID: 1}, "another stage": {Current: Operational},
	} {
		c := call(t, Config{}, newHouse())
		c.step(Security, Security, me, open)
		c.send(req, "")
		if c.want(InvalidDuringLogin, false, 0); t.Failed() {
			t.Log(name)
		}
	}
	m := New(&Config{}, newHouse())
	m.Step(Request{Current: Security, TaskTag: 1}, []byte(text(me, open)))
	if res, verdict := m.Step(Request{Current: Security, TaskTag: 2}, nil); verdict != Failed || res.Status != InvalidDuringLogin {
		t.Errorf("another task tag: %v", res.Status)
	}
}

func TestJoiningConnection(t *testing.T) {
	c := call(t, Config{}, newHouse())
	same(t, c.send(Request{Current: Operational, Next: FullFeature, Transit: true, TSIH: 7, CID: 1},
		text(me, open, "MaxBurstLength=512", "HeaderDigest=CRC32C", "SessionType=Normal")),
		"TargetPortalGroupTag=1", "MaxBurstLength=Reject", "HeaderDigest=CRC32C", "MaxRecvDataSegmentLength=262144", "TargetAlias=the open one")
	c.want(Success, true, FullFeature)
	if r := c.m.Result(); !r.Params.HeaderDigest || r.CID != 1 || r.Key() != (Key{"iqn.2020-01.example:me", ISID{0x80, 1}, "iqn.2020-01.example:open", 1}) {
		t.Errorf("agreed on %+v", r)
	}
}

func TestRefuse(t *testing.T) {
	m := New(&Config{}, newHouse())
	req := Request{Current: Operational, Next: FullFeature, Transit: true, TaskTag: 5, TSIH: 9}
	if res := m.Accept(1); res.Status != TargetError {
		t.Errorf("accepted before anything was said: %+v", res)
	}
	m = New(&Config{}, newHouse())
	if _, verdict := m.Step(req, []byte(text(me, open))); verdict != Admit || m.Err() != nil {
		t.Fatal(verdict, m.Err())
	}
	if res := m.Refuse(NoSession); res.Status != NoSession || res.Transit || res.TaskTag != 5 || res.Text != nil || m.Err() == nil {
		t.Errorf("refused with %+v, %v", res, m.Err())
	}
	if res := m.Accept(1); res.Status != TargetError {
		t.Errorf("accepted after a refusal: %+v", res)
	}
}

// Text is cut wherever PDUs end, and may be 64 KiB in all.
func TestTextOverSeveralPDUs(t *testing.T) {
	c := call(t, Config{}, newHouse())
	all := text(me, open, "MaxBurstLength=131072")
	for _, b := range []byte(all[:len(all)-1]) {
		same(t, c.send(Request{Current: Operational, Continue: true}, string([]byte{b})))
		c.want(Success, false, 0)
	}
	c.send(Request{Current: Operational, Next: FullFeature, Transit: true}, all[len(all)-1:])
	c.want(Success, true, FullFeature)
	if p := c.m.Result().Params; p.MaxBurstLength != 131072 {
		t.Errorf("agreed on %+v", p)
	}

	c = call(t, Config{}, newHouse())
	for range 8 {
		c.send(Request{Current: Operational, Continue: true}, strings.Repeat("x", MaxSegment))
		c.want(Success, false, 0)
	}
	c.send(Request{Current: Operational, Continue: true}, "x")
	c.want(InitiatorError, false, 0)
}

// An answer longer than a PDU comes in several, and the stage ends with the last.
func TestLongAnswer(t *testing.T) {
	c := call(t, Config{}, newHouse())
	ask := []string{me, open}
	var want []string
	for i := range 1000 {
		ask = append(ask, fmt.Sprintf("X-%d=", i))
		want = append(want, fmt.Sprintf("X-%d=NotUnderstood", i))
	}
	c.step(Operational, FullFeature, ask...)
	var all strings.Builder
	for c.res.Continue {
		c.want(Success, false, 0)
		all.Write(c.res.Text)
		c.step(Operational, FullFeature)
	}
	all.Write(c.res.Text)
	c.want(Success, true, FullFeature)
	got := strings.Split(all.String(), "\x00")
	same(t, got[1:1001], want...)

	c = call(t, Config{}, newHouse())
	c.step(Operational, FullFeature, ask...)
	c.step(Operational, FullFeature, "X-more=1") // the target has the word
	c.want(InvalidDuringLogin, false, 0)
}

// What is asked for is bounded as what asks is: a key of 4 bytes has an answer of 17.
func TestAnswersAreBounded(t *testing.T) {
	c := call(t, Config{}, newHouse())
	var all strings.Builder
	all.WriteString(text(me, open))
	for i := 0; all.Len() < 60000; i++ {
		fmt.Fprintf(&all, "%x=\x00", i)
	}
	data := all.String()
	for len(data) > MaxSegment {
		c.send(Request{Current: Operational, Continue: true}, data[:MaxSegment])
		c.want(Success, false, 0)
		data = data[MaxSegment:]
	}
	c.send(Request{Current: Operational}, data)
	c.want(InitiatorError, false, 0)
}

// chapResponse answers the tests' challenge, 5a 5a ..., with MD5.
func chapResponse(secret string) string {
	b := slices.Concat([]byte{0x5a}, []byte(secret), bytes.Repeat([]byte{0x5a}, challengeSize))
	return fmt.Sprintf("CHAP_R=0x%X", md5.Sum(b))
}

// challenged is a login at the point where the challenge is out.
func challenged(t *testing.T) *caller {
	t.Helper()
	c := call(t, Config{}, newHouse())
	same(t, c.step(Security, Operational, me, locked, "AuthMethod=CHAP,None"), "TargetPortalGroupTag=1", "AuthMethod=CHAP")
	c.want(Success, false, 0)
	same(t, c.step(Security, Security, "CHAP_A=99,5,7"), "CHAP_A=5", "CHAP_I=90", "CHAP_C=0x"+strings.Repeat("5a", challengeSize))
	return c
}

func TestCHAP(t *testing.T) {
	c := challenged(t)
	same(t, c.step(Security, Operational, "CHAP_N=ann", chapResponse("ann's own secret")))
	c.want(Success, true, Operational)
	c.step(Operational, FullFeature)
	c.want(Success, true, FullFeature)
	if r := c.m.Result(); r.User != "ann" || r.Mutual {
		t.Errorf("agreed on %+v", r)
	}
}

func TestMutualCHAP(t *testing.T) {
	c := challenged(t)
	proof := md5.Sum([]byte("\x07target's own secret\x01\x02"))
	same(t, c.step(Security, FullFeature, "CHAP_N=ann", chapResponse("ann's own secret"), "CHAP_I=0x07", "CHAP_C=0bAQI="),
		"CHAP_N=target", fmt.Sprintf("CHAP_R=0x%x", proof))
	c.want(Success, true, FullFeature)
	if r := c.m.Result(); r.User != "ann" || !r.Mutual {
		t.Errorf("agreed on %+v", r)
	}
}

func TestCHAPRefused(t *testing.T) {
	good := chapResponse("ann's own secret")
	echo := "CHAP_C=0x" + strings.Repeat("5a", challengeSize)
	for name, c := range map[string]struct {
		pairs  []string
		status Status
	}{
		"wrong secret":             {[]string{"CHAP_N=ann", chapResponse("ann's old secret")}, AuthFailure},
		"unknown user":             {[]string{"CHAP_N=eve", good}, AuthFailure},
		"unknown user, stand-in":   {[]string{"CHAP_N=eve", chapResponse(strings.Repeat("\x5a", challengeSize))}, AuthFailure},
		"user without a secret":    {[]string{"CHAP_N=empty", chapResponse("")}, AuthFailure},
		"no user":                  {[]string{good}, AuthFailure},
		"no response":              {[]string{"CHAP_N=ann"}, AuthFailure},
		"empty response":           {[]string{"CHAP_N=ann", "CHAP_R=0x"}, AuthFailure},
		"short response":           {[]string{"CHAP_N=ann", good[:len(good)-2]}, AuthFailure},
		"long response":            {[]string{"CHAP_N=ann", good + "00"}, AuthFailure},
		"decimal response":         {[]string{"CHAP_N=ann", "CHAP_R=123"}, AuthFailure},
		"no hexadecimal":           {[]string{"CHAP_N=ann", "CHAP_R=0xzz"}, AuthFailure},
		"the method again":         {[]string{"AuthMethod=CHAP,None"}, InvalidDuringLogin},
		"another method":           {[]string{"AuthMethod=None"}, InitiatorError},
		"the algorithm again":      {[]string{"CHAP_A=99,5,7"}, InvalidDuringLogin},
		"another algorithm":        {[]string{"CHAP_A=7"}, InitiatorError},
		"challenge sent back":      {[]string{"CHAP_N=ann", good, "CHAP_I=1", echo}, AuthFailure},
		"one secret for both ways": {[]string{"CHAP_N=same", chapResponse("target's own secret"), "CHAP_I=1", "CHAP_C=0x01"}, AuthFailure},
		"target has no proof":      {[]string{"CHAP_N=nomutual", chapResponse("another secret!!"), "CHAP_I=1", "CHAP_C=0x01"}, AuthFailure},
		"challenge without id":     {[]string{"CHAP_N=ann", good, "CHAP_C=0x01"}, InitiatorError},
		"id without challenge":     {[]string{"CHAP_N=ann", good, "CHAP_I=1"}, InitiatorError},
		"id too large":             {[]string{"CHAP_N=ann", good, "CHAP_I=256", "CHAP_C=0x01"}, InitiatorError},
		"empty challenge":          {[]string{"CHAP_N=ann", good, "CHAP_I=1", "CHAP_C=0x"}, InitiatorError},
		"challenge of 1025 bytes":  {[]string{"CHAP_N=ann", good, "CHAP_I=1", "CHAP_C=0x" + strings.Repeat("00", 1025)}, InitiatorError},
	} {
		t.Run(name, func(t *testing.T) {
			caller := challenged(t)
			same(t, caller.step(Security, FullFeature, c.pairs...))
			caller.want(c.status, false, 0)
		})
	}
}

// A proof is good for its own challenge only, and nobody goes on without one.
func TestNoWayAroundCHAP(t *testing.T) {
	c := call(t, Config{Rand: bytes.NewReader(bytes.Repeat([]byte{0x77}, 100))}, newHouse())
	c.step(Security, Security, me, locked, "AuthMethod=CHAP")
	c.step(Security, Security, "CHAP_A=5")
	c.step(Security, Operational, "CHAP_N=ann", chapResponse("ann's own secret"))
	c.want(AuthFailure, false, 0)

	c = challenged(t)
	same(t, c.step(Security, FullFeature))
	c.want(Success, false, 0)
	c.step(Operational, FullFeature)
	c.want(InvalidDuringLogin, false, 0)

	h := newHouse()
	h.discovery = h.targets[1].Secrets
	c = call(t, Config{}, h)
	c.step(Operational, FullFeature, me, "SessionType=Discovery")
	c.want(AuthFailure, false, 0)

	c = call(t, Config{Algorithms: []Algorithm{SHA256}}, newHouse())
	c.step(Security, Security, me, locked, "AuthMethod=CHAP")
	c.step(Security, Security, "CHAP_A=5,6")
	c.want(AuthFailure, false, 0)

	c = call(t, Config{Rand: bytes.NewReader(nil)}, newHouse())
	c.step(Security, Security, me, locked, "AuthMethod=CHAP")
	c.step(Security, Security, "CHAP_A=5")
	c.want(TargetError, false, 0)
}
