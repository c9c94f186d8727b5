package main

import (
	"flag"
	"fmt"
)

// ownFlags are the flags of the command line that a child needs too.
func ownFlags() (args []string) {
	flag.Visit(func(f *flag.Flag) {
		switch f.Name {
		case "p", "b", "size", "work":
			args = append(args, fmt.Sprintf("-%s=%s", f.Name, f.Value))
		}
	})
	return args
}
