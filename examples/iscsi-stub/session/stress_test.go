package session

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/initiator"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/login"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/pdu"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/qos"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/scsi"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/volume"
	"github.com/nsreactor/nsreactor/nsctx"
	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

// Several tenants' hosts write, read, abort, reset, join, leave, vanish and log in again, while
// their volumes make them wait, their limits change and sessions are revoked. What a
// host reads is what it has written, or, of a write that had no answer, one of the two; and once
// the abort was answered, or the session reinstated, it stays that.
func TestStress(t *testing.T) {
	const hosts, ops = 3, 40
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	p := newPlant(t, "red", "blue", "green")
	var wg sync.WaitGroup
	for i, name := range p.names {
		for j := range hosts {
			h := newHost(p, name, j, rand.New(rand.NewPCG(seed, uint64(i*hosts+j))))
			wg.Go(func() { h.run(ops) })
		}
	}
	ended := make(chan struct{})
	var background sync.WaitGroup
	for i, name := range p.names {
		background.Go(func() { p.disturb(name, rand.New(rand.NewPCG(seed, uint64(100+i))), ended) })
	}
	wg.Wait()
	close(ended)
	background.Wait()
	p.empty()
}

// plant is a server in the namespaces of several tenants.
type plant struct {
	t      *testing.T
	ctx    context.Context
	names  []string
	lab    map[string]*nstest.Tenant
	units  map[string][]*scsi.Unit
	server *Server
	engine *engine.Engine
	served atomic.Pointer[map[string]*Tenant]
	epochs map[string]*epoch
	watch  *watcher
}

// epoch ends with every reset at a tenant: hosts whose commands were aborted by it get no answer.
type epoch struct {
	mu  sync.Mutex
	ctx context.Context
	end context.CancelFunc
}

func (e *epoch) now() context.Context {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.ctx
}

func (e *epoch) next(parent context.Context) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.end != nil {
		e.end()
	}
	e.ctx, e.end = context.WithCancel(parent)
}

// Tenant is the tenant of a namespace's name.
func (p *plant) Tenant(ns *engine.Namespace) *Tenant { return (*p.served.Load())[ns.Name()] }

func newPlant(t *testing.T, names ...string) *plant {
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	t.Cleanup(cancel)
	lab := nstest.New(t)
	p := &plant{
		t: t, ctx: ctx, names: names, lab: map[string]*nstest.Tenant{}, units: map[string][]*scsi.Unit{},
		epochs: map[string]*epoch{}, watch: newWatcher(),
	}
	for _, name := range names {
		p.lab[name] = lab.MustAdd(t, name)
		p.epochs[name] = new(epoch)
		p.epochs[name].next(ctx)
		for lun := range 2 {
			v, err := volume.Open(volume.Config{Name: fmt.Sprint(name, lun), Kind: volume.Memory, Blocks: 4096})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = v.Close() })
			u, err := scsi.NewUnit(scsi.UnitConfig{Volume: v, Shaper: moody{}})
			if err != nil {
				t.Fatal(err)
			}
			p.units[name] = append(p.units[name], u)
		}
	}
	devices := map[string]*scsi.Device{}
	for _, name := range names {
		d := scsi.NewDevice(scsi.DeviceConfig{Name: targetName, Ports: []scsi.TargetPort{{ID: 1, Name: targetName + ",t,0x1"}}})
		for lun, u := range p.units[name] {
			if err := d.Add(uint16(lun), u); err != nil {
				t.Fatal(err)
			}
		}
		devices[name] = d
	}
	p.reload(devices, 256<<10)
	quiet := slog.New(slog.DiscardHandler)
	var err error
	p.server, err = New(Config{
		Directory: p, Observer: p.watch, Logger: quiet, Window: 16, DataIn: 16 << 10,
		Login: login.Config{Preferences: login.Preferences{MaxConnections: 3, ErrorRecoveryLevel: 1, MaxOutstandingR2T: 3, FirstBurstLength: 8 << 10, MaxBurstLength: 32 << 10}},
	})
	if err != nil {
		t.Fatal(err)
	}
	eng, err := engine.New(engine.Config{Loops: 2, Accept: engine.AcceptSpread, Logger: quiet, CheckThread: true})
	if err != nil {
		t.Fatal(err)
	}
	p.engine = eng
	t.Cleanup(func() {
		stop, done := context.WithTimeout(context.Background(), time.Millisecond)
		defer done()
		_ = eng.Shutdown(stop)
	})
	if err := eng.Handle("tcp", stressPort, p.server.Handler(), engine.AnyNamespace); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if _, err := eng.Attach(nsctx.ByPath(lab.Path(name))); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

const stressPort = 3260

// reload replaces what the tenants are; their devices, if nil, stay.
func (p *plant) reload(devices map[string]*scsi.Device, dataOut int) {
	tenants := map[string]*Tenant{}
	for _, name := range p.names {
		var targets []*Target
		if devices != nil {
			targets = []*Target{{Name: targetName, Device: devices[name], Portals: []Portal{{Group: 1}}}}
		} else {
			targets = (*p.served.Load())[name].Targets
		}
		tenants[name] = &Tenant{Name: name, Targets: targets, Limits: Limits{DataOut: dataOut}}
	}
	p.served.Store(&tenants)
}

// moody is a Shaper that has every third I/O wait a little.
type moody struct{}

func (moody) Done(*qos.IO, time.Time) {}

func (moody) Admit(*qos.IO, time.Time) time.Duration {
	return time.Duration(max(0, rand.IntN(3)-1)) * time.Millisecond
}

// disturb keeps parts of a tenant's volumes occupied, so that workers have to wait for them, and
// changes limits and revokes sessions.
func (p *plant) disturb(name string, r *rand.Rand, ended <-chan struct{}) {
	for i := 0; ; i++ {
		select {
		case <-ended:
			return
		default:
		}
		v := p.units[name][r.IntN(2)].Volume()
		at := int64(r.IntN(4096)) * 512
		if err := v.Update(at, 512, false, volume.MayWait, func([]byte) error {
			time.Sleep(time.Duration(r.IntN(2000)) * time.Microsecond)
			return nil
		}); err != nil {
			p.t.Error(err)
			return
		}
		switch r.IntN(100) {
		case 0:
			p.reload(nil, 64<<10+r.IntN(512<<10))
		case 1:
			for _, s := range p.server.sessions() {
				if s.info.Tenant == name && r.IntN(3) == 0 {
					s.revoke()
				}
			}
		}
		time.Sleep(time.Duration(r.IntN(500)) * time.Microsecond)
	}
}

// empty checks that nothing is left.
func (p *plant) empty() {
	p.watch.await(p.t, "sessions close", func() bool {
		n := 0
		for _, closed := range p.watch.closed {
			n += closed
		}
		return n == p.watch.opened
	})
	for _, name := range p.names {
		tn := p.server.tenancy((*p.served.Load())[name])
		conns := func() int {
			tn.mu.Lock()
			defer tn.mu.Unlock()
			return tn.conns + tn.loggingIn + len(tn.byTSIH) + len(tn.sessions)
		}
		for late := time.Now().Add(30 * time.Second); conns() > 0 && time.Now().Before(late); {
			runtime.Gosched()
		}
		if n := conns(); n > 0 {
			p.t.Errorf("%s: %d connections or sessions are left", name, n)
		}
		if tn.memory.inUse() != 0 || tn.memory.grants != 0 || tn.memory.first != nil {
			p.t.Errorf("%s: %d bytes of the budget are lost, %d grants", name, tn.memory.inUse(), tn.memory.grants)
		}
	}
	if p.watch.violations[InvalidField]+p.watch.violations[BadData]+p.watch.violations[OutsideWindow] > 0 {
		p.t.Errorf("violations: %v", p.watch.violations)
	}
	p.t.Logf("%d sessions, closed %v; commands %v, %d aborted; violations %v; %d works", p.watch.opened, p.watch.closed, p.watch.ended, p.watch.aborted, p.watch.violations, p.engine.Stats().Work.Done)
}

// region is how many blocks of its unit a host has for itself.
const region = 300

// host is an initiator that keeps books of what its blocks may hold.
type host struct {
	p    *plant
	name string
	r    *rand.Rand
	lun  [8]byte
	base uint64
	cfg  initiator.Config
	s    *initiator.Session
	cids []uint16
	may  [region][][]byte // what a block may hold
	n    byte
}

func newHost(p *plant, name string, i int, r *rand.Rand) *host {
	h := &host{p: p, name: name, r: r, lun: initiator.LUN(i % 2), base: uint64(i * 1000)}
	h.cfg = initiator.Config{
		Target: targetName, Initiator: fmt.Sprintf("iqn.2026-01.example:%s%d", name, i), ISID: [6]byte{0x80, byte(i + 1)},
	}
	for b := range h.may {
		h.may[b] = [][]byte{make([]byte, 512)}
	}
	return h
}

func (h *host) run(ops int) {
	defer func() {
		if h.s != nil {
			_ = h.s.Close()
		}
	}()
	for i := 0; i < ops && !h.p.t.Failed(); i++ {
		if h.s == nil || h.s.Err() != nil || h.r.IntN(15) == 0 {
			h.login()
			continue
		}
		switch h.r.IntN(12) {
		case 0:
			h.leave()
		case 1:
			h.join()
		case 2, 3, 4:
			h.abort()
		case 5:
			h.reset()
		case 6:
			_, err := h.s.Ping(h.p.ctx, h.cids[0], make([]byte, h.r.IntN(4096)))
			h.lost(err)
		default:
			h.batch(nil)
			h.verify()
		}
	}
	if h.s == nil || h.s.Err() != nil {
		h.login()
	}
	h.verify()
}

// login begins a new session; one that is there is reinstated, or was closed before.
func (h *host) login() {
	old := h.s
	if old != nil && h.r.IntN(2) == 0 {
		_ = old.Close()
	}
	pick := func(key string, values ...string) string { return key + "=" + values[h.r.IntN(len(values))] }
	h.cfg.Keys = []string{
		"MaxConnections=3", pick("HeaderDigest", "None", "CRC32C"), pick("DataDigest", "None", "CRC32C"),
		pick("InitialR2T", "Yes", "No"), pick("ImmediateData", "Yes", "No"), pick("ErrorRecoveryLevel", "0", "1"),
		pick("MaxRecvDataSegmentLength", "512", "4096", "65536"), pick("MaxOutstandingR2T", "1", "3"),
		pick("MaxBurstLength", "8192", "32768"), pick("FirstBurstLength", "1024", "8192"),
	}
	for range 100 {
		nc, err := h.p.lab[h.name].Dial(h.p.ctx, "tcp", stressPort)
		if err != nil {
			h.p.t.Error(err)
			return
		}
		if h.s, err = initiator.Open(h.p.ctx, nc, h.cfg); err == nil {
			h.cids = []uint16{0}
			break
		}
		h.s = nil
		if h.p.ctx.Err() != nil {
			h.p.t.Errorf("%s: login: %v", h.cfg.Initiator, err)
			return
		}
	}
	if old != nil {
		_ = old.Close()
	}
}

// leave ends a connection or the session, politely or not.
func (h *host) leave() {
	switch last := h.cids[len(h.cids)-1]; {
	case h.r.IntN(3) == 0:
		_ = h.s.Close()
	case len(h.cids) == 1:
		if err := h.s.Logout(h.p.ctx); err != nil && h.p.ctx.Err() != nil {
			h.p.t.Error("logout: ", err)
		}
	default:
		if result, err := h.s.LogoutConnection(h.p.ctx, last); err == nil && result != pdu.LoggedOut {
			h.p.t.Errorf("logout of a connection: %v", result)
		} else {
			h.lost(err)
		}
		h.cids = h.cids[:len(h.cids)-1]
	}
}

// join adds a connection, or reinstates one.
func (h *host) join() {
	cid := uint16(h.r.IntN(3))
	nc, err := h.p.lab[h.name].Dial(h.p.ctx, "tcp", stressPort)
	if err != nil {
		h.p.t.Error(err)
		return
	}
	if err := h.s.Join(h.p.ctx, nc, cid); err != nil {
		h.lost(err)
		return
	}
	if !slices.Contains(h.cids, cid) {
		h.cids = append(h.cids, cid)
	}
}

// lost has an error be what a session may end with: not a hang, nor a rule that was broken.
func (h *host) lost(err error) {
	var broken *initiator.ProtocolError
	switch {
	case err == nil:
	case h.p.ctx.Err() != nil:
		h.p.t.Errorf("%s hangs: %v; %+v", h.cfg.Initiator, err, h.p.server.Sessions())
	case errors.As(err, &broken):
		h.p.t.Errorf("%s: %v, with %v", h.cfg.Initiator, err, h.cfg.Keys)
	}
}

// write is a write under way.
type write struct {
	task *initiator.Task
	at   int
	data []byte
}

// batch starts several writes that do not overlap, and waits for all. Meanwhile it calls f, if not
// nil, with one of them; f says which have no answer any more unless they have it by now.
func (h *host) batch(f func(one *initiator.Task) (forsaken func(*initiator.Task) bool)) {
	ctx := h.p.epochs[h.name].now()
	var writes []write
	for at := h.r.IntN(20); at < region && len(writes) < 6; {
		n := min(1+h.r.IntN(60), region-at)
		h.n++
		w := write{at: at, data: bytes.Repeat([]byte{h.n}, n*512)}
		for i := range n {
			w.data[i*512] = byte(at + i)
		}
		at += n + h.r.IntN(30)
		c := initiator.Write(h.lun, h.base+uint64(w.at), w.data, 512)
		c.On, c.Connection = true, h.cids[h.r.IntN(len(h.cids))]
		c.Attribute = []pdu.Attribute{pdu.Simple, pdu.Simple, pdu.Simple, pdu.Ordered, pdu.HeadOfQueue}[h.r.IntN(5)]
		var err error
		if w.task, err = h.s.Start(ctx, c); err != nil {
			h.lost(err)
			break
		}
		writes = append(writes, w)
	}
	if len(writes) == 0 {
		return
	}
	forsaken := func(*initiator.Task) bool { return false }
	if f != nil {
		forsaken = f(writes[h.r.IntN(len(writes))].task)
	}
	for _, w := range writes {
		h.note(ctx, w, forsaken(w.task))
	}
}

// note enters in the books what has become of a write.
func (h *host) note(ctx context.Context, w write, forsaken bool) {
	var err error
	if forsaken {
		err = answered(w.task)
	} else {
		_, err = w.task.Wait(ctx)
	}
	if _, refused := errors.AsType[*initiator.StatusError](err); refused { // nothing was written
		return
	}
	h.lost(err)
	for i := range len(w.data) / 512 {
		if err == nil {
			h.may[w.at+i] = nil
		}
		h.may[w.at+i] = append(h.may[w.at+i], w.data[i*512:(i+1)*512])
	}
	if err != nil && !forsaken && h.s != nil && h.s.Err() == nil && ctx.Err() != nil {
		h.again()
	}
}

// answered is how a task has ended, if it has: Wait takes either of the two that it waits for.
func answered(t *initiator.Task) (err error) {
	over, cancel := context.WithCancel(context.Background())
	cancel()
	for range 20 {
		if _, err = t.Wait(over); !errors.Is(err, context.Canceled) {
			return err
		}
	}
	return err
}

// again leaves the session whose answers do not come any more, and logs in as the same: then the
// old one's tasks are over.
func (h *host) again() {
	_ = h.s.Close()
	h.login()
}

// abort aborts one of several writes, or all. When that is answered, those without an answer are
// over, and what their blocks hold does not change any more.
func (h *host) abort() {
	h.batch(func(of *initiator.Task) func(*initiator.Task) bool {
		function, one := pdu.AbortTask, of
		if h.r.IntN(2) == 0 {
			function, of = pdu.AbortTaskSet, nil
		}
		result, err := h.s.Manage(h.p.ctx, function, h.lun, of)
		if err == nil && result != pdu.FunctionComplete && result != pdu.TaskDoesNotExist {
			h.p.t.Errorf("abort: %v", result)
		}
		h.lost(err)
		return func(t *initiator.Task) bool {
			return err == nil && result == pdu.FunctionComplete && (of == nil || t == one)
		}
	})
	h.verify()
}

// reset resets the unit or the target, which aborts everybody's commands there.
func (h *host) reset() {
	f := pdu.LogicalUnitReset
	if h.r.IntN(3) == 0 {
		f = pdu.TargetWarmReset
	}
	_, err := h.s.Manage(h.p.ctx, f, h.lun, nil)
	h.lost(err)
	h.p.epochs[h.name].next(h.p.ctx)
}

// verify reads all blocks, twice, and compares them with the books.
func (h *host) verify() {
	for range 2 {
		got := h.read()
		for i := range len(got) / 512 {
			block := got[i*512 : (i+1)*512]
			if !slices.ContainsFunc(h.may[i], func(b []byte) bool { return bytes.Equal(b, block) }) {
				h.p.t.Errorf("%s: block %d holds %x… %x, which is none of %d that it may", h.cfg.Initiator, i, block[:2], block[511], len(h.may[i]))
				return
			}
			h.may[i] = [][]byte{bytes.Clone(block)}
		}
	}
}

// read reads all of the host's blocks, in a session that may have to be begun first.
func (h *host) read() []byte {
	for h.p.ctx.Err() == nil && !h.p.t.Failed() {
		if h.s == nil || h.s.Err() != nil {
			h.login()
			continue
		}
		ctx := h.p.epochs[h.name].now()
		result, err := h.s.Do(ctx, initiator.Read(h.lun, h.base, region*512, 512))
		var status *initiator.StatusError
		switch {
		case err == nil:
			return result.In
		case errors.As(err, &status): // unit attention, or no memory at the moment
		case ctx.Err() != nil && h.p.ctx.Err() == nil:
			h.again()
		default:
			h.lost(err)
		}
	}
	return nil
}
