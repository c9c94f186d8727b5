package demo

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// report writes the tables, if there is something to put in them, the timeline
// and the verdict.
func (s *show) report(err error) {
	w := s.Report
	if s.namespaces != nil {
		fmt.Fprintln(w)
		s.namespaceTable().write(w)
		fmt.Fprintln(w)
		s.loopTable().write(w)
		fmt.Fprintf(w, "\n%s, deleted under load and made again:\n", s.rebirth.name)
		for _, e := range s.rebirth.events {
			fmt.Fprintf(w, "  %10s  %s\n", millis(e.after), e.what)
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintln(w, s.verdict(err))
}

func (s *show) verdict(err error) string {
	if err != nil {
		return "FAIL " + oneLine(err)
	}
	return fmt.Sprintf("PASS %s messages in %d namespaces with one address, each answered from its own, in order, none lost; "+
		"%s came back as another namespace and was served again after %s",
		grouped(s.messages()), len(s.crowds), s.rebirth.name, millis(s.rebirth.served))
}

// oneLine is the first few of an error's lines.
func oneLine(err error) string {
	const most = 5
	lines := strings.Split(err.Error(), "\n")
	if more := len(lines) - most; more > 0 {
		lines = append(lines[:most], fmt.Sprintf("and %d more", more))
	}
	return strings.Join(lines, "; ")
}

// fewRows is how many namespaces the table shows before it sums up those of
// which there is nothing special to say.
const fewRows = 16

func (s *show) namespaceTable() *table {
	t := &table{left: 2}
	t.add("NAMESPACE", "ID", "CONNECTIONS", "MESSAGES", "BYTES IN", "BYTES OUT", "ERRORS", "")
	var total, rest tally
	for i, c := range s.crowds {
		row := s.tally(c)
		total.add(row)
		note := s.note(c)
		if len(s.crowds) > 2*fewRows && i >= fewRows && note == "" && row.errors == 0 {
			rest.add(row)
			continue
		}
		t.add(append(append([]string{c.name, c.id.String()}, row.cells()...), note)...)
	}
	if rest.namespaces > 0 {
		t.add(append([]string{fmt.Sprintf("%d more", rest.namespaces), ""}, rest.cells()...)...)
	}
	t.add(append([]string{"total", ""}, total.cells()...)...)
	return t
}

// note is what is special about a namespace.
func (s *show) note(c *crowd) string {
	switch c.id {
	case s.rebirth.old:
		return "deleted, drained, released"
	case s.rebirth.new:
		return "made again under the same name"
	}
	return ""
}

// tally is a row of the table of namespaces.
type tally struct {
	namespaces, connections, errors int
	messages, in, out               uint64
}

// tally counts at the clients; of errors it also has those that the engine
// knows of.
func (s *show) tally(c *crowd) tally {
	sent, received := c.traffic()
	return tally{
		namespaces: 1, connections: len(c.clients), messages: c.messages.Load(), in: sent, out: received,
		errors: len(c.failures()) + int(errorSum(s.namespaces[c.id].Errors)),
	}
}

func (t *tally) add(o tally) {
	t.namespaces += o.namespaces
	t.connections += o.connections
	t.errors += o.errors
	t.messages += o.messages
	t.in += o.in
	t.out += o.out
}

func (t *tally) cells() []string {
	return []string{
		strconv.Itoa(t.connections), grouped(t.messages), grouped(t.in), grouped(t.out), strconv.Itoa(t.errors),
	}
}

func (s *show) loopTable() *table {
	t := &table{left: 1}
	t.add("LOOP", "CPU", "EVENTS", "SWITCHES", "AVOIDED", "SWITCHES PER EVENT", "TIME PER SWITCH", "")
	var events, switches, avoided uint64
	var spent time.Duration
	for _, l := range s.loops {
		t.add(strconv.Itoa(l.Index), strconv.Itoa(l.CPU), grouped(l.Events), grouped(l.Switches), grouped(l.SwitchesAvoided),
			ratio(l.Switches, l.Events), perSwitch(l.SwitchTime, l.Switches))
		events += l.Events
		switches += l.Switches
		avoided += l.SwitchesAvoided
		spent += l.SwitchTime
	}
	t.add("total", "", grouped(events), grouped(switches), grouped(avoided), ratio(switches, events), perSwitch(spent, switches),
		"mode "+s.Mode)
	return t
}

func ratio(a, b uint64) string {
	if b == 0 {
		return "-"
	}
	return strconv.FormatFloat(float64(a)/float64(b), 'f', 2, 64)
}

func perSwitch(spent time.Duration, switches uint64) string {
	if switches == 0 {
		return "-"
	}
	return strconv.FormatFloat(float64(spent)/float64(switches)/1e3, 'f', 1, 64) + " µs"
}

func millis(d time.Duration) string {
	return strconv.FormatFloat(float64(d)/1e6, 'f', 1, 64) + " ms"
}

// count is a number of things.
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return grouped(uint64(n)) + " " + thing + "s"
}

// grouped is a number with its thousands apart.
func grouped(n uint64) string {
	digits := strconv.FormatUint(n, 10)
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return b.String()
}

// table is cells in columns.
type table struct {
	left   int // how many columns are aligned to the left; so is the last of the first row
	rows   [][]string
	widths []int
}

func (t *table) add(cells ...string) {
	t.rows = append(t.rows, cells)
	for i, cell := range cells {
		if i == len(t.widths) {
			t.widths = append(t.widths, 0)
		}
		t.widths[i] = max(t.widths[i], utf8.RuneCountInString(cell))
	}
}

func (t *table) write(w io.Writer) {
	last := len(t.rows[0]) - 1
	for _, row := range t.rows {
		var b strings.Builder
		for i, cell := range row {
			pad := strings.Repeat(" ", t.widths[i]-utf8.RuneCountInString(cell))
			if i < t.left || i == last {
				b.WriteString(cell + pad + "  ")
			} else {
				b.WriteString(pad + cell + "  ")
			}
		}
		fmt.Fprintln(w, strings.TrimRight(b.String(), " "))
	}
}
