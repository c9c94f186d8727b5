package tenant

import "log/slog"

// MinSecret is the length in bytes that a CHAP secret must have: RFC 7143, section 9.2.1,
// wants 96 bits of it.
const MinSecret = 12

// Secret is a CHAP secret. However it is printed, logged or marshalled, it doesn't show.
type Secret struct{ text string }

// NewSecret makes a Secret.
func NewSecret(text string) Secret { return Secret{text} }

// Reveal returns the secret's bytes.
func (s Secret) Reveal() []byte { return []byte(s.text) }

const hidden = "(secret)"

func (Secret) String() string { return hidden }

// GoString is for %#v.
func (Secret) GoString() string { return hidden }

// LogValue is for log/slog.
func (Secret) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalText is for encoding/json and the like.
func (Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }
