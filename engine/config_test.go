package engine

import (
	"errors"
	"log/slog"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/nsreactor/nsreactor/nsctx/resolver"
)

func TestZeroConfigIsTheDefaults(t *testing.T) {
	got, err := Config{}.withDefaults()
	unitMust(t, err)
	want := Config{
		Loops: len(allowedCPUs()), Accept: AcceptSteered, Switch: SwitchOnChange,
		Backlog: 4096, ReadChunk: 64 << 10, ReadBufferMax: 1 << 20, WriteHighWater: 64 << 10, WriteBudget: 128 << 10, WriteBufferMax: 64 << 20,
		PacketMax: 65535, PacketBatch: 64, PacketBacklog: 1 << 20,
		AcceptBudget: 64, TaskBudget: 256, Workers: 64, WorkQueue: 1024, WorkTimeout: 30 * time.Second,
		DialTimeout: 10 * time.Second, Resolver: got.Resolver,
		LingerTimeout: 5 * time.Second, DrainTimeout: 10 * time.Second, KeepAlive: 15 * time.Second,
		UserTimeout: 30 * time.Second, ParkTimeout: 100 * time.Millisecond, StallAfter: time.Second,
		Logger: slog.Default(),
	}
	if _, is := got.Resolver.(*resolver.Resolver); !is {
		t.Errorf("the default resolver is a %T", got.Resolver)
	}
	if got != want {
		t.Errorf("the defaults are %+v, documented are %+v", got, want)
	}
	again, err := got.withDefaults()
	if err != nil || again != got {
		t.Errorf("with the defaults of the defaults: %+v, %v", again, err)
	}
}

// What a caller has set stays.
func TestConfigKeepsWhatIsSet(t *testing.T) {
	set := Config{
		Loops: 1, Accept: AcceptSpread, Switch: SwitchAlways, CheckThread: true, Backlog: 1, MaxConns: 2, MaxConnsPerNamespace: 3,
		ReadChunk: 4 << 10, ReadBufferMax: 4 << 10, WriteHighWater: 1, WriteBudget: 1, WriteBufferMax: 1,
		PacketMax: 64, PacketBatch: 1, PacketBacklog: 1, AcceptBudget: 1, TaskBudget: 1, Workers: 1, WorkQueue: 1, WorkTimeout: 1,
		DialTimeout: 1, Resolver: mute{},
		IdleTimeout: 1, LingerTimeout: 1, DrainTimeout: 1, KeepAlive: -1, UserTimeout: -1, ParkTimeout: 1, StallAfter: 1,
		Logger: slog.New(slog.DiscardHandler),
	}
	got, err := set.withDefaults()
	if err != nil || got != set {
		t.Errorf("%+v has become %+v, %v", set, got, err)
	}
}

func TestUnsteerableLoopsSpread(t *testing.T) {
	for _, c := range []Config{{Unpinned: true}, {Loops: len(allowedCPUs()) + 1}} {
		if got, err := c.withDefaults(); err != nil || got.Accept != AcceptSpread {
			t.Errorf("%+v accepts by %d, %v", c, got.Accept, err)
		}
	}
}

// Each number of the Config is refused by its name when it is out of range. A
// new field is in here by itself.
func TestBadConfig(t *testing.T) {
	unbounded := map[string]bool{"KeepAlive": true, "UserTimeout": true} // negative: none
	fields := reflect.TypeFor[Config]()
	for i := range fields.NumField() {
		name := fields.Field(i).Name
		var bad []Config
		switch kind := fields.Field(i).Type.Kind(); kind {
		case reflect.Int, reflect.Int64:
			for _, v := range []int64{-1, math.MinInt64, math.MaxInt64} {
				var c Config
				reflect.ValueOf(&c).Elem().Field(i).SetInt(v)
				bad = append(bad, c)
			}
		case reflect.Uint8:
			var c Config
			reflect.ValueOf(&c).Elem().Field(i).SetUint(math.MaxUint8)
			bad = append(bad, c)
		case reflect.Bool, reflect.Pointer, reflect.Interface:
		default:
			t.Errorf("%s is of a kind, %v, that this test does not know", name, kind)
		}
		if unbounded[name] {
			continue
		}
		for _, c := range bad {
			_, err := c.withDefaults()
			checkBadConfig(t, name, err)
		}
	}
}

func checkBadConfig(t *testing.T, name string, err error) {
	t.Helper()
	var typed *Error
	if !errors.Is(err, ErrBadConfig) || !errors.As(err, &typed) || typed.Op != "new" {
		t.Errorf("a bad %s: %v", name, err)
	} else if !strings.Contains(err.Error(), ": "+name+" is ") {
		t.Errorf("a bad %s is reported as %q", name, err)
	}
}

// The limits themselves, and what depends on another field.
func TestConfigLimits(t *testing.T) {
	for _, c := range []struct {
		name    string
		good    Config
		bad     Config
		blaming string
	}{
		{"loops", Config{Loops: 1024}, Config{Loops: 1025}, "Loops"},
		{"chunk", Config{ReadChunk: 4096}, Config{ReadChunk: 4095}, "ReadChunk"},
		{
			"read buffer below chunk",
			Config{ReadChunk: 8192, ReadBufferMax: 8192},
			Config{ReadChunk: 8192, ReadBufferMax: 8191},
			"ReadBufferMax",
		},
		{
			"write buffer below mark",
			Config{WriteHighWater: 10, WriteBufferMax: 10},
			Config{WriteHighWater: 10, WriteBufferMax: 9},
			"WriteBufferMax",
		},
		{"switch", Config{Switch: SwitchAlways}, Config{Switch: SwitchAlways + 1}, "Switch"},
		{"accept", Config{Accept: AcceptSpread}, Config{Loops: 1, Accept: AcceptSpread + 1}, "Accept"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := c.good.withDefaults(); err != nil {
				t.Error(err)
			}
			_, err := c.bad.withDefaults()
			checkBadConfig(t, c.blaming, err)
		})
	}
}

// A bad Config costs nothing: TestMain would find the loops.
func TestNewRefusesABadConfig(t *testing.T) {
	e, err := New(Config{Loops: -1})
	if e != nil {
		t.Error("an engine with a bad config")
	}
	checkBadConfig(t, "Loops", err)
}
