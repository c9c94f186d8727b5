package login

import "strconv"

// maxTargets is how many bytes an answer to SendTargets has at most: some thousand targets.
const maxTargets = 1 << 20

// sendTargets answers SendTargets: RFC 7143, appendix C. In a discovery session that is all targets
// or a named one; in a normal session the session's own and no other.
func (t *Text) sendTargets(x *talk, value string) *RejectError {
	targets, err := t.chooseTargets(value)
	if err != nil {
		return err
	}
	for i := range targets {
		x.out = appendTarget(x.out, &targets[i])
		if len(x.out) > maxTargets {
			return rejected(OutOfRoom, "an answer of more than %d bytes to SendTargets", maxTargets)
		}
	}
	return nil
}

// chooseTargets are the targets that value asks for. A name that is not to be seen has an
// empty answer, be it somebody else's or nobody's.
func (t *Text) chooseTargets(value string) ([]Target, *RejectError) {
	visible := []Target{t.result.Target}
	if t.result.Discovery {
		visible = t.dir.Targets(t.result.Initiator)
	}
	switch {
	case value == "All" && (t.result.Discovery || t.cfg.LenientSendTargets), value == "" && !t.result.Discovery:
		return visible, nil
	case value == "All" || value == "":
		return nil, rejected(ProtocolError, "SendTargets=%s is not for this type of session", value)
	}
	name, err := NormalizeName(value)
	if err != nil {
		return nil, rejected(ProtocolError, "SendTargets: %v", err)
	}
	for i := range visible {
		if visible[i].Name == name {
			return visible[i : i+1], nil
		}
	}
	return nil, nil
}

// appendTarget appends a target's record.
func appendTarget(text []byte, target *Target) []byte {
	text = appendPair(text, "TargetName", target.Name)
	for _, a := range target.Addresses {
		text = appendPair(text, "TargetAddress", a.Address+","+strconv.Itoa(int(a.PortalGroup)))
	}
	return text
}
