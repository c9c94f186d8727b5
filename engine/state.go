package engine

// State is where a namespace is on its way through the engine:
//
//	attaching → serving → draining → released
//
// A draining namespace never serves again; if its name comes back, that is
// another namespace.
type State uint8

// The states.
const (
	// StateAttaching: its listeners are being made.
	StateAttaching State = iota
	// StateServing: it accepts connections.
	StateServing
	// StateDraining: its listeners are closed, its connections are finishing,
	// or something still holds it.
	StateDraining
	// StateReleased: the kernel says that nothing holds it any more.
	StateReleased
)

// String is the state's name, as in "serving".
func (s State) String() string {
	switch s {
	case StateAttaching:
		return "attaching"
	case StateServing:
		return "serving"
	case StateDraining:
		return "draining"
	case StateReleased:
		return "released"
	}
	return "unknown"
}
