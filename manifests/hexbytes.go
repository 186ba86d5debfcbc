package manifests

import (
	"encoding/hex"
	"fmt"
)

// HexBytes is a byte string that is written as lower-case hex digits.
type HexBytes []byte

// String is the hex digits.
func (h HexBytes) String() string { return hex.EncodeToString(h) }

// MarshalText implements encoding.TextMarshaler.
func (h HexBytes) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (h *HexBytes) UnmarshalText(text []byte) error {
	raw, err := hex.DecodeString(string(text))
	if err != nil {
		return fmt.Errorf("hex string %q: %w", clip(string(text)), err)
	}
	*h = raw
	return nil
}
