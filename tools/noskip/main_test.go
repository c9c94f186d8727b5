package main

import (
	"strings"
	"testing"
)

// stream is what go test -json writes for a package with one test of each
// outcome, a package without tests, and one that does not build.
const stream = `{"Action":"start","Package":"m/a"}
{"Action":"run","Package":"m/a","Test":"TestPass"}
{"Action":"output","Package":"m/a","Test":"TestPass","Output":"=== RUN   TestPass\n"}
{"Action":"output","Package":"m/a","Test":"TestPass","Output":"    a_test.go:3: noise\n"}
{"Action":"pass","Package":"m/a","Test":"TestPass","Elapsed":0}
{"Action":"output","Package":"m/a","Test":"TestSkip","Output":"    a_test.go:7: no root here\n"}
{"Action":"skip","Package":"m/a","Test":"TestSkip","Elapsed":0}
{"Action":"output","Package":"m/a","Output":"PASS\n"}
{"Action":"output","Package":"m/a","Output":"ok  \tm/a\t0.002s\n"}
{"Action":"pass","Package":"m/a","Elapsed":0.002}
{"Action":"output","Package":"m/b","Output":"?   \tm/b\t[no test files]\n"}
{"Action":"skip","Package":"m/b","Elapsed":0}
{"Action":"output","Package":"m/c","Test":"TestFail","Output":"    c_test.go:5: wrong\n"}
{"Action":"output","Package":"m/c","Test":"TestFail","Output":"--- FAIL: TestFail (0.00s)\n"}
{"Action":"fail","Package":"m/c","Test":"TestFail","Elapsed":0}
{"Action":"output","Package":"m/c","Test":"TestOpen","Output":"panic: lost\n"}
{"Action":"output","Package":"m/c","Output":"FAIL\tm/c\t0.003s\n"}
{"Action":"fail","Package":"m/c","Elapsed":0.003}
{"ImportPath":"m/d","Action":"build-output","Output":"d.go:1:1: expected 'package'\n"}
{"ImportPath":"m/d","Action":"build-fail"}
not an event
`

func TestReportReadsLikeGoTest(t *testing.T) {
	var out strings.Builder
	r := newReport(&out)
	if err := r.read(strings.NewReader(stream)); err != nil {
		t.Fatal(err)
	}
	const want = "ok  \tm/a\t0.002s\n" +
		"?   \tm/b\t[no test files]\n" +
		"    c_test.go:5: wrong\n" +
		"--- FAIL: TestFail (0.00s)\n" +
		"panic: lost\n" +
		"FAIL\tm/c\t0.003s\n" +
		"d.go:1:1: expected 'package'\n" +
		"not an event\n"
	if got := out.String(); got != want {
		t.Errorf("report:\n%s\nwant:\n%s", got, want)
	}
	if len(r.skipped) != 1 || !strings.Contains(r.skipped[0], "m/a TestSkip\n    a_test.go:7: no root here") {
		t.Errorf("skipped = %q, want TestSkip of m/a with its reason and nothing else", r.skipped)
	}
}
