package approaches

import "fmt"

// A metric is one thing that approaches are compared in.
type metric struct {
	key    string // in the record
	name   string // at the head of a column
	phrase string // what is compared, within a sentence; not compared if empty
	more   bool   // is better
	alone  bool   // is taken from lives alone, not side by side
	value  func(Row) float64
	format func(float64) string
}

// metrics, in the order of the table.
var metrics = []metric{
	{key: "rate", name: "requests/s", phrase: "throughput", more: true, value: func(r Row) float64 { return r.Rate }, format: digits},
	{key: "cpu_us", name: "CPU µs/request", phrase: "CPU time a request", value: func(r Row) float64 { return r.CPUMicros }, format: digits},
	{key: "p50_us", name: "p50 µs", phrase: "median latency", value: func(r Row) float64 { return r.P50 }, format: digits},
	{key: "p99_us", name: "p99 µs", phrase: "p99", value: func(r Row) float64 { return r.P99 }, format: digits},
	{key: "p999_us", name: "p99.9 µs", phrase: "p99.9", value: func(r Row) float64 { return r.P999 }, format: digits},
	{key: "pss_mib", name: "PSS MiB", phrase: "memory", alone: true, value: func(r Row) float64 { return float64(r.Life.Memory.PSS) / 1024 }, format: digits},
	{key: "processes", name: "processes", alone: true, value: func(r Row) float64 { return float64(r.Life.Processes) }, format: digits},
	{key: "threads", name: "threads", phrase: "number of threads", alone: true, value: func(r Row) float64 { return float64(r.Life.Threads) }, format: digits},
	{key: "start_ms", name: "start ms", phrase: "time to start", alone: true, value: func(r Row) float64 { return r.Life.Started * 1e3 }, format: digits},
	{key: "add_ms", name: "add one ms", phrase: "time to add a namespace", alone: true, value: func(r Row) float64 { return r.Life.Added * 1e3 }, format: digits},
}

// metricOf finds a metric by its key.
func metricOf(key string) metric {
	for _, m := range metrics {
		if m.key == key {
			return m
		}
	}
	panic("no metric " + key)
}

// digits writes a figure with three digits, or as a whole number if it has more.
func digits(v float64) string {
	switch {
	case v >= 100 || v == float64(int(v)):
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.2f", v)
	}
}
