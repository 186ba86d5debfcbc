package manifests

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ExtensionKind is what an extension adds to, by systemd's name for it.
type ExtensionKind string

// The kinds.
const (
	Sysext  ExtensionKind = "sysext"  // /usr and /opt: systemd-sysext(8)
	Confext ExtensionKind = "confext" // /etc: systemd-confext(8), since systemd 254
)

// ParseExtensionKind accepts the known kinds only.
func ParseExtensionKind(s string) (ExtensionKind, error) {
	switch k := ExtensionKind(s); k {
	case Sysext, Confext:
		return k, nil
	}
	return "", fmt.Errorf("kind %q: want %s or %s", clip(s), Sysext, Confext)
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (k *ExtensionKind) UnmarshalText(text []byte) error {
	parsed, err := ParseExtensionKind(string(text))
	if err != nil {
		return err
	}
	*k = parsed
	return nil
}

// ReleaseFile is where an extension of the given name says what it fits: the
// extension-release file of os-release(5), relative to the extension's root.
func (k ExtensionKind) ReleaseFile(name string) string {
	if k == Confext {
		return "etc/extension-release.d/extension-release." + name
	}
	return "usr/lib/extension-release.d/extension-release." + name
}

// Extension is one extension of a release.
type Extension struct {
	Name     string        `json:"name"`
	Kind     ExtensionKind `json:"kind"`
	Version  Version       `json:"version"` // of the extension
	Size     int64         `json:"size"`    // bytes of its disk image
	Digest   Digest        `json:"digest"`  // of its disk image
	RootHash HexBytes      `json:"rootHash"`
}

// Image is the name of the extension's disk image among the artifacts of a
// release.
func (e Extension) Image() string { return e.Name + "." + string(e.Kind) + ".raw" }

// SBOM is the name of the extension's bill of materials among the artifacts of a
// release.
func (e Extension) SBOM() string { return e.Name + "." + string(e.Kind) + ".spdx.json" }

// File is the extension's disk image as repositories and hosts keep it.
func (e Extension) File() FetchFile { return FetchFile{Size: e.Size, Digest: e.Digest} }

// Extensions are those of a release: the content of extensions.json, which is an
// artifact of the release and, word for word, ExtensionsPath in its root file
// system. So the root hash of the release covers those of its extensions.
type Extensions struct {
	Schema     int         `json:"schema"`  // 1
	Product    string      `json:"product"` // of the release, as are the next two
	Version    Version     `json:"version"`
	Arch       Arch        `json:"arch"`
	Extensions []Extension `json:"extensions"` // at least one; sorted by name, each name once
}

// IsOfExtensions reports whether an artifact of a release is there for its
// extensions: the document, an image, or a bill of materials.
func IsOfExtensions(artifact string) bool {
	for _, kind := range []ExtensionKind{Sysext, Confext} {
		if strings.HasSuffix(artifact, "."+string(kind)+".raw") || strings.HasSuffix(artifact, "."+string(kind)+".spdx.json") {
			return true
		}
	}
	return artifact == ExtensionsFile
}

// Fits is what an extension demands of the os-release of an image, by the keys of
// os-release(5).
type Fits struct {
	ID        string `yaml:"id" json:"id" jsonschema:"required,description=ID of the os-release of the images that it fits; _any for all"`
	VersionID string `yaml:"versionId" json:"versionId,omitempty" jsonschema:"description=VERSION_ID of the images that it fits"`
	Level     string `yaml:"level" json:"level,omitempty" jsonschema:"description=SYSEXT_LEVEL or CONFEXT_LEVEL of the images that it fits; where images have one it counts in place of versionId"`
}

// BuiltExtension is what a build made of an extension: the content of the
// extension.json beside its disk image.
type BuiltExtension struct {
	Schema int `json:"schema"` // 1
	Extension
	Arch  Arch  `json:"arch"`
	Epoch int64 `json:"epoch"` // the build's one timestamp, seconds since 1970
	Fits  Fits  `json:"fits"`
	// Artifacts are the files of the folder, sorted by name: the disk image and the
	// documents about it.
	Artifacts []Artifact `json:"artifacts"`
}

// The names of an extension's files. A release folder of an extension also has
// SBOMFile and ProvenanceFile, and the image under the name of Extension.Image.
const (
	ExtensionFile  = "extension.json"  // a BuiltExtension
	ExtensionsFile = "extensions.json" // of a release of an operating system: an Extensions
)

const (
	extensionsMost    = 64
	extensionNameMost = 40 // so that Image and SBOM are names of artifacts
)

// CheckExtensionName checks a name that is a part of file names in systemd's
// folders and of artifacts.
func CheckExtensionName(name string) error {
	if err := CheckName("extension", name); err != nil {
		return err
	}
	if len(name) > extensionNameMost {
		return fmt.Errorf("extension %q: want a name of at most %d characters", name, extensionNameMost)
	}
	return nil
}

// ParseExtensions reads an extensions.json strictly: unknown and repeated fields,
// unsorted or repeated names are errors.
func ParseExtensions(data []byte) (Extensions, error) {
	var e Extensions
	err := parseStrict(data, &e, &e.Schema, 1)
	if err == nil {
		err = e.check()
	}
	if err != nil {
		return Extensions{}, fmt.Errorf("extensions: %w", err)
	}
	return e, nil
}

func (e Extensions) check() error {
	if err := checkIdentity(e.Product, e.Arch, e.Version); err != nil {
		return err
	}
	if n := len(e.Extensions); n < 1 || n > extensionsMost {
		return fmt.Errorf("%d extensions: want 1 to %d", n, extensionsMost)
	}
	for i, x := range e.Extensions {
		if err := x.check(); err != nil {
			return err
		}
		if i > 0 && x.Name <= e.Extensions[i-1].Name {
			return fmt.Errorf("%s after %s: want each name once, sorted", x.Name, e.Extensions[i-1].Name)
		}
	}
	return nil
}

func (e Extension) check() error {
	if err := CheckExtensionName(e.Name); err != nil {
		return err
	}
	if _, err := ParseExtensionKind(string(e.Kind)); err != nil { // an absent field never reaches UnmarshalText
		return fmt.Errorf("%s: %w", e.Name, err)
	}
	if _, err := ParseVersion(string(e.Version)); err != nil {
		return fmt.Errorf("%s: %w", e.Name, err)
	}
	if len(e.RootHash) != 32 {
		return fmt.Errorf("%s: root hash of %d bytes: want 32", e.Name, len(e.RootHash))
	}
	if e.Size < 1 {
		return fmt.Errorf("%s of %d bytes: want 1 or more", e.Name, e.Size)
	}
	return e.File().check(e.Name)
}

// CheckAgainst reports how e does not belong to the release r: it is of another
// product, version or architecture, or an image is not the artifact that r lists.
func (e Extensions) CheckAgainst(r Release) error {
	if e.Product != r.Product || e.Version != r.Version || e.Arch != r.Arch {
		return fmt.Errorf("extensions are for %s %s on %s: want %s %s on %s", e.Product, e.Version, e.Arch, r.Product, r.Version, r.Arch)
	}
	for _, x := range e.Extensions {
		listed, ok := r.Artifact(x.Image())
		if !ok {
			return fmt.Errorf("extension %s: the release has no artifact %s", x.Name, x.Image())
		}
		if listed.Size != x.Size || listed.Digest != x.Digest {
			return fmt.Errorf("extension %s: %d bytes with %s, and the release lists %d with %s", x.Name, x.Size, x.Digest, listed.Size, listed.Digest)
		}
	}
	return nil
}

// Find is the extension of the given name.
func (e Extensions) Find(name string) (Extension, bool) {
	i := slices.IndexFunc(e.Extensions, func(x Extension) bool { return x.Name == name })
	if i < 0 {
		return Extension{}, false
	}
	return e.Extensions[i], true
}

// ParseBuiltExtension reads an extension.json strictly. The image must be among
// its artifacts.
func ParseBuiltExtension(data []byte) (BuiltExtension, error) {
	var b BuiltExtension
	err := parseStrict(data, &b, &b.Schema, 1)
	if err == nil {
		err = b.check()
	}
	if err != nil {
		return BuiltExtension{}, fmt.Errorf("extension: %w", err)
	}
	return b, nil
}

func (b BuiltExtension) check() error {
	if err := b.Extension.check(); err != nil {
		return err
	}
	if _, err := ParseArch(string(b.Arch)); err != nil {
		return err
	}
	if err := b.Fits.Check(); err != nil {
		return err
	}
	if err := checkArtifacts(b.Artifacts); err != nil {
		return err
	}
	image := Artifact{Name: b.Image(), Size: b.Size, Digest: b.Digest}
	if !slices.Contains(b.Artifacts, image) {
		return fmt.Errorf("its artifacts are without %s of %d bytes with %s", image.Name, image.Size, image.Digest)
	}
	return nil
}

// Check refuses what no os-release could be compared with.
func (f Fits) Check() error {
	for _, value := range []string{f.ID, f.VersionID, f.Level} {
		if len(value) > 64 {
			return fmt.Errorf("%q: want at most 64 characters", clip(value))
		}
		for _, r := range value {
			if r <= ' ' || r > '~' || r == '"' || r == '\'' || r == '\\' || r == '$' || r == '`' {
				return fmt.Errorf("%q: want printable ASCII without quotes and spaces", clip(value))
			}
		}
	}
	switch {
	case f.ID == "":
		return errors.New("no id: name the ID of the images that the extension fits, or _any")
	case f.ID != AnyID && f.VersionID == "" && f.Level == "":
		return fmt.Errorf("id %s without versionId and level: an image fits by one of them", f.ID)
	}
	return nil
}

// AnyID is the ID of an extension that fits every image.
const AnyID = "_any"
