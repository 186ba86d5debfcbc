package partitions

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// GUID is a globally unique identifier in the byte order of its text, not in
// the mixed order that GPT stores (UEFI Specification 2.10, appendix A).
type GUID [16]byte

// ParseGUID reads "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx", in either case.
func ParseGUID(s string) (GUID, error) {
	var g GUID
	digits := strings.ReplaceAll(s, "-", "")
	raw, err := hex.DecodeString(digits)
	if err != nil || len(raw) != len(g) || len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return GUID{}, fmt.Errorf("GUID %.40q: want xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx", s)
	}
	copy(g[:], raw)
	return g, nil
}

func mustGUID(s string) GUID {
	g, err := ParseGUID(s)
	if err != nil {
		panic(err)
	}
	return g
}

// DeriveGUID makes the GUID that belongs to a name under a seed: the same
// pair always gives the same GUID (version 8 of RFC 9562, from SHA-256).
func DeriveGUID(seed, name string) GUID {
	sum := sha256.Sum256([]byte("proa guid\x00" + seed + "\x00" + name))
	g := GUID(sum[:16])
	g[6] = g[6]&0x0f | 0x80
	g[8] = g[8]&0x3f | 0x80
	return g
}

// String is the lower-case text.
func (g GUID) String() string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", g[0:4], g[4:6], g[6:8], g[8:10], g[10:16])
}

// IsZero reports whether g is the nil GUID, which marks an unused GPT entry.
func (g GUID) IsZero() bool { return g == GUID{} }

// Disk is g as GPT and EFI store it: the first three fields little-endian.
// The function is its own inverse.
func (g GUID) Disk() [16]byte {
	return [16]byte{
		g[3], g[2], g[1], g[0],
		g[5], g[4],
		g[7], g[6],
		g[8], g[9], g[10], g[11], g[12], g[13], g[14], g[15],
	}
}

// GUIDFromDisk reads a GUID in the byte order of GPT and EFI.
func GUIDFromDisk(raw [16]byte) GUID { return GUID(GUID(raw).Disk()) }
