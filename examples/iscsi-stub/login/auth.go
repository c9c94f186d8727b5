package login

import (
	"crypto/rand"
	"io"
	"slices"
	"strings"
)

// auth is the security stage: RFC 7143, section 12.1. Its steps come in one order, each once, so
// that a challenge is good for one answer, and a login for one attempt.
type auth struct {
	cfg     *Config
	secrets Secrets // nil: nobody has to prove anything
	step    authStep

	algorithm Algorithm
	id        byte
	challenge []byte
	user      string
	mutual    bool
}

type authStep uint8

const (
	wantMethod    authStep = iota // nothing has been said
	wantNothing                   // AuthMethod=None
	wantAlgorithm                 // AuthMethod=CHAP
	wantResponse                  // the challenge is out
	proved
)

// done says whether the initiator may go on.
func (a *auth) done() bool { return a.step == proved || a.secrets == nil && !a.underWay() }

// underWay says whether CHAP has begun and is not over.
func (a *auth) underWay() bool { return a.step == wantAlgorithm || a.step == wantResponse }

// challengeSize is how many random bytes are a challenge: as many as the largest hash has.
const challengeSize = 32

// maxChallenge is how long a challenge may be (RFC 7143, section 12.1.3).
const maxChallenge = 1024

// authenticate takes the security keys of a request.
func (m *Machine) authenticate(pairs []pair) *Error {
	said := make(map[string]string)
	for _, p := range pairs {
		if key := table[p.key]; key != nil && key.in == inSecurity {
			said[p.key] = p.value
		}
	}
	if len(said) == 0 {
		return nil
	}
	a := &m.auth
	want := map[authStep][]string{
		wantMethod:    {"AuthMethod"},
		wantAlgorithm: {"CHAP_A"},
		wantResponse:  {"CHAP_N", "CHAP_R", "CHAP_I", "CHAP_C"},
	}[a.step]
	for key := range said {
		if !slices.Contains(want, key) {
			return refuse(InvalidDuringLogin, "%s is out of turn", key)
		}
	}
	switch a.step {
	case wantMethod:
		return a.chooseMethod(&m.talk, said["AuthMethod"])
	case wantAlgorithm:
		return a.chooseAlgorithm(&m.talk, said["CHAP_A"])
	}
	return a.takeResponse(&m.talk, said)
}

// chooseMethod picks the first that will do of the initiator's list.
func (a *auth) chooseMethod(t *talk, list string) *Error {
	method := "CHAP"
	if a.secrets == nil {
		method = none
	}
	if !slices.Contains(strings.Split(list, ","), method) {
		return refuse(AuthFailure, "AuthMethod=%.80q, and %s is wanted", list, method)
	}
	if a.step = wantAlgorithm; a.secrets == nil {
		a.step = wantNothing
	}
	return wrap(t.answer("AuthMethod", method))
}

// chooseAlgorithm picks the first known of the initiator's list, and sends a challenge.
func (a *auth) chooseAlgorithm(t *talk, list string) *Error {
	for item := range strings.SplitSeq(list, ",") {
		n, ok := parseBinaryNumber(item)
		if ok && n < 256 && a.takes(Algorithm(n)) {
			a.algorithm = Algorithm(n)
			return a.sendChallenge(t)
		}
	}
	return refuse(AuthFailure, "no algorithm of CHAP_A=%.80q", list)
}

func (a *auth) takes(alg Algorithm) bool {
	if a.cfg.Algorithms != nil && !slices.Contains(a.cfg.Algorithms, alg) {
		return false
	}
	return alg.hash() != nil
}

func (a *auth) sendChallenge(t *talk) *Error {
	random := a.cfg.Rand
	if random == nil {
		random = rand.Reader
	}
	b := make([]byte, 1+challengeSize)
	if _, err := io.ReadFull(random, b); err != nil {
		return refuse(TargetError, "no randomness for a challenge: %v", err)
	}
	a.id, a.challenge, a.step = b[0], b[1:], wantResponse
	for _, err := range []error{
		t.answerNumber("CHAP_A", uint64(a.algorithm)),
		t.answerNumber("CHAP_I", uint64(a.id)),
		t.answer("CHAP_C", formatBinary(a.challenge)),
	} {
		if err != nil {
			return wrap(err)
		}
	}
	return nil
}

// takeResponse checks the initiator's proof. A user that does not exist costs the same work
// as one that does, and gets the same answer.
func (a *auth) takeResponse(t *talk, said map[string]string) *Error {
	user, named := said["CHAP_N"]
	answer, ok := parseBinary(said["CHAP_R"], a.algorithm.hash().Size())
	if !named || !ok {
		return refuse(AuthFailure, "no CHAP_N, or no good CHAP_R")
	}
	secret, known := a.secrets.Secret(user)
	if !known {
		secret = a.challenge
	}
	if right := equal(answer, a.algorithm.Response(a.id, secret, a.challenge)); !right || !known || len(secret) == 0 {
		return refuse(AuthFailure, "user %q: no such user, or wrong secret", user)
	}
	if err := a.proveSelf(t, said, user, secret); err != nil {
		return err
	}
	a.step, a.user, a.challenge = proved, user, nil
	return nil
}

// proveSelf answers the initiator's challenge, if there is one. A challenge of the target's own
// and a secret that serves both ways are refused: whoever reflects what the
// target says is not to be helped (RFC 7143, sections 9.2.1 and 12.1.3).
func (a *auth) proveSelf(t *talk, said map[string]string, user string, theirs []byte) *Error {
	idText, hasID := said["CHAP_I"]
	text, hasChallenge := said["CHAP_C"]
	if !hasID && !hasChallenge {
		return nil
	}
	id, goodID := parseBinaryNumber(idText)
	challenge, good := parseBinary(text, maxChallenge)
	if !goodID || id > 255 || !good {
		return refuse(InitiatorError, "CHAP_I=%.80q with a CHAP_C of %d characters is no challenge", idText, len(text))
	}
	if equal(challenge, a.challenge) {
		return refuse(AuthFailure, "user %q sends the target's challenge back", user)
	}
	name, secret, ok := a.secrets.Own(user)
	switch {
	case !ok || len(secret) == 0:
		return refuse(AuthFailure, "user %q wants a proof, and the target has none", user)
	case equal(secret, theirs):
		return refuse(AuthFailure, "user %q: one secret for both ways", user)
	}
	if err := t.answer("CHAP_N", name); err != nil {
		return wrap(err)
	}
	a.mutual = true
	return wrap(t.answer("CHAP_R", formatBinary(a.algorithm.Response(byte(id), secret, challenge))))
}
