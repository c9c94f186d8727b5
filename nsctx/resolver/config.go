package resolver

import (
	"fmt"
	"path/filepath"
	"strings"
)

const (
	// maxResolvConf is below what the library's scanner can take in one line; it
	// would say nothing of a longer one.
	maxResolvConf = 32 << 10
	maxHosts      = 16 << 20
)

// files are the configuration files of one directory.
type files struct {
	resolv file[*resolvConf]
	hosts  file[hostsTable]
}

func newFiles(dir string) *files {
	return &files{
		resolv: file[*resolvConf]{path: filepath.Join(dir, "resolv.conf"), limit: maxResolvConf, parse: parseResolvConf},
		hosts:  file[hostsTable]{path: filepath.Join(dir, "hosts"), limit: maxHosts, parse: parseHosts},
	}
}

// noResolvConf stands for a resolv.conf where there is none.
var noResolvConf, _ = parseResolvConf(nil)

// layers are the directories in which a namespace's files are looked for, the
// first one first.
type layers []*files

// newLayers gives /etc/netns/NAME and /etc, in general. A name that leads out of
// the directory for names is an error; without a name there is only /etc.
func newLayers(etc *files, netnsDir, name string) (layers, error) {
	switch {
	case name == "":
		return layers{etc}, nil
	case name == "." || name == ".." || strings.ContainsAny(name, "/\x00"):
		return nil, fmt.Errorf("%w: %q is not the name of a namespace", ErrConfig, name)
	}
	return layers{newFiles(filepath.Join(netnsDir, name)), etc}, nil
}

// A file that is there but cannot be used is an error and not passed over: the
// next one's servers are not the tenant's.

func (l layers) resolvConf() (*resolvConf, error) {
	for _, f := range l {
		conf, err := f.resolv.load()
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrConfig, err)
		}
		if conf != nil {
			return *conf, nil
		}
	}
	return noResolvConf, nil
}

func (l layers) hosts() (hostsTable, error) {
	for _, f := range l {
		table, err := f.hosts.load()
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrConfig, err)
		}
		if table != nil {
			return *table, nil
		}
	}
	return nil, nil
}
