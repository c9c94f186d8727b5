package main

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"testing"

	"github.com/nsreactor/nsreactor/examples/internal/programtest"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/initiator"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/scsi"
	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

// reload has the program read its file again, and waits for what it says.
func reload(t *testing.T, p *programtest.Program, file, text, said string) {
	t.Helper()
	rewrite(t, file, text)
	if err := syscall.Kill(syscall.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	p.Await(t, said)
}

// told wants a unit attention condition, and no other before it.
func told(t *testing.T, s *initiator.Session, want scsi.Code) {
	t.Helper()
	err := s.TestUnitReady(t.Context(), initiator.LUN(0))
	status, ok := errors.AsType[*initiator.StatusError](err)
	if !ok || status.Sense != (initiator.Sense{Key: 6, ASC: byte(want >> 8), ASCQ: byte(want)}) {
		t.Errorf("told %v, want %v", err, want)
	}
}

func isOpen(t *testing.T, s *initiator.Session) {
	t.Helper()
	if err := s.TestUnitReady(t.Context(), initiator.LUN(0)); err != nil {
		t.Errorf("a session that has nothing to do with it: %v", err)
	}
}

// isClosed waits for the end of a session. Its commands have none meanwhile.
func isClosed(t *testing.T, s *initiator.Session) {
	t.Helper()
	if r, err := s.Do(t.Context(), initiator.Read(initiator.LUN(0), 0, 512, 512)); err == nil {
		t.Errorf("a session that is not to be reads %q", r.In[:8])
	}
}

// Another file changes what it says, and ends no session that it doesn't take the target from.
func TestReload(t *testing.T) {
	lab := nstest.New(t)
	blue, red, green := lab.MustAdd(t, "blue-1"), lab.MustAdd(t, "red"), lab.MustAdd(t, "green")
	file := tenantsFile(t, twoTenants)
	p := programtest.Launch(t, both, "-config", file, "-netns-dir", lab.Dir())
	p.Await(t, "msg=ready")
	inBlue, inRed := mustEnter(t, blue, diskName), mustEnter(t, red, diskName)
	moving := lab.MustAdd(t, "blue-2")
	moved := mustEnter(t, moving, diskName)
	chap := &initiator.CHAP{Name: "ann", Secret: "what-only-ann-knows"}
	inSecret, err := enter(t, blue, initiator.Config{Target: secretName, CHAP: chap})
	if err != nil {
		t.Fatal(err)
	}
	if err := inSecret.Ready(t.Context(), initiator.LUN(0)); err != nil {
		t.Fatal(err)
	}

	// What is wrong changes nothing.
	reload(t, p, file, strings.Replace(twoTenants, "luns: {0: disk}\n", "luns: {0: disc}\n", 1), `the tenants stay as they are.*:7:5: LUN 0 is \\"disc\\", which is no volume`)
	reload(t, p, file, strings.Replace(twoTenants, "size: 16MiB", "size: 8MiB", 1), `the tenants stay as they are.*:5:\d+: volume \\"disk\\" of tenant \\"blue\\": a volume does not shrink`)
	reload(t, p, file, strings.Replace(twoTenants, "size: 16MiB", "size: 16MiB, encrypted: true", 1), `the tenants stay as they are.*:5:\d+: volume \\"disk\\" of tenant \\"blue\\": .*a volume is made encrypted, or never is`)
	isOpen(t, inBlue)
	isOpen(t, inRed)
	isOpen(t, inSecret)

	// Blue's disk grows, a unit comes, a secret changes; another tenant comes.
	text := strings.Replace(twoTenants, "size: 16MiB}, {name: spare, size: 16MiB", "size: 32MiB}, {name: more, size: 1MiB}, {name: spare, size: 16MiB", 1)
	text = strings.Replace(text, "luns: {0: disk}\n", "luns: {0: disk, 5: more}\n", 1)
	text = strings.Replace(text, "what-only-ann-knows", "what-ann-knows-now", 1)
	text += "- {name: green, namespaces: green, volumes: [{name: d, size: 1MiB, kind: \"null\"}], targets: [{iqn: \"iqn.2026-01.com.example:disk\", luns: {0: d}}]}\n"
	reload(t, p, file, text, "the tenants are those of the file.*tenants=3")
	told(t, inBlue, scsi.CapacityDataChanged)
	told(t, inBlue, scsi.ReportedLUNsDataChanged)
	if c, err := inBlue.ReadCapacity(t.Context(), initiator.LUN(0)); err != nil || c.Blocks != 32<<20/512 {
		t.Errorf("blue's disk has %v, %v", c, err)
	}
	if err := inBlue.Ready(t.Context(), initiator.LUN(5)); err != nil {
		t.Errorf("blue's new unit: %v", err)
	}
	isOpen(t, inRed)
	isOpen(t, inSecret)
	if _, err := enter(t, blue, initiator.Config{Target: secretName, CHAP: chap}); err == nil {
		t.Error("the secret of before is good still")
	}
	isOpen(t, mustEnter(t, green, diskName))

	// A namespace becomes green's: it has no way to blue's disk any more, though that is there.
	text = strings.Replace(strings.Replace(text, "namespaces: blue-*", "namespaces: blue-1", 1), "namespaces: green", "namespaces: [green, blue-2]", 1)
	reload(t, p, file, text+"- {name: x, namespaces: x}\n", "the tenants are those of the file.*tenants=4")
	isClosed(t, moved)
	if c, err := mustEnter(t, moving, diskName).ReadCapacity(t.Context(), initiator.LUN(0)); err != nil || c.Blocks != 1<<20/512 {
		t.Errorf("where green's disk should be: %v, %v", c, err)
	}
	isOpen(t, inBlue)

	// Blue's secret target and red go; the sessions of what is left go on.
	text = text[:strings.Index(text, "  - iqn: "+secretName)] + text[strings.Index(text, "- {name: green"):]
	reload(t, p, file, text, "the tenants are those of the file.*tenants=2")
	for _, s := range []*initiator.Session{inRed, inSecret} {
		isClosed(t, s)
	}
	isOpen(t, inBlue)
	if conn, err := red.Dial(t.Context(), "tcp", 3260); err == nil {
		if _, err := initiator.Open(t.Context(), conn, initiator.Config{}); err == nil {
			t.Error("red is served still")
		}
	}

	// And come again: blue's disk has kept what it had.
	text = strings.Replace(twoTenants, "size: 16MiB", "size: 32MiB", 1) + "- {name: x, namespaces: x}\n- {name: y, namespaces: y}\n- {name: z, namespaces: z}\n"
	reload(t, p, file, text, "the tenants are those of the file.*tenants=5")
	isOpen(t, mustEnter(t, red, diskName))
	logOut(t, inBlue)
	if strings.Contains(p.Output(), "what-") {
		t.Error("a secret shows")
	}
}

func logOut(t *testing.T, s *initiator.Session) {
	t.Helper()
	if err := s.Logout(context.WithoutCancel(t.Context())); err != nil {
		t.Error(err)
	}
}
