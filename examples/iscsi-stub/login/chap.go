package login

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha3"
	"crypto/subtle"
	"fmt"
	"hash"
)

// Algorithm is a CHAP algorithm, CHAP_A (RFC 7143, section 12.1.3, and IANA's registry).
type Algorithm uint8

// The algorithms known here.
const (
	MD5     Algorithm = 5
	SHA1    Algorithm = 6
	SHA256  Algorithm = 7
	SHA3256 Algorithm = 8 // SHA3-256
)

// MinSecret is how many bytes a CHAP secret should have at least: 96 bits (RFC 7143, section
// 9.2.1). It is for those who read configurations; a login does not look at it.
const MinSecret = 12

// String names the algorithm.
func (a Algorithm) String() string {
	switch a {
	case MD5:
		return "MD5"
	case SHA1:
		return "SHA1"
	case SHA256:
		return "SHA-256"
	case SHA3256:
		return "SHA3-256"
	}
	return fmt.Sprintf("CHAP_A=%d", uint8(a))
}

// hash is nil for what is not known here.
func (a Algorithm) hash() hash.Hash {
	switch a {
	case MD5:
		return md5.New()
	case SHA1:
		return sha1.New()
	case SHA256:
		return sha256.New()
	case SHA3256:
		return sha3.New256()
	}
	return nil
}

// Response is CHAP_R: the hash of identifier, secret and challenge (RFC 1994, section 4.1). Nil
// if the algorithm is not known here.
func (a Algorithm) Response(id byte, secret, challenge []byte) []byte {
	h := a.hash()
	if h == nil {
		return nil
	}
	h.Write([]byte{id})
	h.Write(secret)
	h.Write(challenge)
	return h.Sum(nil)
}

// equal compares in a time that does not depend on where the difference is.
func equal(a, b []byte) bool { return subtle.ConstantTimeCompare(a, b) == 1 }
