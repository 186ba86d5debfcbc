package builder

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"reflect"
	"slices"

	"github.com/proa-os/proa/builder/uki"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/regular"
)

// Reference is a release as somebody else has built and perhaps signed it.
type Reference struct {
	Release manifests.Release
	Kernel  []byte // its uki.efi, which was read against its digest
}

// ukiMost bounds a kernel image that is read whole, in bytes.
const ukiMost = 512 << 20

// RebuildReference builds the release that a reference is of, in a folder of its own
// below folder that does not stay, and says what came of it. What hosts would run of
// it otherwise is in differ, by name; ReleaseFile stands for what release.json itself
// says. Only when nothing is, there is something to attest. Version, Arch and Epoch of
// c must be those of the release.
func RebuildReference(ctx context.Context, c Config, ref Reference, folder string) (rebuild manifests.Rebuild, differ []string, err error) {
	work, err := os.MkdirTemp(folder, ".proa-rebuild-")
	if err != nil {
		return manifests.Rebuild{}, nil, err
	}
	defer os.RemoveAll(work)
	c.Output, c.Replace = filepath.Join(work, "release"), false
	again, err := Build(ctx, c)
	if err != nil {
		return manifests.Rebuild{}, nil, err
	}
	lock, err := c.lockDigest()
	if err != nil {
		return manifests.Rebuild{}, nil, err
	}
	kernel, _ := ref.Release.Artifact(manifests.UKIFile)
	rebuild = manifests.Rebuild{
		Product: again.Product, Version: again.Version, Arch: again.Arch, RootHash: again.Root.Hash, Kernel: kernel.Digest,
		Recipe: manifests.DigestOf(c.RecipeText), Lock: lock, Tool: c.Tool, Same: []string{}, Otherwise: []string{},
	}
	otherwise := differing(ref.Release, again)
	for _, a := range ref.Release.Artifacts {
		if !slices.Contains(otherwise, a.Name) {
			rebuild.Same = append(rebuild.Same, a.Name)
		}
	}
	for _, name := range otherwise {
		same := !manifests.RunsOnHosts(name)
		if name == manifests.UKIFile {
			if same, err = sameButSigned(ref.Kernel, filepath.Join(c.Output, manifests.UKIFile)); err != nil {
				return manifests.Rebuild{}, nil, err
			}
		}
		if same {
			rebuild.Otherwise = append(rebuild.Otherwise, name)
		} else {
			differ = append(differ, name)
		}
	}
	again.Artifacts = ref.Release.Artifacts
	if !reflect.DeepEqual(again, ref.Release) {
		differ = append(differ, manifests.ReleaseFile)
	}
	return rebuild, differ, nil
}

// sameButSigned reports whether a kernel image is the one that was built, but for what
// signing adds.
func sameButSigned(published []byte, built string) (bool, error) {
	image, err := regular.Read(built, ukiMost)
	if err != nil {
		return false, err
	}
	was, err := uki.Unsigned(published)
	if err != nil {
		return false, nil // it is none that proa makes
	}
	is, err := uki.Unsigned(image)
	return err == nil && bytes.Equal(was, is), err
}
