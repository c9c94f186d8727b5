package login

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"unicode/utf8"
)

// talk is a negotiation under way: what has been said by whom, and what is in force.
type talk struct {
	wish      Preferences
	params    Params
	alias     string
	phase     phase
	discovery bool
	leading   bool
	heard     map[string]string // what the initiator has said
	asked     map[string]bool   // what the target has offered: true until it is answered
	out       []byte            // what the target has still to say
}

// hearAll takes the pairs of a request. FirstBurstLength is taken last, because its result
// depends on MaxBurstLength, and the initiator's order is its own.
func (t *talk) hearAll(pairs []pair) error {
	late := func(p pair) bool { return p.key == "FirstBurstLength" }
	for _, p := range pairs {
		if !late(p) {
			if err := t.hear(p); err != nil {
				return err
			}
		}
	}
	for _, p := range pairs {
		if late(p) {
			if err := t.hear(p); err != nil {
				return err
			}
		}
	}
	return nil
}

// hear takes what the initiator says of a key: an offer, a declaration, or an answer.
func (t *talk) hear(p pair) error {
	key := table[p.key]
	if t.asked[p.key] {
		t.asked[p.key] = false
		return t.answered(key, p)
	}
	if before, ok := t.heard[p.key]; ok || t.has(p.key) {
		// libiscsi declares its names once a stage: that is let pass, a renegotiation is not
		// (RFC 7143, section 6.2).
		if ok && key != nil && key.rule.ask == nil && before == p.value {
			return nil
		}
		return fmt.Errorf("%s is said a second time", p.key)
	}
	t.heard[p.key] = p.value
	switch {
	case isReserved(p.value):
		return fmt.Errorf("%s=%s is an answer, and nothing was asked", p.key, p.value)
	case key == nil:
		return t.answer(p.key, notUnderstood)
	case key.byTarget:
		return fmt.Errorf("%s is the target's to say", p.key)
	case t.phase&key.in == 0 && t.phase == inFull && key.rule.ask != nil:
		return t.answer(p.key, reject) // settled in the login phase
	case t.phase&key.in == 0:
		return fmt.Errorf("%s does not belong here: %w", p.key, errPhase)
	case key.leading && !t.leading:
		return t.answer(p.key, reject) // the session's leading login has settled it
	case key.normal && t.discovery:
		return t.answer(p.key, irrelevant)
	}
	answer, err := key.rule.hear(t, p.value)
	if err != nil || answer == "" {
		return err
	}
	return t.answer(p.key, answer)
}

// errPhase is a key in the wrong stage or phase.
var errPhase = errors.New("wrong stage")

// has says whether the target has offered the key.
func (t *talk) has(key string) bool { _, ok := t.asked[key]; return ok }

// answered takes the answer to what the target has offered. One who does not want to
// negotiate leaves the default in force, which the target can live with.
func (t *talk) answered(key *row, p pair) error {
	t.heard[p.key] = p.value
	if isReserved(p.value) {
		return nil
	}
	if err := key.rule.took(t, p.value); err != nil {
		return fmt.Errorf("%s: %w", p.key, err)
	}
	return nil
}

// askAll offers what the initiator has not, where the default is not what the target
// wants. It says whether there is something to wait for, from now or before.
func (t *talk) askAll() (bool, error) {
	for _, name := range askOrder() {
		key := table[name]
		if _, said := t.heard[name]; said || t.has(name) || key.leading && !t.leading || key.normal && t.discovery {
			continue
		}
		if offer := key.rule.ask(t); offer != "" {
			t.asked[name] = true
			if err := t.answer(name, offer); err != nil {
				return false, err
			}
		}
	}
	for _, waiting := range t.asked {
		if waiting {
			return true, nil
		}
	}
	return false, nil
}

// askOrder are the negotiated keys in an order that does not change.
func askOrder() []string {
	var names []string
	for name, key := range table {
		if key.rule.ask != nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// answer adds a pair to what the target says. That is bounded because much smaller requests can
// ask for it.
func (t *talk) answer(key, value string) error {
	if len(t.out)+len(key)+len(value)+2 > maxText {
		return errTooMuchText
	}
	t.out = appendPair(t.out, key, value)
	return nil
}

// answerNumber is answer for a number.
func (t *talk) answerNumber(key string, n uint64) error {
	return t.answer(key, strconv.FormatUint(n, 10))
}

// take takes up to n bytes of what is to be said, and says whether there is more.
func (t *talk) take(n int) (text []byte, more bool) {
	text = t.out[:min(n, len(t.out))]
	t.out = t.out[len(text):]
	if len(t.out) == 0 {
		t.out = nil
	}
	return text, t.out != nil
}

func takeAlias(t *talk, value string) error {
	if !utf8.ValidString(value) {
		return errors.New("InitiatorAlias is not UTF-8")
	}
	t.alias = value
	return nil
}

// inForce are the parameters that the login phase ends with.
func (t *talk) inForce() Params {
	p := t.params
	p.FirstBurstLength = min(p.FirstBurstLength, p.MaxBurstLength)
	return p
}

// checkDigests refuses an initiator that does not do a digest which the target insists on.
func (t *talk) checkDigests() *Error {
	if t.wish.HeaderDigest == NeedDigest && !t.params.HeaderDigest || t.wish.DataDigest == NeedDigest && !t.params.DataDigest {
		return refuse(InitiatorError, "no agreement on digests")
	}
	return nil
}

func isPhase(err error) bool { return errors.Is(err, errPhase) }
