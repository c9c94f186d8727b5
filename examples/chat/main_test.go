package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/examples/internal/programtest"
	"github.com/nsreactor/nsreactor/handlers/framing"
	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

func TestMain(m *testing.M) { programtest.Main(m, main) }

// guest is somebody who chats.
type guest struct {
	*net.TCPConn
	lines *bufio.Scanner
}

// enter connects to a tenant, where all have the same address, and is given a name.
func enter(t *testing.T, tenant *nstest.Tenant, name string) guest {
	t.Helper()
	conn, err := tenant.Dial(t.Context(), "tcp", 7000)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(programtest.Patience)); err != nil {
		t.Fatal(err)
	}
	g := guest{conn.(*net.TCPConn), bufio.NewScanner(conn)}
	g.hears(t, "* you are "+name+"; /nick NAME, /who and /quit are known here")
	return g
}

func (g guest) says(t *testing.T, lines ...string) {
	t.Helper()
	if _, err := io.WriteString(g, strings.Join(lines, "\n")+"\n"); err != nil {
		t.Fatal(err)
	}
}

// hears wants lines, and no other before or between them.
func (g guest) hears(t *testing.T, lines ...string) {
	t.Helper()
	for _, want := range lines {
		if !g.lines.Scan() || g.lines.Text() != want {
			t.Fatalf("heard %q, %v; want %q", g.lines.Text(), g.lines.Err(), want)
		}
	}
}

func (g guest) hearsTheEnd(t *testing.T) {
	t.Helper()
	if g.lines.Scan() || g.lines.Err() != nil {
		t.Errorf("heard %q, %v; want the end", g.lines.Text(), g.lines.Err())
	}
}

func TestTenantsAreAmongThemselves(t *testing.T) {
	lab := nstest.New(t)
	red, blue := lab.MustAdd(t, "red"), lab.MustAdd(t, "blue")
	p := programtest.Launch(t, run, "-netns-dir", lab.Dir(), "-admin", "127.0.0.1:0")
	p.Await(t, "msg=ready")

	ann := enter(t, red, "guest1")
	bob := enter(t, red, "guest2")
	eve := enter(t, blue, "guest1")
	ann.hears(t, "* guest2 has joined")
	ann.says(t, "/nick ann", "hello", "")
	ann.hears(t, "* you are ann")
	bob.hears(t, "* guest1 is now ann", "ann: hello")
	bob.says(t, "/nick ann", "/nick", "/nick b b", "/nick bob", "/dance", "/who")
	bob.hears(t, "* ann is taken", "* a name is 1 to 20 letters, digits, - or _",
		"* a name is 1 to 20 letters, digits, - or _", "* you are bob", "* /dance is not known here", "* here are ann, bob")
	eve.says(t, "/nick ann", "is it me?", "/who") // the name is free here, and nobody is there
	eve.hears(t, "* you are ann", "* here are ann")
	ann.hears(t, "* guest2 is now bob")
	bob.says(t, "tic\ttac\x1b[2J \xff")
	ann.hears(t, "bob: tic tac [2J \ufffd")
	bob.says(t, "/quit", "not said")
	bob.hearsTheEnd(t)
	_ = bob.Close()
	ann.hears(t, "* bob has left")
	enter(t, red, "guest1")
	ann.hears(t, "* guest1 has joined")

	answer, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: programtest.Patience}).
		Get("http://" + p.Await(t, `"admin endpoint" addr=(\S+)`) + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if page, err := io.ReadAll(answer.Body); err != nil || !strings.Contains(string(page), `netns="blue"`) {
		t.Errorf("/metrics says %q, %v", page, err)
	}
}

// All hear all that is said, in one order, however many talk at a time and on whatever
// loops they are.
func TestOneOrder(t *testing.T) {
	const talkers, lines = 8, 200
	lab := nstest.New(t)
	red := lab.MustAdd(t, "red")
	p := programtest.Launch(t, run, "-netns-dir", lab.Dir())
	p.Await(t, "msg=ready")
	ann, bob := enter(t, red, "guest1"), enter(t, red, "guest2")
	ann.hears(t, "* guest2 has joined")
	var all strings.Builder
	for n := range lines {
		fmt.Fprintln(&all, n)
	}
	var talking []guest
	for i := range talkers {
		talking = append(talking, enter(t, red, fmt.Sprint("guest", i+3)))
		ann.hears(t, fmt.Sprintf("* guest%d has joined", i+3))
		bob.hears(t, fmt.Sprintf("* guest%d has joined", i+3))
	}
	for _, talker := range talking {
		if _, err := io.WriteString(talker, all.String()); err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = io.Copy(io.Discard, talker) }() // until the test closes it
	}
	said := make(map[string]int)
	for range talkers * lines {
		if !ann.lines.Scan() {
			t.Fatal(ann.lines.Err())
		}
		line := ann.lines.Text()
		bob.hears(t, line)
		name, text, _ := strings.Cut(line, ": ")
		if text != fmt.Sprint(said[name]) {
			t.Fatalf("%q after %d lines", line, said[name])
		}
		said[name]++
	}
}

// Who does not read is sent off, and nobody else notices.
func TestSlowListener(t *testing.T) {
	lab := nstest.New(t)
	red := lab.MustAdd(t, "red")
	p := programtest.Launch(t, run, "-netns-dir", lab.Dir())
	p.Await(t, "msg=ready")
	ann := enter(t, red, "guest1")
	slow := enter(t, red, "guest2")
	if err := slow.SetReadBuffer(4 << 10); err != nil {
		t.Fatal(err)
	}
	talker := enter(t, red, "guest3")
	ann.hears(t, "* guest2 has joined", "* guest3 has joined")
	const round = 32 // lines that ann can have outstanding
	bla := strings.Repeat("bla ", 120) + "bla"
	for heard := 0; ann.lines.Text() != "* guest2 has left, being too slow"; heard++ {
		if heard%round == 0 {
			talker.says(t, strings.Repeat(bla+"\n", round-1)+bla)
		}
		if !ann.lines.Scan() {
			t.Fatalf("heard %q, %v", ann.lines.Text(), ann.lines.Err())
		}
	}
	talker.says(t, "still here")
	for ann.lines.Text() != "guest3: still here" {
		if !ann.lines.Scan() {
			t.Fatal(ann.lines.Err())
		}
	}
}

// A line that is too long costs its connection.
func TestLongLine(t *testing.T) {
	lab := nstest.New(t)
	red := lab.MustAdd(t, "red")
	p := programtest.Launch(t, run, "-netns-dir", lab.Dir())
	p.Await(t, "msg=ready")
	ann, bob := enter(t, red, "guest1"), enter(t, red, "guest2")
	ann.hears(t, "* guest2 has joined")
	bob.says(t, strings.Repeat("x", maxLine))
	ann.hears(t, "guest2: "+strings.Repeat("x", maxLine))
	bob.says(t, strings.Repeat("x", maxLine+1))
	ann.hears(t, "* guest2 has left")
}

// A room is gone with its last guest.
func TestNothingIsKept(t *testing.T) {
	lab := nstest.New(t)
	red, blue := lab.MustAdd(t, "red"), lab.MustAdd(t, "blue")
	h := newHall()
	framer, err := framing.New(framing.Lines{}, h)
	if err != nil {
		t.Fatal(err)
	}
	eng, err := engine.New(engine.Config{Loops: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = eng.Shutdown(t.Context()) }()
	if err := errors.Join(eng.Handle("tcp", 7000, framer), eng.Watch(lab.Dir())); err != nil {
		t.Fatal(err)
	}
	guests := []guest{enter(t, red, "guest1"), enter(t, red, "guest2"), enter(t, blue, "guest1")}
	for _, g := range guests {
		_ = g.Close()
	}
	if err := eng.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if len(h.rooms) > 0 {
		t.Errorf("left: %v", h.rooms)
	}
}

func TestSignal(t *testing.T) {
	lab := nstest.New(t)
	red := lab.MustAdd(t, "red")
	p := programtest.Spawn(t, false, "-netns-dir", lab.Dir(), "-netns", "r*")
	p.Await(t, "msg=ready")
	ann := enter(t, red, "guest1")
	p.Stop()
	ann.hearsTheEnd(t)
	_ = ann.Close()
	p.Wait(t, 0)
}

func TestWrongCallsAreSaid(t *testing.T) {
	for _, test := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"-prot", "7"}, 2, "not defined: -prot"},
		{[]string{"-port", "x"}, 2, `invalid value "x"`},
		{[]string{"-port", "70000"}, 2, "70000 is not within"},
		{[]string{"-netns", "["}, 2, "syntax error in pattern"},
		{[]string{"-admin", "nowhere"}, 2, "neither a loopback"},
		{[]string{"-admin", "0.0.0.0:1"}, 2, "not a loopback"},
		{[]string{"blue"}, 2, `"blue" is not a flag`},
		{[]string{"-h"}, 0, "-netns-dir directory"},
	} {
		p := programtest.Launch(t, run, test.args...)
		p.Wait(t, test.code)
		p.Await(t, regexp.QuoteMeta(test.want))
	}
	p := programtest.Spawn(t, true)
	p.Wait(t, 1)
	p.Await(t, "^chat: needs CAP_SYS_ADMIN")
}
