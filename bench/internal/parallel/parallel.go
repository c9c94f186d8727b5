package parallel

import "context"

// Command is the command line.
type Command struct{}

// Run is not written yet.
func (c *Command) Run(ctx context.Context) error { return nil }
