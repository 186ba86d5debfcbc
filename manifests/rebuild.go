package manifests

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// RebuildType is the predicate type of an in-toto statement about a rebuild
// (https://github.com/in-toto/attestation, Statement v1); its predicate is a
// Rebuild, and its one subject the release.json of the release.
const RebuildType = "https://github.com/proa-os/proa/rebuild/v1"

// Rebuild says that somebody built a release once more, from its recipe and its
// lock, and that what hosts run of it came out the same. There is none of a rebuild
// that came out otherwise.
type Rebuild struct {
	Product  string    `json:"product"`
	Version  Version   `json:"version"`
	Arch     Arch      `json:"arch"`
	RootHash HexBytes  `json:"rootHash"` // that came out, and that the release has
	Kernel   Digest    `json:"kernel"`   // of the release's uki.efi
	Recipe   Digest    `json:"recipe"`
	Lock     Digest    `json:"lock,omitzero"` // if there is one
	Finished time.Time `json:"finished"`      // to the second, UTC
	Tool     string    `json:"tool"`          // version of proa
	// Same are the artifacts that came out the same, byte for byte, and Otherwise those
	// that did not: files that no host runs, and what signing adds.
	Same      []string `json:"same"`
	Otherwise []string `json:"otherwise"`
}

// RunsOnHosts says whether an artifact is one that hosts run or obey: what a rebuild
// must have brought about.
func RunsOnHosts(name string) bool {
	return name == RootFile || name == UKIFile || name == StateFile || IsOfExtensions(name)
}

// Statement is the in-toto statement that the rebuild was of a release, named by the
// digest of its release.json.
func (r Rebuild) Statement(release Digest) ([]byte, error) {
	if err := r.check(); err != nil {
		return nil, fmt.Errorf("rebuild: %w", err)
	}
	return newStatement(RebuildType, r, release)
}

// ParseRebuild reads a statement of Statement, whose bytes must have been verified,
// and tells the release that it is about. Fields that are not known are passed over,
// as in-toto wants it.
func ParseRebuild(data []byte) (release Digest, r Rebuild, err error) {
	about, err := readStatement(data, RebuildType, &r)
	if err == nil {
		err = r.check()
	}
	if err != nil {
		return Digest{}, Rebuild{}, fmt.Errorf("rebuild: %w", err)
	}
	return about[0], r, nil
}

func (r Rebuild) check() error {
	if err := checkIdentity(r.Product, r.Arch, r.Version); err != nil {
		return err
	}
	switch {
	case len(r.RootHash) != 32:
		return fmt.Errorf("root hash of %d bytes: want 32", len(r.RootHash))
	case r.Kernel.IsZero() || r.Recipe.IsZero():
		return errors.New("want digests of kernel and recipe")
	case r.Same == nil || r.Otherwise == nil:
		return errors.New("want lists of what came out the same, and otherwise")
	case len(r.Same) > artifactsMost || len(r.Otherwise) > artifactsMost:
		return fmt.Errorf("%d and %d artifacts: want at most %d", len(r.Same), len(r.Otherwise), artifactsMost)
	}
	return nil
}

// CheckFor reports how a rebuild is not one of the given release.
func (r Rebuild) CheckFor(release Release) error {
	uki, _ := release.Artifact(UKIFile)
	switch {
	case r.Product != release.Product || r.Version != release.Version || r.Arch != release.Arch:
		return fmt.Errorf("it is of %s %s for %s", r.Product, r.Version, r.Arch)
	case !slices.Equal(r.RootHash, release.Root.Hash):
		return fmt.Errorf("it came to root hash %s: the release has %s", r.RootHash, release.Root.Hash)
	case r.Kernel != uki.Digest:
		return fmt.Errorf("it came to kernel image %s: the release has %s", r.Kernel, uki.Digest)
	}
	for _, a := range release.Artifacts {
		// The kernel image of a signed release is the same but for that.
		if RunsOnHosts(a.Name) && a.Name != UKIFile && !slices.Contains(r.Same, a.Name) {
			return fmt.Errorf("it does not say that %s came out the same", a.Name)
		}
	}
	return nil
}
