package initiator

import (
	"bytes"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha3"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"strconv"
	"strings"
)

// CHAP is what an initiator proves itself with (section 12.1.3).
type CHAP struct {
	Name, Secret string
	// Algorithms are those offered, in order of preference: 5 is MD5, 6 SHA1,
	// 7 SHA-256, 8 SHA3-256. Default: 7 and 5.
	Algorithms []int
	// PeerSecret has the target prove itself too; PeerName is who it must be,
	// or empty for anyone.
	PeerName, PeerSecret string
	// Challenge is what the target is challenged with. Default: 16 bytes that
	// are different each time.
	Challenge []byte
}

func (c *CHAP) offer() string {
	if len(c.Algorithms) == 0 {
		return "CHAP_A=7,5"
	}
	names := make([]string, len(c.Algorithms))
	for i, a := range c.Algorithms {
		names[i] = strconv.Itoa(a)
	}
	return "CHAP_A=" + strings.Join(names, ",")
}

// answer is the keys in reply to the target's challenge.
func (c *CHAP) answer(challenge map[string]string, own byte) ([]string, error) {
	response, err := c.respond(challenge["CHAP_A"], challenge["CHAP_I"], c.Secret, challenge["CHAP_C"])
	if err != nil {
		return nil, err
	}
	keys := []string{"CHAP_N=" + c.Name, "CHAP_R=0x" + hex.EncodeToString(response)}
	if c.PeerSecret != "" {
		keys = append(keys, "CHAP_I="+strconv.Itoa(int(own)), "CHAP_C=0x"+hex.EncodeToString(c.Challenge))
	}
	return keys, nil
}

// check looks at the target's reply to the initiator's challenge.
func (c *CHAP) check(algorithm string, reply map[string]string, own byte) error {
	want, err := c.respond(algorithm, strconv.Itoa(int(own)), c.PeerSecret, "0x"+hex.EncodeToString(c.Challenge))
	if err != nil {
		return err
	}
	got, err := binaryValue(reply["CHAP_R"])
	switch {
	case err != nil:
		return err
	case c.PeerName != "" && reply["CHAP_N"] != c.PeerName:
		return fmt.Errorf("%w: it is %q", ErrAuthentication, reply["CHAP_N"])
	case !bytes.Equal(got, want):
		return fmt.Errorf("%w: wrong response", ErrAuthentication)
	}
	return nil
}

// respond is the hash of identifier, secret and challenge (RFC 1994, 4.1).
func (c *CHAP) respond(algorithm, identifier, secret, challenge string) ([]byte, error) {
	var h hash.Hash
	switch algorithm {
	case "5":
		h = md5.New()
	case "6":
		h = sha1.New()
	case "7":
		h = sha256.New()
	case "8":
		h = sha3.New256()
	default:
		return nil, fmt.Errorf("CHAP: target chose algorithm %q", algorithm)
	}
	id, err := strconv.ParseUint(identifier, 0, 8)
	if err != nil {
		return nil, fmt.Errorf("CHAP: identifier: %w", err)
	}
	nonce, err := binaryValue(challenge)
	if err != nil {
		return nil, err
	}
	h.Write([]byte{byte(id)})
	h.Write([]byte(secret))
	h.Write(nonce)
	return h.Sum(nil), nil
}

// binaryValue is a binary-value (section 6.1) in hexadecimal or base 64.
func binaryValue(s string) ([]byte, error) {
	if v, ok := strings.CutPrefix(strings.ToLower(s), "0x"); ok {
		if len(v)%2 == 1 {
			v = "0" + v
		}
		b, err := hex.DecodeString(v)
		if err != nil {
			return nil, fmt.Errorf("CHAP: %w", err)
		}
		return b, nil
	}
	if len(s) < 2 || strings.ToLower(s[:2]) != "0b" {
		return nil, fmt.Errorf("CHAP: %q is no binary value", s)
	}
	b, err := base64.StdEncoding.DecodeString(s[2:])
	if err != nil {
		return nil, fmt.Errorf("CHAP: %w", err)
	}
	return b, nil
}
