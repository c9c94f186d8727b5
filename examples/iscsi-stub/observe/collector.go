package observe

import (
	"fmt"
	"maps"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/nsreactor/nsreactor/examples/iscsi-stub/qos"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/scsi"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/session"
)

// Sessions are a *session.Server's.
type Sessions interface{ Sessions() []session.State }

// Volumes is who knows of each volume how many commands are under way at it, and what its
// quality of service has done: a *tenant.Directory.
type Volumes interface {
	Volumes(each func(tenant, volume string, depth int, c qos.Counters))
}

// Collector is a prometheus.Collector of what an Observer has counted. It has as many series as the
// tenants file has volumes, and no more for what peers do.
type Collector struct {
	o        *Observer
	sessions Sessions
	volumes  Volumes
}

// Collector collects, with what else there is to be asked at the moment.
func (o *Observer) Collector(s Sessions, v Volumes) *Collector { return &Collector{o, s, v} }

var (
	durationDesc = desc("command_duration_seconds", "How long SCSI commands took, from their arrival to their status.", "tenant", "volume", "operation")
	bytesDesc    = desc("bytes_total", "Bytes read by initiators (in) and written by them (out).", "tenant", "volume", "direction")
	errorsDesc   = desc("command_errors_total", "Commands that ended with another status than GOOD, by sense key, or by status if that is not CHECK CONDITION.", "tenant", "volume", "error")
	abortedDesc  = desc("commands_aborted_total", "Commands that ended without a status.", "tenant", "volume")
	nowhereDesc  = desc("commands_without_unit_total", "Commands for a logical unit that there isn't.", "tenant")
	loginsDesc   = desc("logins_total", "Logins by their outcome.", "tenant", "outcome")
	closedDesc   = desc("sessions_closed_total", "Sessions that have ended, by why.", "tenant", "reason")
	wrongsDesc   = desc("violations_total", "What peers should not have done, by kind.", "tenant", "kind")
	sessionsDesc = desc("sessions", "Sessions that are open; discovery sessions have no target.", "tenant", "target")
	connsDesc    = desc("connections", "Connections of sessions.", "tenant", "target")
	tasksDesc    = desc("tasks", "Commands under way in sessions.", "tenant", "target")
	depthDesc    = desc("queue_depth", "Commands under way at a volume.", "tenant", "volume")
	waitsDesc    = desc("qos_delayed_total", "I/Os that had to wait, for the volume's own limit or for others' minimum.", "tenant", "volume", "cause")
	waitedDesc   = desc("qos_delay_seconds_total", "For how long I/Os had to wait.", "tenant", "volume", "cause")
	unmetDesc    = desc("qos_unmet_seconds_total", "For how long the minimum was wanted and not reached.", "tenant", "volume")
)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("iscsi_"+name, help, labels, nil)
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		durationDesc, bytesDesc, errorsDesc, abortedDesc, nowhereDesc, loginsDesc, closedDesc, wrongsDesc,
		sessionsDesc, connsDesc, tasksDesc, depthDesc, waitsDesc, waitedDesc, unmetDesc,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(ch chan<- prometheus.Metric) {
	c.o.mu.Lock()
	meters := maps.Clone(c.o.meters)
	pairs(ch, loginsDesc, c.o.logins)
	pairs(ch, closedDesc, c.o.closed)
	pairs(ch, wrongsDesc, c.o.wrongs)
	for tenant, n := range c.o.nowhere {
		counter(ch, nowhereDesc, n, tenant)
	}
	c.o.mu.Unlock()
	for at, m := range meters {
		m.collect(ch, at.tenant, at.volume)
	}
	c.collectSessions(ch)
	c.volumes.Volumes(func(tenant, volume string, depth int, n qos.Counters) {
		gauge(ch, depthDesc, depth, pair{tenant, volume})
		collectQoS(ch, tenant, volume, n)
	})
}

func (m *Meter) collect(ch chan<- prometheus.Metric, tenant, volume string) {
	for op, name := range operationNames {
		count, sum, upTo := m.latency[op].read()
		ch <- prometheus.MustNewConstHistogram(durationDesc, count, sum, upTo, tenant, volume, name)
	}
	counter(ch, bytesDesc, m.bytesIn.Load(), tenant, volume, "in")
	counter(ch, bytesDesc, m.bytesOut.Load(), tenant, volume, "out")
	counter(ch, abortedDesc, m.aborted.Load(), tenant, volume)
	for key := range m.senses {
		if n := m.senses[key].Load(); n > 0 {
			counter(ch, errorsDesc, n, tenant, volume, label(scsi.SenseKey(key)))
		}
	}
	for i, status := range otherStatuses {
		if n := m.statuses[i].Load(); n > 0 {
			counter(ch, errorsDesc, n, tenant, volume, label(status))
		}
	}
}

// label is a name of a standard's, "ILLEGAL REQUEST", as a label has it.
func label(name fmt.Stringer) string {
	return strings.ReplaceAll(strings.ToLower(name.String()), " ", "_")
}

func (c *Collector) collectSessions(ch chan<- prometheus.Metric) {
	type sum struct{ sessions, conns, tasks int }
	sums := make(map[pair]sum)
	for _, s := range c.sessions.Sessions() {
		at := pair{s.Tenant, s.Target}
		n := sums[at]
		sums[at] = sum{n.sessions + 1, n.conns + len(s.Connections), n.tasks + s.Tasks}
	}
	for at, n := range sums {
		gauge(ch, sessionsDesc, n.sessions, at)
		gauge(ch, connsDesc, n.conns, at)
		gauge(ch, tasksDesc, n.tasks, at)
	}
}

func collectQoS(ch chan<- prometheus.Metric, tenant, volume string, n qos.Counters) {
	for cause, d := range map[string]qos.Delays{"limit": n.Limited, "others": n.Yielded} {
		counter(ch, waitsDesc, d.IOs, tenant, volume, cause)
		ch <- prometheus.MustNewConstMetric(waitedDesc, prometheus.CounterValue, d.For.Seconds(), tenant, volume, cause)
	}
	ch <- prometheus.MustNewConstMetric(unmetDesc, prometheus.CounterValue, n.Unmet.Seconds(), tenant, volume)
}

func pairs(ch chan<- prometheus.Metric, d *prometheus.Desc, counts map[pair]uint64) {
	for at, n := range counts {
		counter(ch, d, n, at.tenant, at.what)
	}
}

func counter(ch chan<- prometheus.Metric, d *prometheus.Desc, n uint64, labels ...string) {
	ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
}

func gauge(ch chan<- prometheus.Metric, d *prometheus.Desc, n int, at pair) {
	ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(n), at.tenant, at.what)
}
