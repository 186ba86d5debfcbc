package manifests

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// Digest is the SHA-256 of an artifact, written "sha256:<64 hex digits>".
type Digest [sha256.Size]byte

const digestPrefix = "sha256:"

// ParseDigest reads the written form; upper-case hex digits are refused, so
// that one digest has one spelling.
func ParseDigest(s string) (Digest, error) {
	var d Digest
	digits, ok := strings.CutPrefix(s, digestPrefix)
	if !ok || len(digits) != hex.EncodedLen(len(d)) || strings.ToLower(digits) != digits {
		return Digest{}, fmt.Errorf("digest %q: want sha256: and 64 lower-case hex digits", clip(s))
	}
	if _, err := hex.Decode(d[:], []byte(digits)); err != nil {
		return Digest{}, fmt.Errorf("digest %q: want sha256: and 64 lower-case hex digits", clip(s))
	}
	return d, nil
}

// DigestOf is the digest of content.
func DigestOf(content []byte) Digest { return sha256.Sum256(content) }

// String is the written form.
func (d Digest) String() string { return digestPrefix + d.Hex() }

// Hex is the 64 hex digits alone, as used in file names.
func (d Digest) Hex() string { return hex.EncodeToString(d[:]) }

// IsZero reports whether d was never set.
func (d Digest) IsZero() bool { return d == Digest{} }

// MarshalText implements encoding.TextMarshaler.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Digest) UnmarshalText(text []byte) error {
	parsed, err := ParseDigest(string(text))
	if err != nil {
		return err
	}
	*d = parsed
	return nil
}

// clip shortens foreign text for an error message.
func clip(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}
