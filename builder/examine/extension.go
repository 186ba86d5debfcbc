package examine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/proa-os/proa/builder/ddi"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/regular"
)

// ReadExtension reads what a build said of an extension. Nothing of its image is
// read.
func ReadExtension(folder string) (manifests.BuiltExtension, error) {
	name := filepath.Join(folder, manifests.ExtensionFile)
	text, err := regular.Read(name, manifests.DocumentMost)
	if err != nil {
		return manifests.BuiltExtension{}, err
	}
	built, err := manifests.ParseBuiltExtension(text)
	if err != nil {
		return manifests.BuiltExtension{}, fmt.Errorf("%s: %w", name, err)
	}
	return built, nil
}

// isExtension reports whether a folder is what a build of an extension makes. One with
// a release.json is a release for everybody, whatever else lies in it.
func isExtension(folder string) bool {
	_, extension := os.Stat(filepath.Join(folder, manifests.ExtensionFile))
	_, release := os.Stat(filepath.Join(folder, manifests.ReleaseFile))
	return extension == nil && errors.Is(release, fs.ErrNotExist)
}

// extension examines the folder of an extension.
func (v *verification) extension(folder string) error {
	built, err := ReadExtension(folder)
	if err != nil {
		return err
	}
	for _, a := range built.Artifacts {
		v.note(a.Name+" against its digest", v.artifact(folder, a))
	}
	v.note("disk image against the root hash", v.extensionImage(filepath.Join(folder, built.Image()), built.Extension, built.Arch))
	return nil
}

func (v *verification) extensionImage(path string, x manifests.Extension, arch manifests.Arch) error {
	file, info, err := regular.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	image, err := ddi.Open(file, info.Size(), string(arch), [32]byte(x.RootHash))
	if err != nil {
		return err
	}
	step := v.progress.Step("verify "+filepath.Base(path), image.Root.Size())
	err = image.Verify(v.ctx, step.Add)
	step.Done(err)
	return err
}

// extensions examines those of a release.
func (v *verification) extensions(folder string, release manifests.Release) {
	if _, ok := release.Artifact(manifests.ExtensionsFile); !ok {
		return
	}
	text, err := regular.Read(filepath.Join(folder, manifests.ExtensionsFile), manifests.DocumentMost)
	var list manifests.Extensions
	if err == nil {
		list, err = manifests.ParseExtensions(text)
	}
	if err == nil {
		err = list.CheckAgainst(release)
	}
	v.note("list of extensions against the release", err)
	for _, x := range list.Extensions {
		v.note("extension "+x.Name+" against its root hash", v.extensionImage(filepath.Join(folder, x.Image()), x, release.Arch))
	}
}
