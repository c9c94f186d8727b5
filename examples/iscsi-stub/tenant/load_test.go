package tenant

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const whole = `# every key there is
data: data
defaults:
  limits: {connections: 10, sessions: 5, data-out: 16MiB, logging-in: 64}
  session: {MaxBurstLength: 524288, FirstBurstLength: 65536}
tenants:
  - name: blue
    namespaces: [blue, blue-*]
    limits: {connections: 20}
    discovery-chap:
      users: {user: finder, secret: findersfindersfinders}
    volumes:
      - name: disk
        size: 1GiB
        block: 4096
        thin: false
        qos:
          min: {iops: 10, bandwidth: 1MiB/s}
          max: {iops: 100, bandwidth: 10MB/s}
          burst: {iops: 200, bandwidth: 20MiB}
          burst-for: 10s
      - {name: cd, size: 1023MiB, kind: memory, read-only: true, removable: true, encrypted: true, write-same-to-end: false}
    targets:
      - iqn: iqn.2026-01.com.example:disk
        alias: Blue's disk
        luns: {0: disk, 7: cd}
        portals:
          - {address: 10.77.0.1}
          - {address: FD77::1, group: 2}
        chap:
          users:
            - {user: ann, secret: annsecretannsecret}
            - {user: bob, secret-file: bob.secret}
          target: {user: disk, secret: 123456789012}
        initiators: ["iqn.1993-08.org.debian:*"]
        session:
          InitialR2T: Yes
          ImmediateData: false
          MaxRecvDataSegmentLength: 8192
          MaxConnections: 2
          DefaultTime2Wait: 0
          DefaultTime2Retain: 0
          MaxOutstandingR2T: 4
          ErrorRecoveryLevel: 0
          HeaderDigest: [CRC32C, None]
          DataDigest: none
  - name: red
    namespaces: red
    volumes: [{name: disk, size: 512, kind: "null"}]
    targets: [{iqn: iqn.2026-01.com.example:disk, luns: {0: disk}}]
`

func TestWholeFile(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "bob.secret"), "bobsecretbobsecret\n")
	path := filepath.Join(dir, "tenants.yaml")
	write(t, path, whole)
	f, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if f.Data != filepath.Join(dir, "data") || len(f.Tenants) != 2 {
		t.Fatalf("read %+v", f)
	}
	if len(f.Warnings) != 2 || !strings.Contains(f.Warnings[0], "tenants.yaml has CHAP secrets") || !strings.Contains(f.Warnings[1], "bob.secret") {
		t.Errorf("warnings are %q", f.Warnings)
	}
	blue, red := f.Tenants[0], f.Tenants[1]
	session := DefaultSession
	session.MaxBurstLength, session.FirstBurstLength = 524288, 65536
	forRed := session
	session.InitialR2T, session.ImmediateData = true, false
	session.MaxRecvDataSegmentLength, session.MaxConnections, session.MaxOutstandingR2T = 8192, 2, 4
	session.DefaultTime2Wait, session.DefaultTime2Retain, session.ErrorRecoveryLevel = 0, 0, 0
	session.HeaderDigest, session.DataDigest = []string{"CRC32C", "None"}, []string{"None"}
	limits := Limits{Connections: 10, Sessions: 5, DataOut: 16 << 20, LoggingIn: 64}
	forRed2 := limits
	limits.Connections = 20
	for what, pair := range map[string][2]any{
		"blue's names":   {blue.Namespaces, []string{"blue", "blue-*"}},
		"blue's limits":  {blue.Limits, limits},
		"red's limits":   {red.Limits, forRed2},
		"finder":         {string(blue.Discovery.Users["finder"].Reveal()), "findersfindersfinders"},
		"disk's qos":     {blue.Volumes[0].QoS, QoS{Rate{10, 1 << 20}, Rate{100, 10e6}, Rate{200, 20 << 20}, 10 * time.Second}},
		"disk":           {*blue.Volumes[0], Volume{"disk", 1 << 30, 4096, KindFile, false, false, false, false, true, blue.Volumes[0].QoS, blue.Volumes[0].at}},
		"cd":             {*blue.Volumes[1], Volume{"cd", 1023 << 20, 512, KindMemory, true, true, true, true, false, QoS{}, blue.Volumes[1].at}},
		"portals":        {blue.Targets[0].Portals, []Portal{{"10.77.0.1", 1}, {"fd77::1", 2}}},
		"luns":           {blue.Targets[0].LUNs, map[uint16]string{0: "disk", 7: "cd"}},
		"ann":            {string(blue.Targets[0].CHAP.Users["ann"].Reveal()), "annsecretannsecret"},
		"bob":            {string(blue.Targets[0].CHAP.Users["bob"].Reveal()), "bobsecretbobsecret"},
		"mutual":         {string(blue.Targets[0].CHAP.Target.Secret.Reveal()), "123456789012"},
		"initiators":     {blue.Targets[0].Initiators, []string{"iqn.1993-08.org.debian:*"}},
		"blue's session": {blue.Targets[0].Session, session},
		"red's session":  {red.Targets[0].Session, forRed},
		"red's":          {red.Volumes[0].Kind, KindNull},
	} {
		if fmt.Sprintf("%+v", pair[0]) != fmt.Sprintf("%+v", pair[1]) {
			t.Errorf("%s: %+v, want %+v", what, pair[0], pair[1])
		}
	}
}

// Each is a tenant that is wrong, and what has to be said of it, with its line and column.
func TestMistakes(t *testing.T) {
	const tenant = "tenants:\n- name: a\n  namespaces: a\n"
	const volumes = tenant + "  volumes:\n  - {name: d, size: 1MiB}\n  - {name: e, size: 1MiB}\n"
	const target = volumes + "  targets:\n  - iqn: iqn.2026-01.com.example:d\n    luns: {0: d}\n"
	for _, test := range []struct{ name, text, want string }{
		{"empty", "", "t.yaml: the file is empty"},
		{"comment", "# nothing\n", "t.yaml: the file is empty"},
		{"no mapping", "- a\n", "t.yaml:1:1: a tenants file is a mapping of data, defaults, tenants"},
		{"two documents", tenant + "---\ntenants: []\n", "t.yaml:5:1: a second document"},
		{"syntax", "tenants: [\n", "t.yaml:1:"},
		{"tab", "tenants:\n\t- name: a\n", "t.yaml:2:1: a tab, by which YAML can't be indented"},
		{"another language", "a: b\n\n`x`: y: z\n", "t.yaml:3:1: this is no YAML"},
		{"key twice", "data: a\ndata: b\n", "t.yaml:2:1: this key is there already"},
		{"unknown key", "tennants: []\ntenants: []\n", `t.yaml:1:1: "tennants" is no key of a tenants file, which has data, defaults, tenants`},
		{"no tenants", "data: a\n", "t.yaml:1:1: a tenants file lacks its tenants"},
		{"unknown key of a tenant", tenant + "  colour: blue\n", `t.yaml:4:3: "colour" is no key of a tenant`},
		{"no name", "tenants:\n- namespaces: a\n", "t.yaml:2:3: a tenant lacks its name"},
		{"no namespaces", "tenants:\n- name: a\n", "t.yaml:2:3: a tenant lacks its namespaces"},
		{"name", "tenants:\n- {name: ../a, namespaces: a}\n", "t.yaml:2:10: name is 1 to 63 letters"},
		{"glob", "tenants:\n- {name: a, namespaces: [a, '[']}\n", "t.yaml:2:29: namespaces is a glob"},
		{"path", "tenants:\n- {name: a, namespaces: a/b}\n", "t.yaml:2:25: namespaces is a glob"},
		{"tenant twice", tenant + "- name: a\n  namespaces: b\n", `t.yaml:4:3: tenant "a" is there already, on line 2`},
		{"namespace claimed twice", tenant + "- name: b\n  namespaces: [b, a]\n", `t.yaml:4:3: tenant "a", on line 2, has the namespaces "a", and this one has "a": both claim one of the name "a"`},
		{"globs overlap", "tenants:\n- {name: a, namespaces: 'x-*'}\n- {name: b, namespaces: '*-y'}\n", `both claim one of the name "x-y"`},
		{"size", tenant + "  volumes: [{name: d, size: 1.5GiB}]\n", "t.yaml:4:29: size is a number of bytes"},
		{"size 0", tenant + "  volumes: [{name: d, size: 0}]\n", "t.yaml:4:29: size is a number of bytes"},
		{"size overflows", tenant + "  volumes: [{name: d, size: 99999999TiB}]\n", "t.yaml:4:29: size is a number of bytes"},
		{"odd size", tenant + "  volumes: [{name: d, size: 1000}]\n", `t.yaml:4:14: volume "d": 1000 bytes are no multiple`},
		{"block", tenant + "  volumes: [{name: d, size: 1MiB, block: 520}]\n", "block is 4096 or 512"},
		{"encrypted nothing", tenant + "  volumes: [{name: d, size: 1MiB, kind: \"null\", encrypted: true}]\n", `volume "d" keeps nothing that could be encrypted`},
		{"kind", tenant + "  volumes: [{name: d, size: 1MiB, kind: tape}]\n", "kind is file or memory or null"},
		{"truth", tenant + "  volumes: [{name: d, size: 1MiB, thin: maybe}]\n", "thin is true or false"},
		{"volume twice", volumes + "  - {name: d, size: 2MiB}\n", `t.yaml:7:6: volume "d" is there already, on line 5`},
		{"iops", tenant + "  volumes: [{name: d, size: 1MiB, qos: {max: {iops: 0}}}]\n", "iops is a number"},
		{"min above max", tenant + "  volumes: [{name: d, size: 1MiB, qos: {min: {iops: 2}, max: {iops: 1}}}]\n", "the minimum iops 2 is more than the maximum 1"},
		{"burst below max", tenant + "  volumes: [{name: d, size: 1MiB, qos: {burst: {bandwidth: 1}, max: {bandwidth: 2}}}]\n", "the burst bandwidth 1 is less than the maximum 2"},
		{"burst without max", tenant + "  volumes: [{name: d, size: 1MiB, qos: {burst: {iops: 1}}}]\n", "a burst of iops has no maximum"},
		{"iqn", volumes + "  targets: [{iqn: disk, luns: {0: d}}]\n", "t.yaml:7:19: iqn is an iSCSI name"},
		{"iqn in capitals", volumes + "  targets: [{iqn: 'iqn.2026-01.com.example:Disk', luns: {0: d}}]\n", "t.yaml:7:19: iqn is an iSCSI name"},
		{"iqn's month", volumes + "  targets: [{iqn: 'iqn.2026-13.com.example', luns: {0: d}}]\n", "iqn is an iSCSI name"},
		{"target twice", target + "  - {iqn: 'iqn.2026-01.com.example:d', luns: {0: e}}\n", `t.yaml:10:6: target "iqn.2026-01.com.example:d" is there already, on line 8`},
		{"no such volume", volumes + "  targets: [{iqn: iqn.2026-01.com.example, luns: {0: f}}]\n", `LUN 0 is "f", which is no volume of tenant "a"`},
		{"other tenant's volume", target + "- name: b\n  namespaces: b\n  targets: [{iqn: iqn.2026-01.com.example, luns: {0: d}}]\n", `LUN 0 is "d", which is no volume of tenant "b"`},
		{"volume in two targets", target + "  - {iqn: iqn.2026-01.com.example, luns: {3: d}}\n", `LUN 3 is volume "d", which target "iqn.2026-01.com.example:d", on line 8, has already`},
		{"lun", volumes + "  targets: [{iqn: iqn.2026-01.com.example, luns: {256: d}}]\n", "a logical unit number is within 0 to 255"},
		{"no data", "tenants: [{name: a, namespaces: a, \"volumes\": [{name: d, size: 512}]}]\n", `volume "d" is a file, and the tenants file does not say in which directory`},
		{"luns", volumes + "  targets: [{iqn: iqn.2026-01.com.example, luns: [d]}]\n", "luns is a mapping"},
		{"address", target + "    portals: {address: localhost}\n", "address is an IP address"},
		{"group", target + "    portals: {address: 10.0.0.1, group: 0}\n", "group is within 1 to 65535"},
		{"address in two groups", target + "    portals: [{address: '::1', group: 2}, {address: '0:0::1', group: 3}]\n", "address ::1 is in the portal groups 2 and 3"},
		{"short secret", target + "    chap: {users: {user: u, secret: short}}\n", "t.yaml:10:37: secret is a secret of 12 to 255 bytes"},
		{"no secret", target + "    chap: {users: {user: u}}\n", "t.yaml:10:20: a user has a secret or a secret-file"},
		{"no secret file", target + "    chap: {users: {user: u, secret-file: /nonexistent/s}}\n", "t.yaml:10:42: the secret-file: open /nonexistent/s: no such file"},
		{"user twice", target + "    chap: {users: [{user: u, secret: uuuuuuuuuuuu}, {user: u, secret: vvvvvvvvvvvv}]}\n", `user "u" is there twice`},
		{"same secret both ways", target + "    chap: {users: {user: u, secret: uuuuuuuuuuuu}, target: {user: t, secret: uuuuuuuuuuuu}}\n", "have the same secret"},
		{"mutual alone", target + "    chap: {target: {user: t, secret: uuuuuuuuuuuu}}\n", "chap lacks its users"},
		{"digest", target + "    session: {DataDigest: [MD5]}\n", "DataDigest is a list of None and CRC32C"},
		{"number", target + "    session: {MaxBurstLength: 100}\n", "MaxBurstLength is a number within 512 to 16777215"},
		{"bursts", target + "    session: {MaxBurstLength: 512, FirstBurstLength: 1024}\n", "FirstBurstLength 1024 is more than MaxBurstLength 512"},
		{"alias of nothing", tenant + "  limits: *l\n", "limits is a mapping"},
		{"alias of itself", "tenants: &t\n- name: a\n  namespaces: a\n  limits: *t\n", "limits is a mapping"},
		{"alias of an alias of itself", "tenants: &t *t\n", "t.yaml:1:13: "},
	} {
		t.Run(test.name, func(t *testing.T) {
			text := test.text
			if strings.Contains(text, "volumes:") {
				text += "data: d\n"
			}
			f, err := Parse("t.yaml", []byte(text))
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("read %+v, err %v; want %s, and no other", f, err, test.want)
			}
			if e, ok := errors.AsType[*Error](err); !ok || e.File != "t.yaml" {
				t.Errorf("err is a %T", err)
			}
		})
	}
}

// An operator should not have to start the program once a mistake.
func TestAllMistakesAtOnce(t *testing.T) {
	_, err := Parse("t.yaml", []byte(`tenants:
- {name: A, namespaces: x, colour: red}
- name: b
  namespaces: x
  volumes:
  - {name: d, size: big}
  - {name: d, size: 1MiB, thick: true}
data: d
`))
	want := []string{"t.yaml:2:10: ", "t.yaml:2:28: ", "t.yaml:3:3: ", "t.yaml:6:21: ", "t.yaml:7:6: ", "t.yaml:7:27: "}
	lines := strings.Split(fmt.Sprint(err), "\n")
	if len(lines) != len(want) {
		t.Fatalf("said\n%v", err)
	}
	for i, line := range lines {
		if !strings.HasPrefix(line, want[i]) {
			t.Errorf("%q does not begin with %q", line, want[i])
		}
	}
}

func TestAnchors(t *testing.T) {
	f, err := Parse("t.yaml", []byte(`tenants:
- {name: a, namespaces: a, limits: &small {connections: 2, logging-in: &q 3}}
- {name: b, namespaces: b, limits: *small}
- {name: c, namespaces: c, limits: {logging-in: *q}}
`))
	if err != nil {
		t.Fatal(err)
	}
	if b := f.Tenants[1].Limits; b.Connections != 2 || b.LoggingIn != 3 {
		t.Errorf("b's limits are %+v", b)
	}
	if c := f.Tenants[2].Limits; c.LoggingIn != 3 {
		t.Errorf("c's limits are %+v", c)
	}
}

// Whatever is wrong around a secret, it is not quoted: errors end in logs.
func TestErrorsHaveNoSecrets(t *testing.T) {
	const secret = "kw8rTzq1pLx0"
	text := "tenants:\n- name: a\n  namespaces: a\n  discovery-chap:\n    users:\n    - user: u\n      secret: " + secret + "\n"
	for _, line := range []string{
		"{user: u, secret:" + secret + "}", "{user: u, " + secret + "}", "{user: u, secret" + secret + ": x}", "{user: u, secret: }, secret:" + secret,
	} {
		_, err := Parse("t.yaml", []byte("tenants: [{name: a, namespaces: a, discovery-chap: {users: "+line+"}}]\n"))
		if err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", line, err)
		}
	}
	begin := strings.Index(text, "users")
	for i := begin; i < len(text); i++ {
		for _, insert := range []string{"", " ", "\n", ":", ": ", "\"", "'", "[", "{", "]", "}", "&", "*", "!", "|", ">", "-", ",", "?", "%", "@", "\t", "\\", "\x00"} {
			for _, cut := range []int{0, 1, 2} {
				bad := text[:i] + insert + text[min(i+cut, len(text)):]
				// What is quoted may have lost its ends.
				if _, err := Parse("t.yaml", []byte(bad)); err != nil && strings.Contains(err.Error(), secret[3:9]) {
					t.Fatalf("%q\n%v", bad, err)
				}
			}
		}
	}
}

// What has no size of its own was read until there was no memory left.
func TestEndlessFile(t *testing.T) {
	if _, err := Load("/dev/zero"); err == nil || !strings.Contains(err.Error(), "/dev/zero: has more than") {
		t.Error(err)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// FuzzParse has no text crash the reader, or make a file that isn't checked.
func FuzzParse(f *testing.F) {
	f.Add([]byte(whole))
	f.Add([]byte("tenants: &t\n- {name: a, namespaces: *t}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		file, err := Parse("t.yaml", text)
		if (file == nil) == (err == nil) {
			t.Fatalf("%v and %v", file, err)
		}
		if err == nil && len(file.Tenants) > 0 && (file.Tenants[0].Name == "" || len(file.Tenants[0].Namespaces) == 0) {
			t.Errorf("a tenant is %+v", file.Tenants[0])
		}
	})
}
