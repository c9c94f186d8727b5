package login

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
)

func TestParseNumber(t *testing.T) {
	for s, want := range map[string]uint64{
		"0": 0, "7": 7, "512": 512, "0x0": 0, "0x1F": 31, "0X1f": 31, "18446744073709551615": 1<<64 - 1, "0xffffffffffffffff": 1<<64 - 1,
	} {
		if n, ok := parseNumber(s); !ok || n != want {
			t.Errorf("%s is %d, %v", s, n, ok)
		}
	}
	for _, s := range []string{
		"", "00", "01", "-1", "+1", "0x", "0xg", "0x-1", "1e3", "1_000", "0x1_0", "1.0", " 1", "1 ", "18446744073709551616", "0x10000000000000000", "0bAQ==",
	} {
		if n, ok := parseNumber(s); ok {
			t.Errorf("%q is %d", s, n)
		}
	}
	if n, ok := parseBinaryNumber("0bAQA="); !ok || n != 256 {
		t.Errorf("in base64: %d, %v", n, ok)
	}
	if n, ok := parseBinaryNumber("0bAQIDBAUGBwgJ"); ok {
		t.Errorf("nine bytes are %d", n)
	}
}

func TestParseBinary(t *testing.T) {
	for s, want := range map[string]string{
		"0x0102": "\x01\x02", "0XaBC": "\x0a\xbc", "0bAQI=": "\x01\x02", "0BAQI": "\x01\x02", "0b+/+/": "\xfb\xff\xbf",
	} {
		if b, ok := parseBinary(s, 3); !ok || string(b) != want {
			t.Errorf("%s is %x, %v", s, b, ok)
		}
	}
	for _, s := range []string{"", "0x", "0b", "0b=", "12", "0x0g", "0b!!", "0bAQIDBA==", "0x01020304", "0bAQ\nI="} {
		if b, ok := parseBinary(s, 3); ok && s != "0bAQ\nI=" {
			t.Errorf("%q is %x", s, b)
		}
	}
}

func TestNormalizeName(t *testing.T) {
	for name, want := range map[string]string{
		"iqn.1993-08.org.debian:01:ABCdef":          "iqn.1993-08.org.debian:01:abcdef",
		"iqn.2001-04.com.example":                   "iqn.2001-04.com.example",
		"iqn.2020-12.example:host_name":             "iqn.2020-12.example:host_name",
		"iqn.2020-12.example:straße.ÄÖ":             "iqn.2020-12.example:straße.äö",
		"EUI.02004567A425678D":                      "eui.02004567a425678d",
		"naa.52004567BA64678D":                      "naa.52004567ba64678d",
		"naa.62004567BA64678D0123456789ABCDEF":      "naa.62004567ba64678d0123456789abcdef",
		"iqn.2020-01.x:" + strings.Repeat("n", 209): "iqn.2020-01.x:" + strings.Repeat("n", 209),
	} {
		got, err := NormalizeName(name)
		if err != nil || got != want {
			t.Errorf("%s is %s, %v", name, got, err)
		}
		if again, err := NormalizeName(got); err != nil || again != got {
			t.Errorf("%s is not stable: %s, %v", got, again, err)
		}
	}
	for _, name := range []string{
		"", "iqn", "iqn.", "iqn.2020", "iqn.2020-13.example", "iqn.2020-00.example", "iqn.20-01.example", "iqn.2020-01.", "iqn.2020-01.:x",
		"iqn.2020-01.example:a b", "iqn.2020-01.example:a,1", "iqn.2020-01.example:a=b", "iqn.2020-01.example:a/b", "iqn.2020-01.example:\x01",
		"iqn.2020-01.example:\xff", "eui.02004567A425678", "eui.02004567A425678DD", "naa.52004567BA64678", "naa.52004567BA64678D0", "iscsi", "xyz.1",
		"iqn.2020-01.x:" + strings.Repeat("n", 210),
	} {
		if got, err := NormalizeName(name); !errors.Is(err, ErrName) {
			t.Errorf("%q is %q, %v", name, got, err)
		}
	}
}

// The responses were worked out by openssl:
//
//	printf '\x07secret of sixteen\x00\x01\x02\xff' | openssl dgst -sha256
func TestResponse(t *testing.T) {
	for alg, want := range map[Algorithm]string{
		MD5:     "1d8dcc4a91fc1b5bd770f9bd87ae4358",
		SHA1:    "da863538cf2fb3d2ba9c5bca057444f5559265c6",
		SHA256:  "c28ca7b9e2677d553a0b855b61b04b2ca07c277d193a37248200014c425b158f",
		SHA3256: "dca67647a6130e19c69cc95d102accbcf9f748a10183fa33fbcb09aebb3980ad",
	} {
		if got := hex.EncodeToString(alg.Response(7, []byte("secret of sixteen"), []byte{0, 1, 2, 0xff})); got != want {
			t.Errorf("%v: %s, want %s", alg, got, want)
		}
	}
	if Algorithm(4).Response(1, nil, nil) != nil {
		t.Error("there is no algorithm 4")
	}
}

// What is parsed is what was written, wherever PDUs cut it.
func FuzzPairs(f *testing.F) {
	f.Add([]byte("a=b\x00\x00c=\x00"), uint16(3))
	f.Add([]byte("CHAP_C=0x00\x00a==\x00"), uint16(0))
	f.Fuzz(func(t *testing.T, data []byte, cut uint16) {
		whole, err := parse(data)
		at := min(int(cut), len(data))
		var g gather
		if _, err := g.add(data[:at], false); err != nil && at <= maxText {
			t.Fatal(err)
		}
		if len(data) > maxText {
			return
		}
		pairs, cutErr := g.add(data[at:], true)
		if (err == nil) != (cutErr == nil) || len(pairs) != len(whole) {
			t.Fatalf("%q, %v in one PDU; %q, %v in two", whole, err, pairs, cutErr)
		}
		var text []byte
		for i, p := range pairs {
			if p != whole[i] {
				t.Fatalf("%q and %q", p, whole[i])
			}
			text = appendPair(text, p.key, p.value)
		}
		if again, err := parse(text); err != nil || len(again) != len(pairs) {
			t.Fatalf("%q, %v out of %q", again, err, text)
		}
	})
}

func FuzzValues(f *testing.F) {
	f.Add("0x1f")
	f.Add("0bAQI=")
	f.Add("iqn.2020-01.example:x")
	f.Fuzz(func(t *testing.T, s string) {
		if b, ok := parseBinary(s, 1024); ok {
			if again, ok := parseBinary(formatBinary(b), 1024); !ok || !bytes.Equal(again, b) {
				t.Fatalf("%x became %x", b, again)
			}
		}
		if name, err := NormalizeName(s); err == nil {
			if again, err := NormalizeName(name); err != nil || again != name {
				t.Fatalf("%q became %q, %v", name, again, err)
			}
		}
	})
}
