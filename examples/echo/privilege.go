package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/nsctx"
)

// errPrivilege says what a server lacks that would never serve anything.
var errPrivilege = errors.New("no namespace can be entered: setns(2) needs CAP_SYS_ADMIN; " +
	"run as root or grant it (setcap cap_sys_admin+ep FILE), or serve this process's own namespace with -home")

// hopeless is the error of a server that serves nothing and, for lack of
// privilege, never will. One that only has nothing to serve yet is fine.
func (c config) hopeless(eng *engine.Engine) error {
	if len(eng.Namespaces()) > 0 {
		return nil
	}
	// The capability may be there and not be worth anything: as root of a user
	// namespace, for the namespaces of another one.
	entries, _ := os.ReadDir(c.dir) // what can't be listed can't be tried
	for _, e := range entries {
		if ok, _ := path.Match(c.netns, e.Name()); !ok {
			continue
		}
		if err := enter(filepath.Join(c.dir, e.Name())); errors.Is(err, fs.ErrPermission) {
			return fmt.Errorf("%w (%w)", errPrivilege, err)
		}
	}
	if err := nsctx.CheckPrivilege(); err != nil {
		return fmt.Errorf("%w (%w)", errPrivilege, err)
	}
	return nil
}

// enter tries whether a namespace can be entered.
func enter(file string) error {
	ns, err := nsctx.ByPath(file).Open()
	if err != nil {
		return err
	}
	defer ns.Close()
	return ns.Do(func() error { return nil })
}
