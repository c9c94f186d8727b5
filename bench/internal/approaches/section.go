package approaches

import (
	"io"

	"github.com/nsreactor/nsreactor/bench/internal/page"
	"github.com/nsreactor/nsreactor/bench/internal/record"
)

// Section writes the newest run's part of the results page.
func Section(w io.Writer, dir string) error {
	name, err := record.Newest(dir, "approaches")
	if err != nil {
		return err
	}
	r, err := record.Load[Row, Result](name)
	if err != nil {
		return err
	}
	page.Head(w, "The paper's three approaches", r.Args, r.Machine, r.Seconds)
	page.Text(w, "%s", whatWasRun)
	page.Verdicts(w, r.Summary.verdicts())
	page.Pictures(w, r.Pictures)
	page.Table(w, head(), r.Summary.rows())
	end := page.Fold(w, "The same as ratios to nsr-any, with the medians' 95 % intervals")
	page.Table(w, ratioHead(), r.Summary.ratioRows())
	end()
	page.Warnings(w, r.Warnings)
	return nil
}

// whatWasRun says what the servers are and how they were measured.
const whatWasRun = "One service, built in the paper's three ways: a request names a volume, the server looks it up in one table " +
	"that all namespaces share, counts the request there, and answers. `forked` is a process a namespace that asks a core process, " +
	"which has the table, over a socketpair; `threaded` is one process with a gnet engine, and so a thread, a namespace " +
	"(`threaded-locked` keeps each thread in its namespace, as the paper does; plain `threaded`, like `nsr-any`, does not promise handlers " +
	"where they are); `nsr-` is nsreactor with one loop, which switches never (`any`), when the namespace changes (`namespace`, the default), or " +
	"in and back for each event (`always`, what the paper did). Each approach has one CPU for all its processes and threads, and the " +
	"load has the other: this compares what a request costs, not what several CPUs could do. Depth is 1. Throughput, CPU time and latencies are medians of " +
	"windows that go round between the servers, all up and connected; memory, threads, start-up and the time to add one more namespace to a " +
	"running server are medians of lives in which no other server is up. Company is CPU time a request beside the others to that alone, which " +
	"should be about 1. At the end of each life the table's count was compared to the " +
	"load's; a difference would be among the warnings."
