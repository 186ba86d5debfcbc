package manifests

import (
	"fmt"
	"runtime"
)

// Arch is a CPU architecture by its Go and OCI name.
type Arch string

// The architectures that proa builds for.
const (
	AMD64 Arch = "amd64"
	ARM64 Arch = "arm64"
)

// ParseArch accepts the known architectures only.
func ParseArch(s string) (Arch, error) {
	switch a := Arch(s); a {
	case AMD64, ARM64:
		return a, nil
	}
	return "", fmt.Errorf("architecture %q: want amd64 or arm64", clip(s))
}

// HostArch is the architecture this program was compiled for.
func HostArch() Arch { return Arch(runtime.GOARCH) }

// UnmarshalText implements encoding.TextUnmarshaler.
func (a *Arch) UnmarshalText(text []byte) error {
	parsed, err := ParseArch(string(text))
	if err != nil {
		return err
	}
	*a = parsed
	return nil
}

// EFISuffix is the architecture's name in UEFI file names: the "x64" of
// BOOTX64.EFI (UEFI Specification 2.10, section 3.5.1.1), in lower case.
func (a Arch) EFISuffix() string {
	if a == ARM64 {
		return "aa64"
	}
	return "x64"
}
