package framing

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/nsreactor/nsreactor/engine"
)

// outcome is what a stream is cut into and how it ends, for comparing: one line
// a message.
func outcome[T any](input string, d Decoder[T]) string {
	var out strings.Builder
	for m, err := range Split([]byte(input), d) {
		describe(&out, m, err)
	}
	return out.String()
}

func describe(out *strings.Builder, m any, err error) {
	if err != nil {
		fmt.Fprintf(out, "%v\n", err)
	} else {
		fmt.Fprintf(out, "%q\n", m)
	}
}

func TestLengthPrefix(t *testing.T) {
	for name, c := range map[string]struct {
		p         LengthPrefix
		in        string
		want      string
		wantError error
	}{
		"zero value":        {LengthPrefix{}, "\x00\x00\x00\x02hi\x00\x00\x00\x00\x00\x00\x00\x01!", "\"hi\"\n\"\"\n\"!\"\n", nil},
		"one byte":          {LengthPrefix{Size: 1}, "\x02hi\x01!", "\"hi\"\n\"!\"\n", nil},
		"two bytes":         {LengthPrefix{Size: 2}, "\x00\x02hi", "\"hi\"\n", nil},
		"three, big":        {LengthPrefix{Size: 3}, "\x00\x00\x02hi", "\"hi\"\n", nil},
		"three, little":     {LengthPrefix{Size: 3, LittleEndian: true}, "\x02\x00\x00hi", "\"hi\"\n", nil},
		"four, little":      {LengthPrefix{LittleEndian: true}, "\x02\x00\x00\x00hi", "\"hi\"\n", nil},
		"eight, big":        {LengthPrefix{Size: 8}, "\x00\x00\x00\x00\x00\x00\x00\x02hi", "\"hi\"\n", nil},
		"eight, little":     {LengthPrefix{Size: 8, LittleEndian: true}, "\x02\x00\x00\x00\x00\x00\x00\x00hi", "\"hi\"\n", nil},
		"offset":            {LengthPrefix{Size: 1, Offset: 2}, "ab\x02hi", "\"hi\"\n", nil},
		"offset, kept":      {LengthPrefix{Size: 1, Offset: 2, Keep: true}, "ab\x02hi", "\"ab\\x02hi\"\n", nil},
		"counts the header": {LengthPrefix{Size: 1, Offset: 2, Adjust: -3}, "ab\x05hi", "\"hi\"\n", nil},
		"a trailer":         {LengthPrefix{Size: 1, Adjust: 2}, "\x02hiCR", "\"hiCR\"\n", nil},
		"at the limit":      {LengthPrefix{Size: 1, Max: 2}, "\x02hi", "\"hi\"\n", nil},
		"over the limit":    {LengthPrefix{Size: 1, Max: 2}, "\x01!\x03", "\"!\"\nframing: message too long: 3 bytes, the limit is 2\n", ErrTooLong},
		"trailer over it":   {LengthPrefix{Size: 1, Max: 2, Adjust: 1}, "\x02", "framing: message too long: 2 bytes, the limit is 2\n", ErrTooLong},
		"default limit":     {LengthPrefix{}, "\x00\x01\x00\x01", "framing: message too long: 65537 bytes, the limit is 65536\n", ErrTooLong},
		"less than header":  {LengthPrefix{Size: 1, Adjust: -1}, "\x01\x00", "\"\"\nframing: impossible message length: 0\n", ErrBadLength},
		"eight bytes of FF": {LengthPrefix{Size: 8, Adjust: 20}, strings.Repeat("\xff", 8), fmt.Sprintf("framing: message too long: %d bytes, the limit is 65536\n", uint64(math.MaxUint64)), ErrTooLong},
		"the sign bit":      {LengthPrefix{Size: 8, Adjust: -8}, "\x80" + strings.Repeat("\x00", 7), fmt.Sprintf("framing: message too long: %d bytes, the limit is 65536\n", uint64(1)<<63), ErrTooLong},
		"cut in the length": {LengthPrefix{}, "\x00\x00", "framing: stream ends within a message: unexpected EOF\n", ErrTruncated},
		"cut in the middle": {LengthPrefix{}, "\x00\x00\x00\x02h", "framing: stream ends within a message: unexpected EOF\n", io.ErrUnexpectedEOF},
	} {
		t.Run(name, func(t *testing.T) { check(t, c.p, c.in, c.want, c.wantError) })
	}
}

// check wants an input's outcome and its error.
func check[T any](t *testing.T, d Decoder[T], in, want string, wantError error) {
	t.Helper()
	if got := outcome(in, d); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	var last error
	for _, err := range Split([]byte(in), d) {
		last = err
	}
	if !errors.Is(last, wantError) || wantError == nil && last != nil {
		t.Errorf("ends with %v, want %v", last, wantError)
	}
	if _, typed := errors.AsType[*Error](last); last != nil && !typed {
		t.Errorf("%v is no *Error", last)
	}
}

func TestVarint(t *testing.T) {
	long := strings.Repeat("x", 300)
	for name, c := range map[string]struct {
		in        string
		want      string
		wantError error
	}{
		"two":            {"\x02hi\x00\x01!", "\"hi\"\n\"\"\n\"!\"\n", nil},
		"two-byte size":  {"\xac\x02" + long, fmt.Sprintf("%q\n", long), nil},
		"over the limit": {"\xad\x02", "framing: message too long: 301 bytes, the limit is 300\n", ErrTooLong},
		"2^64-1":         {strings.Repeat("\xff", 9) + "\x01", fmt.Sprintf("framing: message too long: %d bytes, the limit is 300\n", uint64(math.MaxUint64)), ErrTooLong},
		"66 bits":        {strings.Repeat("\xff", 9) + "\x02", "framing: impossible message length: more than 64 bits\n", ErrBadLength},
		"endless":        {strings.Repeat("\xff", 10), "framing: impossible message length: more than 64 bits\n", ErrBadLength},
		"cut":            {"\x80", "framing: stream ends within a message: unexpected EOF\n", ErrTruncated},
	} {
		t.Run(name, func(t *testing.T) { check(t, Varint{Max: 300}, c.in, c.want, c.wantError) })
	}
}

func TestDelimiter(t *testing.T) {
	const tooLong = "framing: message too long: more than 3 bytes\n"
	const cut = "framing: stream ends within a message: unexpected EOF\n"
	for name, c := range map[string]struct {
		d         Delimiter
		in        string
		want      string
		wantError error
	}{
		"zero bytes":     {Delimiter{End: []byte("\x00")}, "a\x00\x00bc\x00", "\"a\"\n\"\"\n\"bc\"\n", nil},
		"several":        {Delimiter{End: []byte("--")}, "a--b-c----", "\"a\"\n\"b-c\"\n\"\"\n", nil},
		"kept":           {Delimiter{End: []byte("--"), Keep: true}, "a----", "\"a--\"\n\"--\"\n", nil},
		"itself":         {Delimiter{End: []byte("aab")}, "aaab", "\"a\"\n", nil},
		"at the limit":   {Delimiter{End: []byte("--"), Max: 3}, "abc--", "\"abc\"\n", nil},
		"over the limit": {Delimiter{End: []byte("--"), Max: 3}, "abcd--", tooLong, ErrTooLong},
		"no end":         {Delimiter{End: []byte("--"), Max: 3}, "abcd-", tooLong, ErrTooLong},
		"not over it":    {Delimiter{End: []byte("--"), Max: 3}, "abc-", cut, ErrTruncated},
	} {
		t.Run(name, func(t *testing.T) { check(t, c.d, c.in, c.want, c.wantError) })
	}
}

func TestLines(t *testing.T) {
	for name, c := range map[string]struct {
		in        string
		want      string
		wantError error
	}{
		"both ends":      {"a\nb\r\n\n\r\n", "\"a\"\n\"b\"\n\"\"\n\"\"\n", nil},
		"\\r within":     {"a\rb\n\r\r\n", "\"a\\rb\"\n\"\\r\"\n", nil},
		"at the limit":   {"abc\nabc\r\n", "\"abc\"\n\"abc\"\n", nil},
		"over by \\r":    {"ab\r\r\n", "\"ab\\r\"\n", nil},
		"over the limit": {"abcd\n", "framing: message too long: 4 bytes, the limit is 3\n", ErrTooLong},
		"no end":         {"abcde", "framing: message too long: more than 3 bytes\n", ErrTooLong},
		"not over it":    {"abc\r", "framing: stream ends within a message: unexpected EOF\n", ErrTruncated},
	} {
		t.Run(name, func(t *testing.T) { check(t, Lines{Max: 3}, c.in, c.want, c.wantError) })
	}
}

// twoSteps is a header that resembles iSCSI's: two bytes tell the number of
// further header bytes and of body bytes.
func twoSteps() HeaderBody[string] {
	return HeaderBody[string]{
		Size: 2, Max: 5, MaxHeader: 6,
		Parse: func(b []byte) (string, int, int, error) {
			header := 2 + int(b[0])
			if b[0] == 'E' {
				return "", 0, 0, errParse
			}
			return string(b[:min(header, len(b))]), header, int(int8(b[1])), nil
		},
	}
}

var errParse = errors.New("no header of ours")

func TestHeaderBody(t *testing.T) {
	for name, c := range map[string]struct {
		in        string
		want      string
		wantError error
	}{
		"two":             {"\x00\x02hi\x00\x01!", "{\"\\x00\\x02\" \"hi\" %!q(bool=false)}\n{\"\\x00\\x01\" \"!\" %!q(bool=false)}\n", nil},
		"no body":         {"\x00\x00", "{\"\\x00\\x00\" \"\" %!q(bool=false)}\n", nil},
		"longer header":   {"\x01\x02+hi", "{\"\\x01\\x02+\" \"hi\" %!q(bool=false)}\n", nil},
		"header too long": {"\x05\x00", "framing: message too long: 7 bytes, the limit is 6\n", ErrTooLong},
		"body too long":   {"\x00\x06", "framing: message too long: 6 bytes, the limit is 5\n", ErrTooLong},
		"body negative":   {"\x00\xff", "framing: impossible message length: -1\n", ErrBadLength},
		"cut":             {"\x00", "framing: stream ends within a message: unexpected EOF\n", ErrTruncated},
		"cut in body":     {"\x00\x02h", "framing: stream ends within a message: unexpected EOF\n", ErrTruncated},
	} {
		t.Run(name, func(t *testing.T) { check(t, twoSteps(), c.in, c.want, c.wantError) })
	}
	if got := outcome("E ", twoSteps()); got != errParse.Error()+"\n" {
		t.Error("Parse's own error became", got)
	}
	short := HeaderBody[int]{Size: 4, Parse: func(b []byte) (int, int, int, error) { return 0, 3, 0, nil }}
	if got := outcome("abcd", short); got != "framing: impossible message length: 3\n" {
		t.Error("a header that is less than Size:", got)
	}
}

// A body of Alloc is the callback's however it arrives, in one piece here.
func TestHeaderBodyAllocatesWhatIsWhole(t *testing.T) {
	d := twoSteps()
	d.AllocFrom = 2
	var asked []int
	d.Alloc = func(h string, n int) []byte { asked = append(asked, n); return make([]byte, n+3) }
	in := []byte("\x00\x02hi\x00\x01!\x00\x00\x01\x03+abc")
	var kept []Frame[string]
	for m, err := range Split(in, d) {
		if err != nil {
			t.Fatal(err)
		}
		kept = append(kept, m)
	}
	if fmt.Sprint(asked) != "[2 3]" {
		t.Errorf("asked for %d bytes", asked)
	}
	clear(in)
	if got := fmt.Sprint(kept[0].Owned, kept[1].Owned, kept[2].Owned, kept[3].Owned); got != "true false false true" {
		t.Error("owned:", got)
	}
	if string(kept[0].Body) != "hi" || string(kept[3].Body) != "abc" {
		t.Errorf("bodies are %q and %q", kept[0].Body, kept[3].Body)
	}
	d.Alloc = func(string, int) []byte { return make([]byte, 1) }
	check(t, d, "\x00\x02hi", "framing: bad decoder: Alloc returned 1 bytes, not 2\n", ErrBadDecoder)
	d.Alloc = func(string, int) []byte { return nil }
	if got := outcome("\x00\x02hi", d); !strings.Contains(got, "bool=false") {
		t.Error("a body that Alloc wants to have nothing to do with:", got)
	}
}

func TestMap(t *testing.T) {
	odd := errors.New("odd")
	d := Map(LengthPrefix{Size: 1}, func(b []byte) (int, error) {
		if len(b)%2 != 0 {
			return 0, odd
		}
		return len(b), nil
	})
	var got []int
	var err error
	for n, e := range Split([]byte("\x02ab\x00\x04abcd\x01a"), d) {
		got, err = append(got, n), e
	}
	if fmt.Sprint(got) != "[2 0 4 0]" || !errors.Is(err, odd) {
		t.Errorf("got %d, %v", got, err)
	}
}

func TestBadDecoders(t *testing.T) {
	parse := func([]byte) (int, int, int, error) { return 0, 1, 0, nil }
	for _, d := range []Decoder[[]byte]{
		LengthPrefix{Size: 9},
		LengthPrefix{Size: -1},
		LengthPrefix{Size: math.MaxInt},
		LengthPrefix{Size: math.MinInt},
		LengthPrefix{Offset: -1},
		LengthPrefix{Offset: math.MaxInt},
		LengthPrefix{Adjust: math.MinInt},
		LengthPrefix{Adjust: math.MaxInt},
		LengthPrefix{Max: -1},
		LengthPrefix{Max: math.MaxInt},
		Varint{Max: -1},
		Delimiter{},
		Delimiter{End: []byte("x"), Max: -10},
		Lines{Max: -10},
		Lines{Max: math.MaxInt},
		Map(Lines{}, (func([]byte) ([]byte, error))(nil)),
		Map(Lines{Max: -1}, func(b []byte) ([]byte, error) { return b, nil }),
		Map(HeaderBody[int]{}, func(Frame[int]) ([]byte, error) { return nil, nil }),
		Map(HeaderBody[int]{Size: 1}, func(Frame[int]) ([]byte, error) { return nil, nil }),
		Map(HeaderBody[int]{Parse: parse}, func(Frame[int]) ([]byte, error) { return nil, nil }),
		Map(HeaderBody[int]{Parse: parse, Size: 8, MaxHeader: 7}, func(Frame[int]) ([]byte, error) { return nil, nil }),
		Map(HeaderBody[int]{Parse: parse, Size: 8, Max: -1}, func(Frame[int]) ([]byte, error) { return nil, nil }),
		DecoderFunc[[]byte](func(b []byte) ([]byte, int, error) { return b, 0, nil }),
		DecoderFunc[[]byte](func(b []byte) ([]byte, int, error) { return b, -1, nil }),
		DecoderFunc[[]byte](func(b []byte) ([]byte, int, error) { return b, math.MaxInt, nil }),
		Map(HeaderBody[int]{Parse: parse, Size: 8, MaxHeader: 65537}, func(Frame[int]) ([]byte, error) { return nil, nil }),
		nil,
	} {
		check(t, d, "x", outcome("x", d), ErrBadDecoder)
		if _, err := NewReader(strings.NewReader("x"), d).Next(); !errors.Is(err, ErrBadDecoder) {
			t.Errorf("%#v: a reader says %v", d, err)
		}
		if _, lazy := d.(DecoderFunc[[]byte]); lazy {
			continue // only a call shows it
		}
		if _, err := New(d, OnMessage(ignore)); !errors.Is(err, ErrBadDecoder) {
			t.Errorf("%#v: New says %v", d, err)
		}
		if d != nil {
			mustNotPanic(d) // nobody validates a decoder that is called by itself
		}
	}
}

func mustNotPanic(d Decoder[[]byte]) {
	for _, b := range []string{"x", "xxxxxxxxxxxxxxxx", strings.Repeat("\xff", 64)} {
		_, _, _ = d.Decode([]byte(b))
	}
}

func TestAppend(t *testing.T) {
	big := make([]byte, 70_000)
	for name, c := range map[string]struct {
		add       func(dst, m []byte) ([]byte, error)
		m         string
		want      string
		wantError error
	}{
		"zero value":         {LengthPrefix{}.Append, "hi", "\x00\x00\x00\x02hi", nil},
		"little":             {LengthPrefix{Size: 3, LittleEndian: true}.Append, "hi", "\x02\x00\x00hi", nil},
		"eight":              {LengthPrefix{Size: 8}.Append, "hi", "\x00\x00\x00\x00\x00\x00\x00\x02hi", nil},
		"counts itself":      {LengthPrefix{Size: 2, Adjust: -2}.Append, "hi", "\x00\x04hi", nil},
		"trailer":            {LengthPrefix{Size: 1, Adjust: 2}.Append, "hi##", "\x02hi##", nil},
		"less than trailer":  {LengthPrefix{Size: 1, Adjust: 2}.Append, "h", "", ErrBadLength},
		"over the limit":     {LengthPrefix{Max: 1}.Append, "hi", "", ErrTooLong},
		"over the field":     {LengthPrefix{Size: 1, Adjust: -1}.Append, string(big[:255]), "", ErrTooLong},
		"no such field":      {LengthPrefix{Size: 9}.Append, "hi", "", ErrBadDecoder},
		"varint":             {Varint{}.Append, string(big[:300]), "\xac\x02" + string(big[:300]), nil},
		"varint, limit":      {Varint{}.Append, string(big), "", ErrTooLong},
		"varint, bad":        {Varint{Max: -1}.Append, "", "", ErrBadDecoder},
		"delimiter":          {Delimiter{End: []byte("--")}.Append, "a-", "a---", ErrBadMessage},
		"delimiter, fine":    {Delimiter{End: []byte("--")}.Append, "a-b", "a-b--", nil},
		"delimiter within":   {Delimiter{End: []byte("--")}.Append, "a--b", "", ErrBadMessage},
		"delimiter, limit":   {Delimiter{End: []byte("--"), Max: 2}.Append, "abc", "", ErrTooLong},
		"delimiter, bad":     {Delimiter{}.Append, "abc", "", ErrBadDecoder},
		"line":               {Lines{}.Append, "a\rb", "a\rb\n", nil},
		"line, CRLF":         {Lines{CRLF: true}.Append, "ab", "ab\r\n", nil},
		"line, \\n within":   {Lines{}.Append, "a\nb", "", ErrBadMessage},
		"line, \\r at end":   {Lines{}.Append, "a\r", "", ErrBadMessage},
		"line, limit":        {Lines{Max: 2}.Append, "abc", "", ErrTooLong},
		"line, bad settings": {Lines{Max: -2}.Append, "abc", "", ErrBadDecoder},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := c.add([]byte("before "), []byte(c.m))
			if !errors.Is(err, c.wantError) || c.wantError == nil && err != nil {
				t.Errorf("error is %v, want %v", err, c.wantError)
			}
			if err != nil {
				c.want = ""
			}
			if string(got) != "before "+c.want {
				t.Errorf("appended %q, want %q", strings.TrimPrefix(string(got), "before "), c.want)
			}
		})
	}
}

// The length field of AppendLength alone, behind the bytes of an Offset.
func TestAppendLengthAfterOffset(t *testing.T) {
	p := LengthPrefix{Size: 2, Offset: 1, Adjust: -3}
	b, err := p.AppendLength([]byte{'T'}, 2)
	b = append(b, "hi"...)
	if err != nil || string(b) != "T\x00\x05hi" {
		t.Errorf("%q, %v", b, err)
	}
	if binary.BigEndian.Uint16(b[1:]) != uint16(len(b)) {
		t.Error("the length counts something else")
	}
	check(t, p, string(b), "\"hi\"\n", nil)
}

func ignore(*engine.Conn, []byte) error { return nil }
