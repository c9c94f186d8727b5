package login

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// rule is how the value of a key is settled (RFC 7143, section 6.2).
type rule struct {
	// hear takes what the initiator offers or declares, and returns the answer; "" is none.
	hear func(t *talk, value string) (answer string, err error)
	// ask is what the target has to offer itself, the initiator having offered nothing;
	// "" if the default will do. Nil for keys that are not negotiated.
	ask func(t *talk) string
	// took takes the initiator's answer to ask.
	took func(t *talk, value string) error
}

// declared is a key that has no answer.
func declared(take func(t *talk, value string) error) rule {
	return rule{hear: func(t *talk, value string) (string, error) { return "", take(t, value) }}
}

// noted is a declaration that the login looks at elsewhere.
func noted(*talk, string) error { return nil }

// refused is a key that is always answered with Reject.
var refused = rule{hear: func(*talk, string) (string, error) { return reject, nil }}

// number is a numerical key from lo to hi; pick, the least or the most of both sides'
// values, is its result function.
func number[T uint8 | uint16 | uint32](lo, hi T, field func(*Params) *T, wish func(*talk) T, pick func(a, b T) T) rule {
	read := func(value string) (T, bool) {
		n, ok := parseNumber(value)
		return T(n), ok && n >= uint64(lo) && n <= uint64(hi)
	}
	write := func(n T) string { return strconv.FormatUint(uint64(n), 10) }
	return negotiated(read, write, field, wish, pick)
}

// boolean is a key of Yes and No; its result function is and, or or.
func boolean(field func(*Params) *bool, wish func(*talk) bool, pick func(a, b bool) bool) rule {
	read := func(value string) (bool, bool) { return value == yes, value == yes || value == no }
	write := func(b bool) string {
		if b {
			return yes
		}
		return no
	}
	return negotiated(read, write, field, wish, pick)
}

func least[T uint8 | uint16 | uint32](a, b T) T { return min(a, b) }
func most[T uint8 | uint16 | uint32](a, b T) T  { return max(a, b) }
func and(a, b bool) bool                        { return a && b }
func or(a, b bool) bool                         { return a || b }

// negotiated is a simple-value negotiation: whoever answers works out the result.
func negotiated[T comparable](read func(string) (T, bool), write func(T) string,
	field func(*Params) *T, wish func(*talk) T, pick func(a, b T) T,
) rule {
	return rule{
		hear: func(t *talk, value string) (string, error) {
			offer, ok := read(value)
			if !ok {
				return reject, nil // what was in force stays in force
			}
			result := pick(offer, wish(t))
			*field(&t.params) = result
			return write(result), nil
		},
		ask: func(t *talk) string {
			if now := *field(&t.params); pick(now, wish(t)) == now {
				return ""
			}
			return write(wish(t))
		},
		took: func(t *talk, value string) error {
			result, ok := read(value)
			if !ok || pick(result, wish(t)) != result {
				return fmt.Errorf("%.80q is no answer to %s", value, write(wish(t)))
			}
			*field(&t.params) = result
			return nil
		},
	}
}

// digest is HeaderDigest and DataDigest: of the initiator's list, the first that
// the target takes.
func digest(field func(*Params) *bool, wish func(*Preferences) DigestChoice) rule {
	const crc32c = "CRC32C"
	return rule{
		hear: func(t *talk, value string) (string, error) {
			for method := range strings.SplitSeq(value, ",") {
				switch {
				case method == none && wish(&t.wish) != NeedDigest:
					*field(&t.params) = false
					return none, nil
				case method == crc32c && wish(&t.wish) != NoDigest:
					*field(&t.params) = true
					return crc32c, nil
				}
			}
			return reject, nil
		},
		ask: func(t *talk) string {
			if wish(&t.wish) == NeedDigest {
				return crc32c
			}
			return ""
		},
		took: func(t *talk, value string) error {
			if value != crc32c {
				return fmt.Errorf("%.80q is no answer to %s", value, crc32c)
			}
			*field(&t.params) = true
			return nil
		},
	}
}

// taskReporting picks the first of the initiator's list that the target can do.
var taskReporting = rule{
	hear: func(t *talk, value string) (string, error) {
		names := []string{RFC3720: "RFC3720", ResponseFence: "ResponseFence", FastAbort: "FastAbort"}
		for name := range strings.SplitSeq(value, ",") {
			if i := slices.Index(names, name); i >= 0 && TaskReporting(i) <= t.wish.TaskReporting {
				t.params.TaskReporting = TaskReporting(i)
				return name, nil
			}
		}
		return reject, nil
	},
	ask: func(*talk) string { return "" },
}

// segmentLength is the initiator's MaxRecvDataSegmentLength, a declaration.
func segmentLength(t *talk, value string) error {
	n, ok := parseNumber(value)
	if !ok || n < minLength || n > maxLength {
		return fmt.Errorf("MaxRecvDataSegmentLength=%.80q is not from 512 to 16777215", value)
	}
	t.params.MaxSendDataSegmentLength = uint32(n)
	return nil
}
