package scsi

import (
	"sync"
	"testing"
)

// A nexus that is lost while another reserves the unit could leave the unit with a reservation
// that nobody was held to.
func TestReserveWhileOthersLeave(t *testing.T) {
	w := newWorld(t, nil)
	b := w.connect(portB)
	w.out(w.nexus, actionRegister, 0, parameters(0, 1, 0)).good(t, "")
	stop := make(chan struct{})
	var leaving sync.WaitGroup
	for range 4 {
		leaving.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					w.unit.releaseClassic(&path{}) // what a nexus does that is lost
				}
			}
		})
	}
	for range 5000 {
		w.out(w.nexus, actionReserve, 3, parameters(1, 0, 0)).good(t, "")
		if o := w.by(b, "28 00 00 00 00 00 00 00 01 00"); o.status != ReservationConflict {
			t.Errorf("a READ under another's EXCLUSIVE ACCESS: %v", o.status)
			break
		}
		w.out(w.nexus, actionRelease, 3, parameters(1, 0, 0)).good(t, "")
	}
	close(stop)
	leaving.Wait()
}
