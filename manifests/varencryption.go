package manifests

import "fmt"

// VarEncryption is how a machine's /var is encrypted.
type VarEncryption string

// What a recipe can ask for.
const (
	VarPlain VarEncryption = "none"
	VarTPM2  VarEncryption = "tpm2" // LUKS2, its key sealed by the TPM to what the release's kernel images measure
)

// UnmarshalText implements encoding.TextUnmarshaler.
func (v *VarEncryption) UnmarshalText(text []byte) error {
	switch given := VarEncryption(text); given {
	case VarPlain, VarTPM2:
		*v = given
		return nil
	}
	return fmt.Errorf("%q: want %s or %s", clip(string(text)), VarPlain, VarTPM2)
}
