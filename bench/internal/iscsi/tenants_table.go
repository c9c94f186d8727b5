package iscsi

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/nsreactor/nsreactor/bench/internal/page"
	"github.com/nsreactor/nsreactor/bench/internal/record"
)

// section writes the results page's part.
func (c *Tenants) section(w io.Writer, r *record.Record[House, struct{}]) {
	if len(r.Rows) == 0 {
		return
	}
	page.Head(w, fmt.Sprintf("%d tenants with one address", c.Tenants), r.Args, r.Machine, r.Seconds)
	page.Text(w, "Each tenant has a network namespace, in which 127.0.0.1:3260 is its target, with one disk of 16 MiB, a file with nothing in it on tmpfs, and one session. "+
		"examples/iscsi-stub serves all in one process with one loop; of tgtd (%s) there is one in each namespace, with its default threads. Start-up is until the last tenant is logged in. "+
		"Idle: sessions and nothing else, for %d s. Light: each reads 4 KiB %g times a second. Burst: all at once read 4 KiB %d times, one after the other each. "+
		"Memory is the processes' (PSS), after all that, without the kernel's for namespaces and sockets.",
		strings.Join(r.Versions, ", "), c.Seconds, c.Rate, c.Burst)
	head := []string{""}
	for _, h := range r.Rows {
		head = append(head, h.Server)
	}
	if len(r.Rows) == 2 {
		head = append(head, "ratio")
	}
	page.Table(w, head, houseRows(r.Rows))
	page.Warnings(w, r.Warnings)
}

// houseRows has a line a figure and a column a server, and how many times the first's the
// second's is.
func houseRows(all []House) [][]string {
	millis := func(d time.Duration) float64 { return d.Seconds() * 1e3 }
	var rows [][]string
	for _, figure := range []struct {
		name, format string
		value        func(House) float64
	}{
		{"processes", "%.0f", func(h House) float64 { return float64(h.Processes) }},
		{"threads", "%.0f", func(h House) float64 { return float64(h.Threads) }},
		{"descriptors", "%.0f", func(h House) float64 { return float64(h.Files) }},
		{"memory, MiB", "%.1f", func(h House) float64 { return float64(h.PSS) / 1024 }},
		{"start-up, s", "%.2f", func(h House) float64 { return h.Start.Seconds() }},
		{"idle, % of a CPU", "%.2f", func(h House) float64 { return h.Idle * 100 }},
		{"light, I/Os a second", "%.0f", func(h House) float64 { return h.Light.IOPS }},
		{"light, CPU an I/O, µs", "%.1f", func(h House) float64 { return h.Light.CPU }},
		{"light, p50, ms", "%.2f", func(h House) float64 { return millis(h.Light.P50) }},
		{"light, p99, ms", "%.2f", func(h House) float64 { return millis(h.Light.P99) }},
		{"burst, I/Os a second", "%.0f", func(h House) float64 { return h.Burst.IOPS }},
		{"burst, CPU an I/O, µs", "%.1f", func(h House) float64 { return h.Burst.CPU }},
		{"burst, p50, ms", "%.2f", func(h House) float64 { return millis(h.Burst.P50) }},
		{"burst, p99, ms", "%.2f", func(h House) float64 { return millis(h.Burst.P99) }},
	} {
		row := []string{figure.name}
		for _, h := range all {
			row = append(row, fmt.Sprintf(figure.format, figure.value(h)))
		}
		if len(all) == 2 {
			row = append(row, fmt.Sprintf("%.2f", figure.value(all[1])/figure.value(all[0])))
		}
		rows = append(rows, row)
	}
	return rows
}
