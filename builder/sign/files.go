package sign

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/proa-os/proa/builder/provenance"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/partitions/diskimage"
	"github.com/proa-os/proa/partitions/sparse"
	"github.com/proa-os/proa/regular"
	"github.com/proa-os/proa/signing"
)

// madeAnew are the artifacts that signing changes.
func madeAnew(name string) bool {
	return slices.Contains([]string{manifests.UKIFile, manifests.LoaderFile, manifests.DiskFile, manifests.ProvenanceFile}, name)
}

// copyRest writes what was signed, and beside it the artifacts that stay. Their
// digests are those of the manifest, which the last step checks.
func (r *run) copyRest(ctx context.Context) error {
	r.release = r.unsigned
	r.release.Artifacts = nil
	for _, a := range r.unsigned.Artifacts {
		if madeAnew(a.Name) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		step := r.Progress.Step("copy "+a.Name, a.Size)
		err := copyFile(r.path(a.Name), filepath.Join(r.Release, a.Name))
		step.Done(err)
		if err != nil {
			return err
		}
		r.release.Artifacts = append(r.release.Artifacts, a)
	}
	for name, content := range map[string][]byte{manifests.UKIFile: r.uki, manifests.LoaderFile: r.loader} {
		if err := os.WriteFile(r.path(name), content, 0o644); err != nil {
			return err
		}
		if err := r.list(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

func copyFile(to, from string) error {
	source, _, err := regular.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	copied, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer copied.Close()
	if _, err := io.Copy(copied, source); err != nil {
		return fmt.Errorf("copying %s: %w", from, err)
	}
	return copied.Close()
}

// list adds an artifact that was made.
func (r *run) list(ctx context.Context, name string) error {
	size, sum, err := sparse.Digest(ctx, r.path(name), func(int64) {})
	r.release.Artifacts = append(r.release.Artifacts, manifests.Artifact{Name: name, Size: size, Digest: sum})
	slices.SortFunc(r.release.Artifacts, func(a, b manifests.Artifact) int { return cmp.Compare(a.Name, b.Name) })
	return err
}

func (r *run) writeDisk(ctx context.Context) error {
	layout, err := partitions.Plan(r.layout.Seed, string(r.unsigned.Arch), partitions.Sizes{
		ESP: r.layout.ESP, Root: r.layout.Root, Verity: r.layout.Verity, Var: r.layout.Var,
	})
	if err != nil {
		return err
	}
	root, err := diskimage.OpenSource(r.path(manifests.RootFile))
	if err != nil {
		return err
	}
	defer root.Close()
	hashes, err := diskimage.OpenSource(r.path(manifests.VerityFile))
	if err != nil {
		return err
	}
	defer hashes.Close()
	file, err := os.OpenFile(r.path(manifests.DiskFile), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer file.Close()
	more := map[string]diskimage.Source{}
	for path, content := range r.Enroll {
		more[path] = diskimage.InMemory(content)
	}
	err = diskimage.Write(ctx, file, diskimage.Config{
		Layout:   layout,
		Arch:     string(r.unsigned.Arch),
		Seed:     r.layout.Seed,
		Epoch:    r.unsigned.Epoch,
		Loader:   diskimage.InMemory(r.loader),
		UKI:      diskimage.InMemory(r.uki),
		Root:     root.Source,
		Verity:   hashes.Source,
		ESPFiles: more,
		Progress: r.Progress,
	})
	if err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	return r.list(ctx, manifests.DiskFile)
}

// writeProvenance says that the signed release was made of the built one by the
// certificate. What the build's own said stays in it; its signatures do not, since
// they were not made for this.
func (r *run) writeProvenance(ctx context.Context) error {
	envelope, err := r.part(manifests.ProvenanceFile)
	if err != nil {
		return err
	}
	statement, err := signing.OpenUnsealed(envelope, signing.PayloadInToto)
	if err != nil {
		return err
	}
	inputs := []provenance.Input{
		{Name: "unsigned " + manifests.ReleaseFile, Digest: r.digest},
		{Name: "certificate " + r.Signer.Certificate.Subject.CommonName, Digest: manifests.DigestOf(r.Signer.Certificate.Raw)},
	}
	for _, path := range slices.Sorted(maps.Keys(r.Enroll)) {
		inputs = append(inputs, provenance.Input{Name: path, Digest: manifests.DigestOf(r.Enroll[path])})
	}
	if statement, err = provenance.Amend(statement, r.release.Artifacts, inputs); err != nil {
		return err
	}
	if envelope, err = signing.Seal(signing.PayloadInToto, statement, r.Provenance...); err != nil {
		return err
	}
	if err := os.WriteFile(r.path(manifests.ProvenanceFile), envelope, 0o644); err != nil {
		return err
	}
	return r.list(ctx, manifests.ProvenanceFile)
}
