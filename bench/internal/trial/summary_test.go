package trial

import (
	"math"
	"strings"
	"testing"
)

func TestSummarizeDividesWithinARound(t *testing.T) {
	window := func(server string, round int, cpu float64) Window {
		return Window{Server: server, Round: round, CPUMicros: cpu, Rate: 1000}
	}
	results := Results{
		// Round 1 was twice as slow for both, round 2 lacks the floor, and rounds come in any order.
		Windows: []Window{
			window("mine", 2, 99), window("floor", 1, 20), window("floor", 0, 10), window("mine", 0, 12), window("mine", 1, 22),
		},
		Lives: []Life{{Server: "mine", Threads: 3, Counters: Counters{Events: 10, Waits: 5, Switches: 2}}},
	}
	servers := []Server{{Name: "floor", Floor: "floor"}, {Name: "mine", Floor: "floor"}, {Name: "absent", Floor: "floor"}}
	got := Summarize(servers, results)
	if len(got) != 2 || got[0].Server != "floor" || got[1].Server != "mine" {
		t.Fatalf("got %+v", got)
	}
	mine := got[1]
	if mine.CPUMicros != 22 || math.Abs(mine.CPURatio.Median-1.15) > 1e-9 || mine.CPURatio.N != 2 {
		t.Errorf("got %+v, ratio %+v; want a median of 22, and of 1.2 and 1.1", mine, mine.CPURatio)
	}
	if mine.Threads != 3 || mine.Batch != 2 || mine.Switches != 0.2 {
		t.Errorf("life: got %+v", mine)
	}
	if got[0].CPURatio.Median != 1 {
		t.Errorf("a floor's ratio to itself is %+v", got[0].CPURatio)
	}
}

func TestDoubtsNameANoisyFloorAndABusyLoad(t *testing.T) {
	servers := []Server{{Name: "floor", Floor: "floor"}, {Name: "mine", Floor: "floor"}}
	if got := Doubts(servers, []Summary{{Server: "floor", Spread: 0.05, LoadShare: 0.5}, {Server: "mine", Spread: 0.5}}); got != nil {
		t.Errorf("a quiet floor: got %q", got)
	}
	got := Doubts(servers, []Summary{{Server: "floor", Spread: 0.2}, {Server: "mine", LoadShare: 0.95}})
	if len(got) != 2 || !strings.Contains(got[0], "noisy") || !strings.Contains(got[1], "95 %") {
		t.Errorf("got %q", got)
	}
}

func TestParseCountersSkipsALibrarysLog(t *testing.T) {
	got, err := parseCounters([]byte("gnet is leaving\n{\"events\":7,\"epoll_waits\":2,\"switches\":1}\nbye\n"))
	if want := (Counters{Events: 7, Waits: 2, Switches: 1}); err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	if got, err := parseCounters(nil); err != nil || got != (Counters{}) {
		t.Errorf("no output: got %+v, %v", got, err)
	}
}

func TestHistogramKeepsTheLoadsCounts(t *testing.T) {
	r := loadReport{Latency: [][2]int64{{1000, 98}, {50_000, 1}, {3_000_000, 1}}}
	h := r.histogram()
	if h.TotalCount() != 100 || micros(h, 50) != 1 || math.Abs(micros(h, 99)-50) > 0.1 || math.Abs(micros(h, 100)-3000) > 3 {
		t.Errorf("got %d values, p50 %v, p99 %v, max %v", h.TotalCount(), micros(h, 50), micros(h, 99), micros(h, 100))
	}
}
