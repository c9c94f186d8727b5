package gnets

import "log"

// logger takes gnet's word on stderr, and only when something is wrong: its own logger
// greets every engine with a line on stdout, which is the harness's.
type logger struct{}

func (logger) Debugf(string, ...any) {}
func (logger) Infof(string, ...any)  {}

func (logger) Warnf(format string, args ...any)  { log.Printf("gnet: "+format, args...) }
func (logger) Errorf(format string, args ...any) { log.Printf("gnet: "+format, args...) }
func (logger) Fatalf(format string, args ...any) { log.Fatalf("gnet: "+format, args...) }
