package repository

import (
	"fmt"
	"path/filepath"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/regular"
)

// Kept reads a file of a published release that the repository keeps as it is,
// such as root.map: at most so many bytes, which are those that the release
// names. It needs no keys and takes no lock.
func Kept(cfg ExtractConfig, name string, most int64) (manifests.Release, []byte, error) {
	fail := func(err error) (manifests.Release, []byte, error) { return manifests.Release{}, nil, err }
	release, _, err := Find(cfg)
	if err != nil {
		return fail(err)
	}
	a, ok := release.Artifact(name)
	if !ok || !isStoredWhole(name) {
		return fail(fmt.Errorf("%s %s: the repository has no %s of it", release.Product, release.Version, name))
	}
	data, err := regular.Read(filepath.Join(cfg.Dir, filepath.FromSlash(manifests.ArtifactPath(a.Digest))), most)
	if err != nil {
		return fail(err)
	}
	if manifests.DigestOf(data) != a.Digest {
		return fail(fmt.Errorf("%s of %s %s is damaged: %w", name, release.Product, release.Version, ErrBroken))
	}
	return release, data, nil
}

// Find reads the release.json of a published release, and gives its digest. It needs
// no keys and takes no lock.
func Find(cfg ExtractConfig) (manifests.Release, manifests.Digest, error) {
	meta, err := readMetadata(cfg.Dir)
	if err != nil {
		return manifests.Release{}, manifests.Digest{}, err
	}
	r := &repository{Config: Config{Dir: cfg.Dir}, meta: meta}
	found, err := r.find(PromoteConfig{Version: cfg.Version, Product: cfg.Product, Arch: cfg.Arch})
	if err != nil {
		return manifests.Release{}, manifests.Digest{}, err
	}
	release, err := r.release(found)
	return release, found.digest, err
}
