package volume

import "testing"

// each runs f as a benchmark for a volume of each kind, with what its filesystem serves.
func each(b *testing.B, f func(b *testing.B, v *Volume)) {
	const blocks = 32 << 20 / 512
	for _, kind := range []struct {
		name string
		cfg  func(b *testing.B) Config
	}{
		{"null", func(*testing.B) Config { return Config{Kind: Null, Blocks: blocks} }},
		{"memory", func(*testing.B) Config { return Config{Kind: Memory, Blocks: blocks} }},
		{"tmpfs", func(b *testing.B) Config { return fileIn(b, inShm(b), func(c *Config) { c.Blocks = blocks }) }},
		{"disk", func(b *testing.B) Config { return fileIn(b, b.TempDir(), func(c *Config) { c.Blocks = blocks }) }},
		{"encrypted", func(*testing.B) Config {
			return Config{Kind: Memory, Blocks: blocks, Profile: Profile{Encrypted: true}}
		}},
	} {
		b.Run(kind.name, func(b *testing.B) {
			v := mustOpen(b, kind.cfg(b))
			for off := int64(0); off < blocks*512; off += 1 << 20 {
				if err := v.WriteAt(make([]byte, 1<<20), off, false, MayWait); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportAllocs()
			f(b, v)
		})
	}
}

// offset is the i-th of scattered places for 4 KiB.
func offset(i int) int64 { return int64(i*7919%8192) * 4096 }

// once tries without waiting first, as a loop does.
func once(b *testing.B, f func(w Wait) error) {
	err := f(DontWait)
	if err == ErrWait { //nolint:errorlint // it is never wrapped
		err = f(MayWait)
	}
	if err != nil {
		b.Fatal(err)
	}
}

func BenchmarkRead4K(b *testing.B) {
	each(b, func(b *testing.B, v *Volume) {
		p := make([]byte, 4096)
		for i := 0; b.Loop(); i++ {
			once(b, func(w Wait) error { return v.ReadAt(p, offset(i), w) })
		}
	})
}

func BenchmarkWrite4K(b *testing.B) {
	each(b, func(b *testing.B, v *Volume) {
		p := make([]byte, 4096)
		for i := 0; b.Loop(); i++ {
			once(b, func(w Wait) error { return v.WriteAt(p, offset(i), false, w) })
		}
	})
}

func BenchmarkWriteDurable4K(b *testing.B) {
	each(b, func(b *testing.B, v *Volume) {
		p := make([]byte, 4096)
		for i := 0; b.Loop(); i++ {
			once(b, func(w Wait) error { return v.WriteAt(p, offset(i), true, w) })
		}
	})
}

func BenchmarkUpdate512(b *testing.B) {
	each(b, func(b *testing.B, v *Volume) {
		f := func(b []byte) error { b[0]++; return nil }
		for i := 0; b.Loop(); i++ {
			once(b, func(w Wait) error { return v.Update(offset(i), 512, false, w, f) })
		}
	})
}

// TestNoAllocations holds what the benchmarks show.
func TestNoAllocations(t *testing.T) {
	for _, cfg := range []Config{
		{Kind: Memory, Blocks: 300},
		{Kind: Null, Blocks: 300},
		{Kind: Memory, Blocks: 300, Profile: Profile{Encrypted: true}},
		fileIn(t, inShm(t), nil),
		fileIn(t, inShm(t), encrypted),
	} {
		v := mustOpen(t, cfg)
		p := make([]byte, 4096)
		f := func(b []byte) error { return nil }
		if err := v.Update(0, 512, false, MayWait, f); err != nil { // makes the journal
			t.Fatal(err)
		}
		n := testing.AllocsPerRun(200, func() {
			if v.WriteAt(p, 4096, true, DontWait) != nil || v.ReadAt(p, 4096, DontWait) != nil || v.Update(0, 512, true, DontWait, f) != nil {
				t.Error("it would have to wait")
			}
		})
		if n >= 1 && (!raceEnabled || !cfg.Profile.Encrypted) {
			t.Errorf("%s: %v allocations", cfg.Kind, n)
		}
	}
}
