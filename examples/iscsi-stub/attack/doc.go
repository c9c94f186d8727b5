// Package attack has no code but its tests: what the iSCSI target answers to
// initiators that break the rules, and that others do not notice.
package attack
