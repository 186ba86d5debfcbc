// Package sign makes a signed release of one that was built: as a step of its own,
// since signatures carry a time and keys lie elsewhere, so that the build stays the same
// bytes wherever it runs.
//
// Of the kernel image, what a TPM will measure is signed first, if the recipe named
// a key for that; then the kernel image and the boot loader are signed for Secure Boot,
// and the disk image is made anew with them. All else stays as it was built. The
// output folder is a release like any other, and has been verified as one.
package sign

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/proa-os/proa/builder/examine"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/progress"
	"github.com/proa-os/proa/regular"
	"github.com/proa-os/proa/signing"
	"github.com/proa-os/proa/signing/secureboot"
)

// Config is a release and who signs it.
type Config struct {
	Release string            // required: the folder of what was built
	Output  string            // required: the folder to make; it must not exist or be empty
	Signer  secureboot.Signer // required: signs kernel image and boot loader

	// PCRKey is the key that signs what a TPM measures of the kernel image, as
	// secureboot.OpenKey takes it; required where the image has the public half.
	PCRKey string
	// Again signs what is signed already anew, without the signatures that it has.
	Again bool
	// Enroll are files for the boot partition of the disk image by their path there,
	// such as "loader/keys/auto/db.auth"; optional.
	Enroll map[string][]byte
	// Provenance signs the release's provenance; optional.
	Provenance []signing.PrivateKey

	Progress progress.Reporter // nil: silent
}

// What can be wrong, for errors.Is.
var (
	ErrExists = errors.New("the output exists already")
	ErrNoPCR  = errors.New("the kernel image has a key for PCR policies, and its private half is not here")
)

// run is one run of Release; each step fills what the next ones read.
type run struct {
	Config
	work     string // becomes Output
	unsigned manifests.Release
	digest   manifests.Digest // of the unsigned release.json
	layout   manifests.Layout
	uki      []byte
	loader   []byte
	release  manifests.Release
}

// Release signs a release. The output folder appears whole or not at all.
func Release(ctx context.Context, c Config) (manifests.Release, error) {
	if c.Progress == nil {
		c.Progress = progress.Silent()
	}
	c.Output = filepath.Clean(c.Output)
	entries, err := os.ReadDir(c.Output)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return manifests.Release{}, err
	}
	if len(entries) > 0 {
		return manifests.Release{}, fmt.Errorf("%s: %w", c.Output, ErrExists)
	}
	parent := filepath.Dir(c.Output)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return manifests.Release{}, err
	}
	work, err := os.MkdirTemp(parent, "."+filepath.Base(c.Output)+".signing-")
	if err != nil {
		return manifests.Release{}, err
	}
	defer os.RemoveAll(work)
	r := &run{Config: c, work: work}
	for _, step := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"read release", r.read},
		{"sign measurements", r.signMeasurements},
		{"sign kernel image", r.signKernel},
		{"sign boot loader", r.signLoader},
		{"copy what stays", r.copyRest},
		{"write disk image", r.writeDisk},
		{"write provenance", r.writeProvenance},
		{"list artifacts", r.listArtifacts},
		{"verify release", r.verify},
		{"move into place", r.publish},
	} {
		if err := ctx.Err(); err != nil {
			return manifests.Release{}, err
		}
		if err := step.run(ctx); err != nil {
			return manifests.Release{}, fmt.Errorf("%s: %w", step.name, err)
		}
	}
	return r.release, nil
}

const partMost = 512 << 20 // bytes of a part that is read whole

// part reads an artifact of the unsigned release, held against its digest: what is
// signed must be what was built.
func (r *run) part(name string) ([]byte, error) {
	listed, ok := r.unsigned.Artifact(name)
	if !ok {
		return nil, fmt.Errorf("the release lists no %s: build it again, with this proa", name)
	}
	content, err := regular.Read(filepath.Join(r.Release, name), partMost)
	if err != nil {
		return nil, err
	}
	if sum := manifests.DigestOf(content); sum != listed.Digest {
		return nil, fmt.Errorf("%s: %s: the release lists %s", name, sum, listed.Digest)
	}
	return content, nil
}

func (r *run) read(context.Context) error {
	text, err := regular.Read(filepath.Join(r.Release, manifests.ReleaseFile), manifests.DocumentMost)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", r.Release, examine.ErrNoRelease)
	}
	if err != nil {
		return err
	}
	if r.unsigned, err = manifests.ParseRelease(text); err != nil {
		return err
	}
	r.digest = manifests.DigestOf(text)
	layout, err := r.part(manifests.LayoutFile)
	if err != nil {
		return err
	}
	if r.layout, err = manifests.ParseLayout(layout); err != nil {
		return err
	}
	if r.uki, err = r.part(manifests.UKIFile); err != nil {
		return err
	}
	r.loader, err = r.part(manifests.LoaderFile)
	return err
}

func (r *run) listArtifacts(ctx context.Context) error {
	text, err := json.MarshalIndent(r.release, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(r.path(manifests.ReleaseFile), append(text, '\n'), 0o644)
}

// verify reads the whole release as 'proa verify' does, and checks the signatures.
func (r *run) verify(ctx context.Context) error {
	for _, program := range [][]byte{r.uki, r.loader} {
		if err := secureboot.Verify(program, r.Signer.Certificate); err != nil {
			return err
		}
	}
	checks, err := examine.Verify(ctx, r.work, r.Progress)
	for _, c := range checks {
		if c.Fault != "" {
			return fmt.Errorf("%s: %s", c.Name, c.Fault)
		}
	}
	return err
}

func (r *run) publish(context.Context) error {
	if err := os.Chmod(r.work, 0o755); err != nil {
		return err
	}
	err := os.Rename(r.work, r.Output)
	if errors.Is(err, fs.ErrExist) || errors.Is(err, unix.ENOTEMPTY) {
		return fmt.Errorf("%s: %w", r.Output, ErrExists) // somebody else was faster
	}
	return err
}

// path is where an artifact of the signed release is while it is being made.
func (r *run) path(name string) string { return filepath.Join(r.work, name) }
