package parallel

import (
	"fmt"
	"io"

	"github.com/nsreactor/nsreactor/bench/internal/page"
	"github.com/nsreactor/nsreactor/bench/internal/record"
)

// Section writes the newest run in dir as a part of the results page.
func Section(w io.Writer, dir string) error {
	file, err := record.Newest(dir, "parallel")
	if err != nil {
		return err
	}
	r, err := record.Load[Row, Summary](file)
	if err != nil {
		return err
	}
	page.Head(w, "One hot namespace on a device with several queues", r.Args, r.Machine, r.Seconds)
	page.Text(w, "The servers are in one namespace, the load in another, and between them is a veth pair with several queues whose packets are "+
		"spread over all CPUs by flow (RPS), as a network card's queues would spread them. Server and load share all CPUs, so what the load "+
		"and the kernel's receiving use is missing from the servers' part: the ideal of one loop times loops can't be reached. "+
		"Fewer loops than CPUs can't handle all requests where they are received: with one of two it is about half. "+
		"Windows of load go round between servers; ratios are taken within a round, and brackets hold the median's 95 %% bootstrap interval.")
	page.Verdicts(w, r.Summary.verdicts(r.Machine.CPUs))
	page.Pictures(w, r.Pictures)
	page.Table(w, tableHead, r.Summary.table())
	page.Warnings(w, r.Warnings)
	return nil
}

// The targets: at a handler's 100 microseconds a request two loops do at least 1.8
// times the work of one, and where each CPU has a loop nearly all requests stay on it.
const (
	targetWork    = 100
	targetSpeedUp = 1.8
	targetShare   = 0.95
)

// verdicts compares what was measured on so many CPUs to the targets. What was not
// measured has none.
func (s Summary) verdicts(cpus int) []page.Verdict {
	var all []page.Verdict
	for _, p := range s.of(targetWork, Reactor) {
		if p.Loops == 2 && p.RateRatio != nil {
			all = append(all, page.Verdict{
				What: fmt.Sprintf("two loops do at least %.1f times what one does, at %d µs a request", targetSpeedUp, targetWork),
				Got:  interval(p.RateRatio), Reached: p.RateRatio.Median >= targetSpeedUp,
			})
		}
	}
	for _, p := range s.of(targetWork, Threaded) {
		if p.RateRatio != nil {
			all = append(all, page.Verdict{
				What: "a thread per namespace stays below that, with the same CPUs there",
				Got:  interval(p.RateRatio), Reached: p.RateRatio.Median < targetSpeedUp,
			})
		}
	}
	for _, p := range s.Points {
		if p.Family == Reactor && p.Loops == cpus && p.Sampled > 0 {
			all = append(all, page.Verdict{
				What: fmt.Sprintf("%s, %d µs: at least %.0f %% of requests are handled on the CPU that has received them", p.Server, p.Work, targetShare*100),
				Got:  percent(p.share()), Reached: p.share() >= targetShare,
			})
		}
	}
	return all
}
