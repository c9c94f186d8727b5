package poller

import "testing"

// A made event reads like the kernel's.
func TestNewEvent(t *testing.T) {
	for _, want := range []string{"none", "readable", "writable", "failed", "hungup", "readable|writable|hungup|failed"} {
		all := want == "readable|writable|hungup|failed"
		r := NewReadiness(all || want == "readable", all || want == "writable", all || want == "failed", all || want == "hungup")
		e := NewEvent(NewToken(7, 1<<31), r)
		if e.Token() != NewToken(7, 1<<31) || e.Readiness() != r || r.String() != want {
			t.Errorf("%v %v, want %s", e.Token(), e.Readiness(), want)
		}
	}
}
