package repository

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/regular"
	"github.com/proa-os/proa/signing"
)

// PublishConfig is what Publish needs.
type PublishConfig struct {
	Config
	ReleaseDir     string // the output folder of a build; required
	Channel        string // to move to the release; required
	AllowDowngrade bool   // let the channel go to an older version
	Deltas         int    // how many older releases, the newest, to make deltas from; at most manifests.DeltasMost; optional

	// Notes are the release notes, and Requires is the release that hosts on an
	// older version install first: see manifests.Notice. Nil leaves what is
	// published of either, and empty takes it away.
	Notes    *string
	Requires *manifests.Version
}

// Published is what became of a release.
type Published struct {
	Product string              `json:"product"`
	Arch    manifests.Arch      `json:"arch"`
	Version manifests.Version   `json:"version"`
	Release manifests.Digest    `json:"release"`
	Channel string              `json:"channel"`
	Root    manifests.FetchFile `json:"root"`    // as hosts fetch it
	Deltas  []DeltaEntry        `json:"deltas"`  // newest base first
	LeftOut []LeftOut           `json:"leftOut"` // of the deltas that were asked for; newest base first
	Changed bool                `json:"changed"` // false when all of it was published before
}

// LeftOut is a delta that was not published.
type LeftOut struct {
	From manifests.Version `json:"from"`
	Why  string            `json:"why"` // for people
}

// Publish adds a release and moves a channel to it. Publishing the same
// release again completes what lacks; other content under a published version
// is ErrVersionTaken; a version below the channel's is ErrDowngrade, a security
// epoch below that of the channel's release ErrLowerEpoch, and a release that is
// retracted ErrRetracted. Everything
// in the release folder is checked against its release.json first, unless the
// release is published in full already: a mismatch is ErrBroken.
func Publish(ctx context.Context, cfg PublishConfig) (Published, error) {
	if err := manifests.CheckName("channel", cfg.Channel); err != nil {
		return Published{}, err
	}
	if cfg.Deltas < 0 || cfg.Deltas > manifests.DeltasMost {
		return Published{}, fmt.Errorf("%d deltas: want 0 to %d", cfg.Deltas, manifests.DeltasMost)
	}
	folder, err := readReleaseFolder(cfg.ReleaseDir)
	if err != nil {
		return Published{}, err
	}
	r, unlock, err := open(cfg.Config)
	if err != nil {
		return Published{}, err
	}
	defer unlock()
	release := folder.release
	if err := r.checkVersion(release, folder.digest); err != nil {
		return Published{}, err
	}
	this := listed{release.Product, release.Arch, release.Version, folder.digest}
	targets := map[string][]byte{manifests.ReleaseTarget(release.Product, release.Arch, release.Version): folder.text}
	notice, err := r.changeNotice(this, release, cfg.Notes, cfg.Requires)
	if err != nil {
		return Published{}, err
	}
	if err := r.setNotice(targets, notice); err != nil {
		return Published{}, err
	}
	if err := r.moveChannel(targets, this, release, notice, cfg.Channel, cfg.AllowDowngrade); err != nil {
		return Published{}, err
	}
	// Signing comes last; that a key lacks is better said before the long part.
	for _, role := range []signing.Role{signing.RoleTargets, signing.RoleSnapshot, signing.RoleTimestamp} {
		if err := r.meta.CanSign(role, r.Keys); err != nil {
			return Published{}, err
		}
	}
	transport, complete := r.published(ctx, release, folder.digest)
	made := transport.Deltas
	if !complete {
		history, err := r.history(ctx, release, r.compared(release, cfg.Deltas))
		if err != nil {
			return Published{}, err
		}
		if transport, err = folder.store(ctx, r.Dir, history, r.Progress); err != nil {
			return Published{}, err
		}
		transport.Deltas = append(transport.Deltas, made...)
	}
	leftOut, err := r.addDeltas(ctx, folder, &transport, r.older(release, cfg.Deltas))
	if err != nil {
		return Published{}, err
	}
	transportText, err := document(transport)
	if err != nil {
		return Published{}, err
	}
	// Hosts are stricter than the encoder.
	if _, err := manifests.ParseTransport(transportText); err != nil {
		return Published{}, err
	}
	targets[manifests.TransportTarget(release.Product, release.Arch, release.Version)] = transportText
	changed, err := r.update(ctx, targets)
	return Published{
		Product: release.Product,
		Arch:    release.Arch,
		Version: release.Version,
		Release: folder.digest,
		Channel: cfg.Channel,
		Root:    transport.Root,
		Deltas:  deltaEntries(transport),
		LeftOut: leftOut,
		Changed: changed,
	}, err
}

// document is how the repository writes its own JSON.
func document(v any) ([]byte, error) {
	text, err := json.MarshalIndent(v, "", " ")
	return append(text, '\n'), err
}

// update commits targets, unless all of them are published as they are and whole.
func (r *repository) update(ctx context.Context, targets map[string][]byte) (changed bool, err error) {
	for name, content := range targets {
		if there, err := r.target(name); err != nil || !bytes.Equal(there, content) {
			changed = true
		}
	}
	if !changed {
		return false, nil
	}
	step := r.Progress.Step("sign metadata", 0)
	err = r.commit(ctx, targets)
	step.Done(err)
	return true, err
}

// checkVersion refuses a version that is published with other content, or
// beside one that ranks the same ("1.0" and "1.00"): hosts could not tell which
// is newer.
func (r *repository) checkVersion(release manifests.Release, digest manifests.Digest) error {
	for _, other := range r.releases() {
		if other.product != release.Product || other.arch != release.Arch || other.version.Compare(release.Version) != 0 {
			continue
		}
		if other.version != release.Version || other.digest != digest {
			return fmt.Errorf("%s %s %s is published as %s (%s), here is %s: %w", release.Product, release.Arch,
				release.Version, other.version, other.digest, digest, ErrVersionTaken)
		}
	}
	return nil
}

// published is the transport of a release that is already there in full: it is
// signed, and its artifacts hold what it says. Deltas are not part of that: those
// that are damaged are left out, and the others are good for a release that is not
// complete, too.
func (r *repository) published(ctx context.Context, release manifests.Release, digest manifests.Digest) (manifests.Transport, bool) {
	text, err := r.target(manifests.TransportTarget(release.Product, release.Arch, release.Version))
	if err != nil {
		return manifests.Transport{}, false
	}
	transport, err := manifests.ParseTransport(text)
	if err != nil || transport.CheckAgainst(release, digest) != nil {
		return manifests.Transport{}, false
	}
	transport.Deltas = slices.DeleteFunc(transport.Deltas, func(d manifests.Delta) bool {
		return r.checkArtifact(ctx, d.FetchFile) != nil
	})
	stored := []manifests.FetchFile{transport.Root, transport.Index}
	for _, a := range release.Artifacts {
		if isStoredWhole(a.Name) {
			stored = append(stored, manifests.FetchFile{Size: a.Size, Digest: a.Digest})
		}
	}
	for _, file := range stored {
		if r.checkArtifact(ctx, file) != nil {
			return transport, false
		}
	}
	return transport, true
}

// checkArtifact reads a stored artifact and compares it with its digest.
func (r *repository) checkArtifact(ctx context.Context, file manifests.FetchFile) error {
	f, info, err := regular.Open(filepath.Join(r.Dir, filepath.FromSlash(manifests.ArtifactPath(file.Digest))))
	if err != nil {
		return err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, &contextReader{ctx, f}); err != nil {
		return err
	}
	if info.Size() != file.Size || manifests.Digest(sum.Sum(nil)) != file.Digest {
		return fmt.Errorf("%s is damaged", f.Name())
	}
	return nil
}

// target reads a target that the metadata lists and compares it with its
// digest.
func (r *repository) target(name string) ([]byte, error) { return readTarget(r.Dir, r.meta, name) }

func readTarget(dir string, meta *signing.Metadata, name string) ([]byte, error) {
	digest, _, ok := meta.Target(name)
	if !ok {
		return nil, fmt.Errorf("target %s: %w", name, signing.ErrNotFound)
	}
	path := filepath.Join(dir, filepath.FromSlash(signing.TargetPath(name, digest[:])))
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if manifests.DigestOf(content) != digest {
		return nil, fmt.Errorf("%s: %w", path, signing.ErrMismatch)
	}
	return content, nil
}
