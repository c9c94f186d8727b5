package handlers

import "github.com/nsreactor/nsreactor/engine"

// Discard throws away what it receives and says nothing (RFC 863). It is
// [engine.BaseHandler] under a name: a sink to test clients and to measure
// receiving with.
type Discard struct{ engine.BaseHandler }
