package builder

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/proa-os/proa/builder/ddi"
	"github.com/proa-os/proa/builder/examine"
	"github.com/proa-os/proa/builder/inventory"
	"github.com/proa-os/proa/builder/provenance"
	"github.com/proa-os/proa/builder/tree"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/regular"
)

// addExtensions brings the extensions that the recipe names into the release: their
// images and bills of materials as artifacts, and into the tree the list of them,
// so that the root hash covers theirs.
func (b *build) addExtensions(ctx context.Context) error {
	if len(b.Recipe.Extensions) == 0 {
		return nil
	}
	list := manifests.Extensions{Schema: 1, Product: b.Recipe.Product, Version: b.Version, Arch: b.Arch}
	system := b.osReleaseKeys()
	for i, folder := range b.Recipe.Extensions {
		built, err := examine.ReadExtension(b.inFolder(folder))
		if other, ok := list.Find(built.Name); ok && err == nil {
			err = fmt.Errorf("the name %s is that of a %s already", built.Name, other.Kind)
		}
		if err == nil {
			err = b.addExtension(ctx, b.inFolder(folder), built, system)
		}
		if err != nil {
			return fmt.Errorf("extensions[%d]: %w", i, err)
		}
		list.Extensions = append(list.Extensions, built.Extension)
	}
	slices.SortFunc(list.Extensions, func(a, b manifests.Extension) int { return strings.Compare(a.Name, b.Name) })
	text, err := json.MarshalIndent(list, "", "  ")
	if err != nil {
		return err
	}
	text = append(text, '\n')
	if _, err := manifests.ParseExtensions(text); err != nil {
		return err
	}
	if err := b.putFile(manifests.ExtensionsPath, text, 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(b.path(manifests.ExtensionsFile), text, 0o644); err != nil {
		return err
	}
	b.digest(ctx, manifests.ExtensionsFile)
	for _, name := range slices.Sorted(maps.Keys(b.Agent.ExtensionLinks)) {
		link := &tree.Node{Kind: tree.Symlink, Mode: 0o777, Target: b.Agent.ExtensionLinks[name], Source: ownSource}
		if err := b.tree.Put(path.Join(unitFolder, name), link); err != nil {
			return err
		}
	}
	return nil
}

// osReleaseKeys are those of the file that systemd reads.
func (b *build) osReleaseKeys() map[string]string {
	text, err := b.tree.ReadFile("etc/os-release", textMost)
	if err != nil {
		text, err = b.tree.ReadFile("usr/lib/os-release", textMost)
	}
	if err != nil {
		return nil
	}
	return inventory.ParseOSRelease(string(text))
}

// addExtension copies what belongs to an extension and checks that the system can
// attach it.
func (b *build) addExtension(ctx context.Context, folder string, built manifests.BuiltExtension, system map[string]string) error {
	if err := b.fitsSystem(built, system); err != nil {
		return fmt.Errorf("%s %s: %w", built.Name, built.Version, err)
	}
	b.inputs.add(otherInputs, provenance.Input{Name: fmt.Sprintf("extension %s %s", built.Name, built.Version), Digest: built.Digest})
	for _, a := range built.Artifacts {
		name := a.Name
		switch name {
		case built.Image():
		case manifests.SBOMFile:
			name = built.SBOM()
		default:
			continue
		}
		if err := b.copyArtifact(ctx, folder, a, name); err != nil {
			return err
		}
	}
	return b.verifyExtension(ctx, built)
}

// copyArtifact copies a file of an extension, whose digest is that of what was
// copied.
func (b *build) copyArtifact(ctx context.Context, folder string, a manifests.Artifact, name string) error {
	from, _, err := regular.Open(filepath.Join(folder, a.Name))
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.OpenFile(b.path(name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer to.Close()
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(to, sum), io.LimitReader(from, a.Size+1))
	if err != nil {
		return err
	}
	if digest := manifests.Digest(sum.Sum(nil)); n != a.Size || digest != a.Digest {
		return fmt.Errorf("%s has %d bytes with %s: %s says %d with %s", from.Name(), n, digest, manifests.ExtensionFile, a.Size, a.Digest)
	}
	if err := to.Close(); err != nil {
		return err
	}
	b.digest(ctx, name)
	return nil
}

// verifyExtension holds an image against the root hash by which hosts open it.
func (b *build) verifyExtension(ctx context.Context, x manifests.BuiltExtension) error {
	file, err := os.Open(b.path(x.Image()))
	if err != nil {
		return err
	}
	defer file.Close()
	image, err := ddi.Open(file, x.Size, string(x.Arch), [32]byte(x.RootHash))
	if err == nil {
		err = image.Verify(ctx, nil)
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", x.Name, x.Version, err)
	}
	return nil
}

// verityLibrary is what systemd's tools load by name when they open an image. Since
// Debian 13 it does not come with systemd.
const verityLibrary = "libcryptsetup.so.12"

// fitsSystem says why systemd would not attach an extension to the system in the
// tree.
func (b *build) fitsSystem(x manifests.BuiltExtension, system map[string]string) error {
	if x.Arch != b.Arch {
		return fmt.Errorf("it is for %s: the release is for %s", x.Arch, b.Arch)
	}
	if err := matches(x, system); err != nil {
		return err
	}
	program := "systemd-" + string(x.Kind)
	for _, name := range []string{"usr/bin/" + program, path.Join(unitFolder, program+".service")} {
		if _, ok := b.tree.Resolve(name); ok {
			continue
		}
		has := "no systemd"
		if version := b.systemdVersion(); version != "" {
			has = "systemd " + version
		}
		since := map[manifests.ExtensionKind]string{manifests.Sysext: "248", manifests.Confext: "254"}[x.Kind]
		return fmt.Errorf("it is a %s, and the image has %s without /%s, which is there since systemd %s", x.Kind, has, name, since)
	}
	if !b.isInOneOf(libraryFolders, verityLibrary) {
		return fmt.Errorf("it is attached by dm-verity, and the image has no %s, which systemd loads for that (on Debian: package libcryptsetup12)", verityLibrary)
	}
	return nil
}

// matches is the rule of systemd-sysext(8) for what an extension fits.
func matches(x manifests.BuiltExtension, system map[string]string) error {
	fits := x.Fits
	if fits.ID == manifests.AnyID {
		return nil
	}
	if id := system["ID"]; id != fits.ID {
		return fmt.Errorf("it fits ID=%s: the image's os-release has ID=%s", fits.ID, id)
	}
	key := levelKey(x.Kind)
	level, version := system[key], system["VERSION_ID"]
	switch {
	case level == "" && version == "": // a rolling release
		return nil
	case level != "" && fits.Level != "":
		if level != fits.Level {
			return fmt.Errorf("it fits %s=%s: the image's os-release has %s=%s", key, fits.Level, key, level)
		}
		return nil
	case version != fits.VersionID:
		return fmt.Errorf("it fits VERSION_ID=%s: the image's os-release has VERSION_ID=%s", fits.VersionID, version)
	}
	return nil
}

var sharedLibrary = regexp.MustCompile(`^libsystemd-shared-([0-9]+)`)

// systemdVersion is the version of the tree's systemd, by the name of the library
// that its programs share; "" if there is none.
func (b *build) systemdVersion() string {
	for _, folder := range []string{"usr/lib/systemd", "usr/lib64/systemd", "usr/lib/x86_64-linux-gnu/systemd", "usr/lib/aarch64-linux-gnu/systemd"} {
		names, err := b.tree.Children(folder)
		if err != nil {
			continue
		}
		for _, name := range names {
			if found := sharedLibrary.FindStringSubmatch(name); found != nil {
				return found[1]
			}
		}
	}
	return ""
}
