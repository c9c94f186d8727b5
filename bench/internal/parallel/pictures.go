package parallel

import (
	"errors"
	"fmt"

	"github.com/nsreactor/nsreactor/bench/internal/figure"
)

// draw makes the pictures: throughput by loops for each cost of a request, and the share
// of requests that stay on their CPU.
func draw(base string, s Summary, caption string) (names []string, err error) {
	for _, micros := range s.works() {
		name := fmt.Sprintf("%s-work%d", base, micros)
		picture := figure.Lines{
			Title: fmt.Sprintf("One hot namespace, a handler that computes %d µs a request", micros),
			X:     "loops", Y: "requests a second", Caption: caption, Series: throughput(s, micros),
		}
		names, err = append(names, name), errors.Join(err, picture.Save(name))
	}
	share := sharePicture(s, caption)
	if len(share.Series) > 0 {
		names, err = append(names, base+"-share"), errors.Join(err, share.Save(base+"-share"))
	}
	return names, err
}

// throughput has a line a family, and what nsreactor would do if each loop more did as
// much as the first.
func throughput(s Summary, micros int) []figure.Series {
	var all []figure.Series
	for _, family := range []Family{Reactor, InC} {
		line := figure.Series{Name: string(family)}
		for _, p := range s.of(micros, family) {
			line.X, line.Y = append(line.X, float64(p.Loops)), append(line.Y, p.Rate)
		}
		all = append(all, line)
	}
	most := float64(s.mostLoops())
	for _, p := range s.of(micros, Threaded) {
		all = append(all, figure.Series{Name: string(Threaded) + ": one thread, whatever the CPUs", X: []float64{1, most}, Y: []float64{p.Rate, p.Rate}})
	}
	if own := s.of(micros, Reactor); len(own) > 0 {
		one := own[0].Rate / float64(own[0].Loops)
		all = append(all, figure.Series{
			Name: "ideal: nsreactor's one loop, times loops", X: []float64{1, most}, Y: []float64{one, one * most}, Foreign: true,
		})
	}
	return all
}

// sharePicture has no series if no server has looked.
func sharePicture(s Summary, caption string) figure.Bars {
	var bars figure.Collector
	for _, micros := range s.works() {
		bars.Group(fmt.Sprintf("%d µs a request", micros))
		for _, p := range s.of(micros, Reactor) {
			if p.Sampled > 0 {
				bars.Bar(p.Server, p.share()*100, p.share()*100, p.share()*100)
			}
		}
	}
	return figure.Bars{
		Title: "Requests handled on the CPU that has received them", Y: "% of sampled requests", Caption: caption,
		Groups: bars.Groups, Series: bars.List(), Reference: 100,
	}
}
