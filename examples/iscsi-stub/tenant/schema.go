package tenant

import (
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// What each mapping of a tenants file may have, and the order in which it is read: what others
// build on comes first.

func (r *reader) file(n ast.Node, f *File) {
	limits, session := DefaultLimits, DefaultSession
	r.mapping(n, "a tenants file",
		value(r, "data", "a directory", &f.Data, parseText),
		field{key: "defaults", read: func(n ast.Node) {
			r.mapping(n, "defaults", r.limits(&limits), r.session(&session))
		}},
		must(field{key: "tenants", read: func(n ast.Node) {
			r.list(n, func(n ast.Node) { f.Tenants = append(f.Tenants, r.tenant(n, limits, session)) })
		}}),
	)
}

func (r *reader) tenant(n ast.Node, limits Limits, session Session) *Tenant {
	t := &Tenant{Limits: limits, at: at(n)}
	r.mapping(n, "a tenant",
		must(value(r, "name", nameWanted, &t.Name, parseName)),
		must(r.strings("namespaces", globWanted, &t.Namespaces, parseGlob)),
		r.limits(&t.Limits),
		r.session(&session),
		r.chap("discovery-chap", &t.Discovery),
		field{key: "volumes", read: func(n ast.Node) {
			r.list(n, func(n ast.Node) { t.Volumes = append(t.Volumes, r.volume(n)) })
		}},
		field{key: "targets", read: func(n ast.Node) {
			r.list(n, func(n ast.Node) { t.Targets = append(t.Targets, r.target(n, session)) })
		}},
	)
	return t
}

func (r *reader) volume(n ast.Node) *Volume {
	v := &Volume{Kind: KindFile, BlockSize: 512, Thin: true, WriteSameToEnd: true, at: at(n)}
	r.mapping(n, "a volume",
		must(value(r, "name", nameWanted, &v.Name, parseName)),
		must(value(r, "size", sizeWanted, &v.Size, parseSize)),
		oneOf(r, "block", &v.BlockSize, map[string]int{"512": 512, "4096": 4096}),
		oneOf(r, "kind", &v.Kind, map[string]Kind{"file": KindFile, "memory": KindMemory, "null": KindNull}),
		r.bool("thin", &v.Thin),
		r.bool("read-only", &v.ReadOnly),
		r.bool("removable", &v.Removable),
		r.bool("encrypted", &v.Encrypted),
		r.bool("write-same-to-end", &v.WriteSameToEnd),
		field{key: "qos", read: func(n ast.Node) { r.qos(n, &v.QoS) }},
	)
	return v
}

func (r *reader) qos(n ast.Node, q *QoS) {
	rate := func(key string, to *Rate) field {
		return field{key: key, read: func(n ast.Node) { r.rate(n, key, to) }}
	}
	r.mapping(n, "qos",
		rate("min", &q.Min),
		rate("max", &q.Max),
		rate("burst", &q.Burst),
		value(r, "burst-for", "a time such as 10s", &q.BurstFor, parseDuration),
	)
}

func (r *reader) rate(n ast.Node, what string, to *Rate) {
	r.mapping(n, what,
		value(r, "iops", "a number of operations a second, at least 1", &to.IOPS, parseInt(1, math.MaxInt32)),
		value(r, "bandwidth", "a size a second, such as 100MiB/s", &to.Bandwidth, parseBandwidth),
	)
}

func (r *reader) target(n ast.Node, session Session) *Target {
	t := &Target{LUNs: make(map[uint16]string), Session: session, at: at(n)}
	r.mapping(n, "a target",
		must(value(r, "iqn", iqnWanted, &t.Name, parseIQN)),
		value(r, "alias", "a text", &t.Alias, parseText),
		must(field{key: "luns", read: func(n ast.Node) { r.luns(n, t.LUNs) }}),
		field{key: "portals", read: func(n ast.Node) {
			r.list(n, func(n ast.Node) { t.Portals = append(t.Portals, r.portal(n)) })
		}},
		r.chap("chap", &t.CHAP),
		r.strings("initiators", globWanted, &t.Initiators, parseGlob),
		r.session(&t.Session),
	)
	return t
}

func (r *reader) luns(n ast.Node, luns map[uint16]string) {
	r.pairs(n, "luns is a mapping of logical unit numbers to names of volumes", func(key, volume ast.Node) {
		var lun int64 = -1
		var name string
		readValue(r, key, "a logical unit number", "within 0 to 255", &lun, parseInt(0, 255))
		readValue(r, volume, "a logical unit", "the name of a volume", &name, parseName)
		if lun >= 0 && name != "" {
			luns[uint16(lun)] = name
		}
	})
}

func (r *reader) portal(n ast.Node) Portal {
	p := Portal{Group: 1}
	group := int64(p.Group)
	r.mapping(n, "a portal",
		must(value(r, "address", "an IP address", &p.Address, parseAddress)),
		value(r, "group", "within 1 to 65535", &group, parseInt(1, math.MaxUint16)),
	)
	p.Group = uint16(group)
	return p
}

func (r *reader) chap(key string, to *CHAP) field {
	return field{key: key, read: func(n ast.Node) {
		r.mapping(n, key,
			must(field{key: "users", read: func(n ast.Node) {
				to.Users = make(map[string]Secret)
				r.list(n, func(n ast.Node) {
					c := r.credentials(n, "a user")
					if _, twice := to.Users[c.User]; twice {
						r.add(at(n), "user %q is there twice", c.User)
					}
					to.Users[c.User] = c.Secret
				})
			}}),
			field{key: "target", read: func(n ast.Node) { to.Target = r.credentials(n, "the target's CHAP identity") }},
		)
		for user, secret := range to.Users {
			if secret.text != "" && secret == to.Target.Secret {
				r.add(at(n), "user %q and the target have the same secret; RFC 7143, section 9.2.1, forbids it", user)
			}
		}
	}}
}

func (r *reader) credentials(n ast.Node, what string) (c Credentials) {
	given := 0
	r.mapping(n, what,
		must(value(r, "user", userWanted, &c.User, parseUser)),
		field{key: "secret", read: func(n ast.Node) {
			given++
			readValue(r, n, "secret", secretWanted, &c.Secret, parseSecret)
			r.inline = true
		}},
		field{key: "secret-file", read: func(n ast.Node) {
			given++
			c.Secret = r.secretFile(n)
		}},
	)
	if _, ok := r.resolve(n).(ast.MapNode); ok && given != 1 {
		r.add(at(n), "%s has a secret or a secret-file", what)
	}
	return c
}

// secretFile reads a secret from a file of its own, whose last newline is not of it.
func (r *reader) secretFile(n ast.Node) (s Secret) {
	var file string
	if readValue(r, n, "secret-file", "a file", &file, parseText); file == "" {
		return s
	}
	if !filepath.IsAbs(file) {
		file = filepath.Join(filepath.Dir(r.mistakes.file), file)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		r.add(at(n), "the secret-file: %v", err)
		return s
	}
	s, ok := parseSecret(strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r"))
	if !ok {
		r.add(at(n), "the secret-file has no %s", strings.TrimPrefix(secretWanted, "a "))
	}
	r.secretFiles = append(r.secretFiles, file)
	return s
}

func (r *reader) limits(to *Limits) field {
	return field{key: "limits", read: func(n ast.Node) {
		r.mapping(n, "limits",
			r.int("connections", 1, math.MaxInt32, &to.Connections),
			r.int("sessions", 1, math.MaxInt32, &to.Sessions),
			r.int("logging-in", 1, math.MaxInt32, &to.LoggingIn),
			value(r, "data-out", sizeWanted, &to.DataOut, parseSize),
		)
	}}
}

func (r *reader) session(to *Session) field {
	const most = 1<<24 - 1
	return field{key: "session", read: func(n ast.Node) {
		r.mapping(n, "session",
			r.int("MaxConnections", 1, 65535, &to.MaxConnections),
			r.bool("InitialR2T", &to.InitialR2T),
			r.bool("ImmediateData", &to.ImmediateData),
			r.int("MaxRecvDataSegmentLength", 512, most, &to.MaxRecvDataSegmentLength),
			r.int("MaxBurstLength", 512, most, &to.MaxBurstLength),
			r.int("FirstBurstLength", 512, most, &to.FirstBurstLength),
			r.int("DefaultTime2Wait", 0, 3600, &to.DefaultTime2Wait),
			r.int("DefaultTime2Retain", 0, 3600, &to.DefaultTime2Retain),
			r.int("MaxOutstandingR2T", 1, 65535, &to.MaxOutstandingR2T),
			r.int("ErrorRecoveryLevel", 0, 1, &to.ErrorRecoveryLevel),
			r.digests("HeaderDigest", &to.HeaderDigest),
			r.digests("DataDigest", &to.DataDigest),
		)
		if to.FirstBurstLength > to.MaxBurstLength {
			r.add(at(n), "FirstBurstLength %d is more than MaxBurstLength %d", to.FirstBurstLength, to.MaxBurstLength)
		}
	}}
}

// digests are a list.
func (r *reader) digests(key string, to *[]string) field {
	return field{key: key, read: func(n ast.Node) {
		*to = nil
		r.list(n, func(n ast.Node) {
			var digest string
			known := map[string]string{"none": "None", "crc32c": "CRC32C"}
			readValue(r, n, key, "a list of None and CRC32C", &digest, func(s string) (string, bool) {
				d, ok := known[strings.ToLower(s)]
				return d, ok && !slices.Contains(*to, d)
			})
			if digest != "" {
				*to = append(*to, digest)
			}
		})
	}}
}

func (r *reader) bool(key string, to *bool) field {
	return value(r, key, "true or false", to, parseBool)
}

func (r *reader) int(key string, least, most int64, to *int) field {
	return value(r, key, fmt.Sprintf("a number within %d to %d", least, most), to, func(s string) (int, bool) {
		n, ok := parseInt(least, most)(s)
		return int(n), ok
	})
}

func (r *reader) strings(key, want string, to *[]string, parse func(string) (string, bool)) field {
	return field{key: key, read: func(n ast.Node) {
		*to = nil
		r.list(n, func(n ast.Node) {
			var item string
			if readValue(r, n, key, want, &item, parse); item != "" {
				*to = append(*to, item)
			}
		})
	}}
}

// sortedLUNs are a target's logical unit numbers.
func (t *Target) sortedLUNs() []uint16 { return slices.Sorted(maps.Keys(t.LUNs)) }
