package login

import "fmt"

// Algorithm is a CHAP algorithm, CHAP_A (RFC 7143, section 12.1.3, and IANA's registry).
type Algorithm uint8

// The algorithms known here.
const (
	MD5     Algorithm = 5
	SHA1    Algorithm = 6
	SHA256  Algorithm = 7
	SHA3256 Algorithm = 8 // SHA3-256
)

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
