package observe

import (
	"encoding/json"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/nsreactor/nsreactor/examples/iscsi-stub/login"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/qos"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/scsi"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/session"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/volume"
	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

func TestMain(m *testing.M) { nstest.Main(m) }

func TestBuckets(t *testing.T) {
	for _, test := range []struct {
		d    time.Duration
		want int
	}{
		{-1, 0},
		{0, 0},
		{16 * time.Microsecond, 0},
		{16*time.Microsecond + 1, 1},
		{32 * time.Microsecond, 1},
		{32*time.Microsecond + 1, 2},
		{4194304 * time.Microsecond, buckets - 1},
		{4194304*time.Microsecond + 1, buckets},
		{time.Hour, buckets},
	} {
		if got := bucketOf(test.d); got != test.want {
			t.Errorf("%v is in bucket %d, want %d", test.d, got, test.want)
		}
	}
	var h histogram
	h.add(20 * time.Microsecond)
	h.add(time.Hour)
	count, sum, upTo := h.read()
	if count != 2 || sum != 3600.00002 || len(upTo) != buckets || upTo[16e-6] != 0 || upTo[32e-6] != 1 || upTo[4.194304] != 1 {
		t.Errorf("read %d, %v, %v", count, sum, upTo)
	}
}

// unit is a logical unit whose commands count for a volume.
func unit(t *testing.T, meter any) *scsi.Unit {
	t.Helper()
	v, err := volume.Open(volume.Config{Name: "blue/disk", Kind: volume.Null, Blocks: 8})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() })
	u, err := scsi.NewUnit(scsi.UnitConfig{Volume: v, Meter: meter})
	if err != nil {
		t.Fatal(err)
	}
	return u
}

type noSessions struct{}

func (noSessions) Sessions() []session.State { return nil }

type someVolumes struct{}

func (someVolumes) Volumes(each func(string, string, int, qos.Counters)) {
	each("blue", "disk", 5, qos.Counters{Limited: qos.Delays{IOs: 3, For: time.Second}})
}

func TestCounts(t *testing.T) {
	o := New()
	meter, release := o.Meter("blue", "disk")
	u, at := unit(t, meter), &session.Info{Tenant: "blue"}
	for _, e := range []session.Ended{
		{Unit: u, Opcode: 0x28, BytesIn: 512, Latency: time.Millisecond},
		{Unit: u, Opcode: 0x8A, BytesOut: 1024, Latency: time.Millisecond},
		{Unit: u, Opcode: 0x2A, Status: scsi.CheckCondition, SenseKey: scsi.MediumError},
		{Unit: u, Opcode: 0x00, Status: scsi.ReservationConflict},
		{Unit: u, Opcode: 0x28, Aborted: true},
		{Opcode: 0x28}, // no such unit
		{Unit: unit(t, nil), Opcode: 0x28},
	} {
		o.CommandEnded(at, e)
	}
	o.SessionOpened(at)
	o.SessionClosed(at, "logout")
	o.LoginFailed("blue", "x", &login.Error{Status: login.NotFound})
	o.Violated("", session.NobodysPlace)
	c := o.Collector(noSessions{}, someVolumes{})
	err := testutil.CollectAndCompare(c, strings.NewReader(`
# HELP iscsi_bytes_total Bytes read by initiators (in) and written by them (out).
# TYPE iscsi_bytes_total counter
iscsi_bytes_total{direction="in",tenant="blue",volume="disk"} 512
iscsi_bytes_total{direction="out",tenant="blue",volume="disk"} 1024
# HELP iscsi_command_errors_total Commands that ended with another status than GOOD, by sense key, or by status if that is not CHECK CONDITION.
# TYPE iscsi_command_errors_total counter
iscsi_command_errors_total{error="medium_error",tenant="blue",volume="disk"} 1
iscsi_command_errors_total{error="reservation_conflict",tenant="blue",volume="disk"} 1
# HELP iscsi_commands_aborted_total Commands that ended without a status.
# TYPE iscsi_commands_aborted_total counter
iscsi_commands_aborted_total{tenant="blue",volume="disk"} 1
# HELP iscsi_commands_without_unit_total Commands for a logical unit that there isn't.
# TYPE iscsi_commands_without_unit_total counter
iscsi_commands_without_unit_total{tenant="blue"} 1
# HELP iscsi_logins_total Logins by their outcome.
# TYPE iscsi_logins_total counter
iscsi_logins_total{outcome="success",tenant="blue"} 1
iscsi_logins_total{outcome="target not found",tenant="blue"} 1
# HELP iscsi_qos_delayed_total I/Os that had to wait, for the volume's own limit or for others' minimum.
# TYPE iscsi_qos_delayed_total counter
iscsi_qos_delayed_total{cause="limit",tenant="blue",volume="disk"} 3
iscsi_qos_delayed_total{cause="others",tenant="blue",volume="disk"} 0
# HELP iscsi_queue_depth Commands under way at a volume.
# TYPE iscsi_queue_depth gauge
iscsi_queue_depth{tenant="blue",volume="disk"} 5
# HELP iscsi_violations_total What peers should not have done, by kind.
# TYPE iscsi_violations_total counter
iscsi_violations_total{kind="no_tenant",tenant=""} 1
`), "iscsi_bytes_total", "iscsi_command_errors_total", "iscsi_commands_aborted_total", "iscsi_commands_without_unit_total",
		"iscsi_logins_total", "iscsi_qos_delayed_total", "iscsi_queue_depth", "iscsi_violations_total")
	if err != nil {
		t.Error(err)
	}
	problems, err := testutil.CollectAndLint(c)
	if err != nil || len(problems) > 0 {
		t.Errorf("lint: %v, %v", problems, err)
	}
	if m := meter.(*Meter); m.latency[read].counts[6].Load() != 1 || m.latency[write].counts[6].Load() != 1 {
		t.Error("latencies are not where they should be")
	}
	release()
	if n := testutil.CollectAndCount(c, "iscsi_bytes_total"); n != 0 {
		t.Errorf("a volume that is gone has %d series", n)
	}
}

// A command costs no allocation.
func TestCommandEndedAllocatesNothing(t *testing.T) {
	o := New()
	meter, _ := o.Meter("blue", "disk")
	e, at := session.Ended{Unit: unit(t, meter), Opcode: 0x28, BytesIn: 512, Latency: time.Millisecond}, &session.Info{Tenant: "blue"}
	if n := testing.AllocsPerRun(100, func() { o.CommandEnded(at, e) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

type oneSession struct{}

func (oneSession) Sessions() []session.State {
	return []session.State{{
		Info:        &session.Info{Tenant: "blue", Target: "t", Opened: time.Now().Add(-time.Minute), Params: login.DefaultParams()},
		Connections: []session.ConnectionState{{CID: 1, Remote: netip.MustParseAddrPort("10.0.0.1:1"), DataDigest: true}},
	}}
}

func TestPage(t *testing.T) {
	w := httptest.NewRecorder()
	Page(oneSession{}).ServeHTTP(w, httptest.NewRequest("GET", "/sessions", nil))
	var page struct{ Sessions []sessionView }
	if err := json.Unmarshal(w.Body.Bytes(), &page); err != nil || len(page.Sessions) != 1 {
		t.Fatalf("%s, %v", w.Body, err)
	}
	s := page.Sessions[0]
	if s.Tenant != "blue" || s.Age < 50 || s.Params.MaxBurstLength != 262144 || len(s.Connections) != 1 || !s.Connections[0].DataDigest {
		t.Errorf("%s", w.Body)
	}
}

func BenchmarkCommandEnded(b *testing.B) {
	o := New()
	meter, _ := o.Meter("blue", "disk")
	v, err := volume.Open(volume.Config{Name: "blue/disk", Kind: volume.Null, Blocks: 8})
	if err != nil {
		b.Fatal(err)
	}
	defer v.Close()
	u, err := scsi.NewUnit(scsi.UnitConfig{Volume: v, Meter: meter})
	if err != nil {
		b.Fatal(err)
	}
	e, at := session.Ended{Unit: u, Opcode: 0x28, BytesIn: 4096, Latency: 50 * time.Microsecond}, &session.Info{Tenant: "blue"}
	b.ReportAllocs()
	for b.Loop() {
		o.CommandEnded(at, e)
	}
}
