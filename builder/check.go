package builder

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"

	"github.com/proa-os/proa/builder/compare"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/signing"
)

// Check is what rebuilding a release has shown.
type Check struct {
	Same bool `json:"same"` // every byte of it, but for what Signatures says
	// Signatures says that the provenance was signed by others, or by nobody, and
	// that what was signed is the same.
	Signatures bool     `json:"signatures,omitempty"`
	Artifacts  []string `json:"artifacts,omitempty"` // that differ, by name
	// Path is the first file of the root image that differs, and What differs
	// there; empty when the root images are the same.
	Path string `json:"path,omitempty"`
	What string `json:"what,omitempty"`
}

// Rebuild builds a release once more, beside the folder that holds it, and
// compares the two. Version, Arch and Epoch of c must be those of the release.
// What it built does not stay.
func Rebuild(ctx context.Context, c Config, release manifests.Release, folder string) (Check, error) {
	parent := filepath.Dir(filepath.Clean(folder))
	work, err := os.MkdirTemp(parent, "."+filepath.Base(folder)+".checking-")
	if err != nil {
		return Check{}, err
	}
	defer os.RemoveAll(work)
	c.Output, c.Replace = filepath.Join(work, "release"), false
	again, err := Build(ctx, c)
	if err != nil {
		return Check{}, err
	}
	check := Check{Artifacts: differing(release, again)}
	old, err := os.ReadFile(filepath.Join(folder, manifests.ReleaseFile))
	if err != nil {
		return Check{}, err
	}
	now, err := os.ReadFile(filepath.Join(c.Output, manifests.ReleaseFile))
	if err != nil {
		return Check{}, err
	}
	check.Same = string(old) == string(now)
	if !check.Same {
		if check.Signatures, err = onlySignatures(release, again, folder, c.Output); err != nil {
			return Check{}, err
		}
	}
	if check.Signatures {
		check.Same, check.Artifacts = true, nil
	}
	was, _ := release.Artifact(manifests.RootFile)
	is, _ := again.Artifact(manifests.RootFile)
	if was.Digest != is.Digest {
		check.Path, check.What, err = firstDifference(folder, c.Output)
	}
	return check, err
}

// onlySignatures reports whether two releases differ in the signatures of their
// provenance alone.
func onlySignatures(old, now manifests.Release, oldFolder, newFolder string) (bool, error) {
	if differ := differing(old, now); len(differ) != 1 || differ[0] != manifests.ProvenanceFile {
		return false, nil
	}
	now.Artifacts = old.Artifacts
	if !reflect.DeepEqual(old, now) {
		return false, nil
	}
	envelope, err := os.ReadFile(filepath.Join(oldFolder, manifests.ProvenanceFile))
	if err != nil {
		return false, err
	}
	// What stands in the folder must be what its release names.
	if a, _ := old.Artifact(manifests.ProvenanceFile); a.Digest != manifests.DigestOf(envelope) {
		return false, nil
	}
	was, err := signing.OpenUnsealed(envelope, signing.PayloadInToto)
	if err != nil {
		return false, err
	}
	if envelope, err = os.ReadFile(filepath.Join(newFolder, manifests.ProvenanceFile)); err != nil {
		return false, err
	}
	is, err := signing.OpenUnsealed(envelope, signing.PayloadInToto)
	return err == nil && bytes.Equal(was, is), err
}

// differing are the names of artifacts that two releases do not share.
func differing(old, now manifests.Release) []string {
	var names []string
	for _, a := range old.Artifacts {
		if b, ok := now.Artifact(a.Name); !ok || a != b {
			names = append(names, a.Name)
		}
	}
	for _, b := range now.Artifacts {
		if _, ok := old.Artifact(b.Name); !ok {
			names = append(names, b.Name)
		}
	}
	return names
}

// firstDifference finds the first file that differs in the root images of two
// release folders.
func firstDifference(old, now string) (path, what string, err error) {
	var systems [2]compare.System
	for i, folder := range []string{old, now} {
		image, err := os.Open(filepath.Join(folder, manifests.RootFile))
		if errors.Is(err, fs.ErrNotExist) {
			return "", "", fmt.Errorf("there is nothing to compare with: %w", err)
		}
		if err != nil {
			return "", "", err
		}
		defer image.Close()
		if systems[i], err = compare.Read(image, folder); err != nil {
			return "", "", err
		}
	}
	path, what, differ := compare.FirstDifference(systems[0].Tree, systems[1].Tree)
	if !differ {
		what = "the same files, laid out otherwise: by another version of proa, perhaps"
	}
	return path, what, nil
}
