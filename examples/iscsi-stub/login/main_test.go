package login

import (
	"testing"

	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

func TestMain(m *testing.M) { nstest.Main(m) }

func TestPlan(t *testing.T) {
	live := &Live{TSIH: 7, MaxConnections: 2, CIDs: []uint16{0}}
	full := &Live{TSIH: 7, MaxConnections: 1, CIDs: []uint16{0}}
	for _, c := range []struct {
		name      string
		tsih, cid uint16
		live      *Live
		plan      Plan
		status    Status
	}{
		{"new session", 0, 0, nil, NewSession, Success},
		{"session reinstatement", 0, 3, live, ReinstateSession, Success},
		{"one more connection", 7, 1, live, JoinSession, Success},
		{"connection reinstatement", 7, 0, full, ReinstateConnection, Success},
		{"too many", 7, 1, full, 0, TooManyConnections},
		{"another session's TSIH", 8, 1, live, 0, NoSession},
		{"no such session", 7, 1, nil, 0, NoSession},
	} {
		r := Result{TSIH: c.tsih, CID: c.cid}
		if plan, status := r.Plan(c.live); plan != c.plan || status != c.status {
			t.Errorf("%s: %v, %v; want %v, %v", c.name, plan, status, c.plan, c.status)
		}
	}
}
