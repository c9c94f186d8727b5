package tlshandler

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/nsreactor/nsreactor/engine"
)

// What can be wrong with a handshake.
var (
	// ErrHandshakeTimeout ends a handshake that takes longer than
	// Config.HandshakeTimeout, waiting for its turn included.
	ErrHandshakeTimeout = errors.New("TLS handshake timeout")
	// ErrNotTLS ends a connection that begins with something else.
	ErrNotTLS = errors.New("not a TLS handshake")
	// ErrUnknownName refuses a client that asks for a server name, in a namespace,
	// for which there is no certificate. The client gets the alert
	// unrecognized_name.
	ErrUnknownName = errors.New("no certificate for this name")
	// ErrNotPrepared ends a dialed connection that was written to before its OnOpen,
	// though a handler that is no [engine.Wrapper] hid from Dial that it is to be
	// TLS. Nothing was sent.
	ErrNotPrepared = errors.New("written to in plain text")
	// ErrNoHandler ends a connection whose protocol nobody handles.
	ErrNoHandler = errors.New("no handler for protocol")
)

// HandshakeError is what ended a connection before its handler had it.
type HandshakeError struct {
	// Reason is what kind of failure it is.
	Reason Reason
	// Err is the cause: one of the package's errors, crypto/tls's, or an
	// [engine.PanicError].
	Err error
}

// Error is "TLS handshake: reason: cause".
func (e *HandshakeError) Error() string {
	return fmt.Sprintf("TLS handshake: %v: %v", e.Reason, e.Err)
}

// Unwrap is the cause.
func (e *HandshakeError) Unwrap() error { return e.Err }

// Kind is a word for the reason, from a fixed set: "tls_timeout" …
func (e *HandshakeError) Kind() string { return "tls_" + e.Reason.String() }

// Reason is a kind of failed handshake: a label for a metric.
type Reason uint8

// The reasons.
const (
	// ReasonOther is none of the following.
	ReasonOther Reason = iota
	// ReasonTimeout is an ErrHandshakeTimeout.
	ReasonTimeout
	// ReasonNotTLS is an ErrNotTLS.
	ReasonNotTLS
	// ReasonName is an ErrUnknownName.
	ReasonName
	// ReasonVersion is a peer that offers no version that is allowed.
	ReasonVersion
	// ReasonProtocol is ALPN without a common protocol, or an ErrNoHandler.
	ReasonProtocol
	// ReasonCertificate is a peer whose certificate is missing or not good.
	ReasonCertificate
	// ReasonAlert is a peer that has refused us with an alert.
	ReasonAlert
	// ReasonTruncated is a peer that has closed in the middle.
	ReasonTruncated
	// ReasonClosed is a connection that ended for no reason of TLS's: it was
	// reset or drained, or closed before it began.
	ReasonClosed
	// ReasonPanic is a GetConfig that panicked.
	ReasonPanic
	reasons int = iota
)

var reasonNames = [reasons]string{
	"other", "timeout", "not_tls", "name", "version", "protocol", "certificate", "alert", "truncated", "closed", "panic",
}

// String is the reason as a metric's label has it, as in "not_tls".
func (r Reason) String() string {
	if int(r) >= reasons {
		return "unknown"
	}
	return reasonNames[r]
}

// reasonOf is the reason of an error.
func reasonOf(err error) Reason {
	var (
		shake  *HandshakeError
		record tls.RecordHeaderError
		verify *tls.CertificateVerificationError
		op     *net.OpError
		closed *engine.Error
	)
	switch {
	case errors.As(err, &shake):
		return shake.Reason
	case errors.Is(err, ErrHandshakeTimeout):
		return ReasonTimeout
	case errors.Is(err, ErrNotTLS), errors.As(err, &record):
		return ReasonNotTLS
	case errors.Is(err, ErrUnknownName):
		return ReasonName
	case errors.Is(err, ErrNoHandler):
		return ReasonProtocol
	case errors.As(err, &verify), errors.As(err, new(x509.UnknownAuthorityError)):
		return ReasonCertificate
	case errors.As(err, &op) && op.Op == "remote error":
		return ReasonAlert
	case errors.Is(err, engine.ErrPanic):
		return ReasonPanic
	case errors.As(err, &closed), errors.Is(err, net.ErrClosed):
		return ReasonClosed
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return ReasonTruncated
	}
	return reasonOfText(err.Error())
}

// reasonOfText knows the errors of crypto/tls that have no type. The tests
// provoke each.
func reasonOfText(text string) Reason {
	for _, known := range []struct {
		part   string
		reason Reason
	}{
		{"didn't provide a certificate", ReasonCertificate},
		{"offered only unsupported versions", ReasonVersion},
		{"unsupported application protocols", ReasonProtocol},
	} {
		if strings.Contains(text, known.part) {
			return known.reason
		}
	}
	return ReasonOther
}
