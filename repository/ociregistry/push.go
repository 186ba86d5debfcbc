// Package ociregistry puts a repository into an OCI registry, as one artifact
// from which hosts update themselves (package fetch/registry).
//
// Push is all there is to it. Hosts see what was pushed, whole, when the tag is
// moved to the new manifest; a push that is cut anywhere before leaves them what
// they saw, and may be run again.
package ociregistry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sync/errgroup"

	"github.com/proa-os/proa/fetch"
	"github.com/proa-os/proa/fetch/registry"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/progress"
	"github.com/proa-os/proa/repository"
)

// ErrRefused keeps a repository from being pushed, as do registry.ErrUnauthorized
// and, when something else has the tag, registry.ErrNotRepository.
var ErrRefused = errors.New("hosts that trust what is in the registry would refuse this")

// Config is what Push needs.
type Config struct {
	Dir       string              // the repository's folder; required
	Reference registry.Reference  // where to; required
	Versions  []manifests.Version // of the releases to push; none means all
	UserAgent string              // names the program; optional
	Now       func() time.Time    // nil means time.Now
	Progress  progress.Reporter   // nil means silent
	Pause     time.Duration       // before the first repetition of what failed; 0 means a second
}

// Pushed is what became of it.
type Pushed struct {
	Reference string                     `json:"reference"`
	Manifest  manifests.Digest           `json:"manifest"`
	Releases  []repository.PackedRelease `json:"releases"`
	Expires   time.Time                  `json:"expires"` // when hosts begin to refuse it
	Files     int                        `json:"files"`
	Size      int64                      `json:"size"`     // bytes of the files
	Uploaded  int64                      `json:"uploaded"` // bytes that the registry did not have
	Changed   bool                       `json:"changed"`  // false when the tag was there already
}

// atOnce is how many blobs are under way.
const atOnce = 4

// Push puts what hosts need of the repository into the registry. It refuses what
// they would refuse: new ones, and those that trust what the tag names now.
// Credentials are those of docker and podman.
func Push(ctx context.Context, cfg Config) (Pushed, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Progress == nil {
		cfg.Progress = progress.Silent()
	}
	pack, err := repository.PackWhole(ctx, cfg.Dir, cfg.Now(), cfg.Versions...)
	if err != nil {
		return Pushed{}, err
	}
	text, err := manifestOf(pack)
	if err != nil {
		return Pushed{}, err
	}
	p, err := open(ctx, cfg)
	if err != nil {
		return Pushed{}, err
	}
	before, err := p.tagged(ctx)
	if err != nil {
		return Pushed{}, explain(ctx, fmt.Errorf("looking at %s: %w", cfg.Reference, err))
	}
	if before != nil {
		if err := p.checkSuccession(ctx, pack, before, cfg.Now()); err != nil {
			return Pushed{}, explain(ctx, err)
		}
	}
	uploaded, err := p.upload(ctx, pack, cfg.Progress)
	if err != nil {
		return Pushed{}, explain(ctx, err)
	}
	pushed := Pushed{
		Reference: cfg.Reference.String(), Manifest: manifests.DigestOf(text), Releases: pack.Releases, Expires: pack.Expires,
		Files: len(pack.Files), Size: pack.Size(), Uploaded: uploaded, Changed: !bytes.Equal(before, text),
	}
	if pushed.Changed {
		if err := p.pusher.Put(ctx, p.tag, taggable(text)); err != nil {
			return Pushed{}, explain(ctx, fmt.Errorf("moving %s: %w", cfg.Reference, err))
		}
	}
	return pushed, nil
}

// manifestOf is the manifest's text, which depends on the pack alone.
func manifestOf(pack *repository.Pack) ([]byte, error) {
	m := registry.Manifest{
		SchemaVersion: 2, MediaType: registry.ManifestType, ArtifactType: registry.ArtifactType,
		Config: registry.Descriptor{MediaType: registry.EmptyType, Digest: manifests.DigestOf(emptyConfig), Size: int64(len(emptyConfig))},
	}
	for _, f := range pack.Files {
		m.Layers = append(m.Layers, registry.Descriptor{
			MediaType: registry.FileType, Digest: f.Digest, Size: f.Size, Annotations: registry.Annotations{Title: f.Name},
		})
	}
	text, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	// A host's reader has the last word on what fits.
	_, _, err = registry.ParseManifest(text)
	return text, err
}

// emptyConfig is the content of the empty descriptor (Image Specification 1.1,
// "Guidance for an Empty Descriptor").
var emptyConfig = []byte("{}")

// push is a registry in use.
type push struct {
	tag    name.Tag
	pusher *remote.Pusher
	puller *remote.Puller
}

func open(ctx context.Context, cfg Config) (*push, error) {
	tag, err := tagOf(cfg.Reference)
	if err != nil {
		return nil, err
	}
	auth, err := authn.Resolve(ctx, authn.DefaultKeychain, tag.Context())
	if err != nil {
		return nil, fmt.Errorf("finding credentials for %s: %w", cfg.Reference.Host, err)
	}
	if cfg.Pause == 0 {
		cfg.Pause = time.Second
	}
	// A registry may take its time over what it has just got a gigabyte of.
	pool := fetch.Transport(fetch.Patience{Window: 5 * time.Minute}, atOnce)
	pool.ForceAttemptHTTP2 = true
	options := []remote.Option{
		remote.WithAuth(auth), remote.WithTransport(guard{pool}), remote.WithUserAgent(cfg.UserAgent), remote.WithJobs(atOnce),
		remote.WithRetryBackoff(remote.Backoff{Duration: cfg.Pause, Factor: 3, Jitter: 0.1, Steps: 4}),
	}
	p := &push{tag: tag}
	if p.pusher, err = remote.NewPusher(options...); err != nil {
		return nil, err
	}
	p.puller, err = remote.NewPuller(options...)
	return p, err
}

func tagOf(ref registry.Reference) (name.Tag, error) {
	var options []name.Option
	host := url.URL{Host: ref.Host}
	if registry.OnThisMachine(host.Hostname()) {
		options = append(options, name.Insecure)
	}
	at, err := name.NewRegistry(ref.Host, options...)
	if err != nil {
		return name.Tag{}, err
	}
	return at.Repo(ref.Name).Tag(ref.Tag), nil
}

// guard lets nothing out unencrypted.
type guard struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (g guard) RoundTrip(request *http.Request) (*http.Response, error) {
	if at := request.URL; at.Scheme != "https" && !registry.OnThisMachine(at.Hostname()) {
		return nil, fmt.Errorf("%s://%s: want https, except for registries on this machine", at.Scheme, at.Host)
	}
	return g.next.RoundTrip(request)
}

// upload brings the registry the blobs that it does not have, and gives their
// bytes.
func (p *push) upload(ctx context.Context, pack *repository.Pack, reporter progress.Reporter) (int64, error) {
	step := reporter.Step("push", pack.Size())
	blobs := []*blob{newBlob(pack, repository.PackedFile{Digest: manifests.DigestOf(emptyConfig), Size: int64(len(emptyConfig))}, nil)}
	known := map[manifests.Digest]bool{}
	for _, f := range pack.Files {
		if !known[f.Digest] {
			known[f.Digest] = true
			blobs = append(blobs, newBlob(pack, f, step))
		}
	}
	work, inner := errgroup.WithContext(ctx)
	work.SetLimit(atOnce)
	for _, b := range blobs {
		work.Go(func() error {
			if err := inner.Err(); err != nil {
				return err
			}
			if err := p.pusher.Upload(inner, p.tag.Context(), b); err != nil {
				return fmt.Errorf("pushing %s: %w", b.title(), err)
			}
			b.finish()
			return nil
		})
	}
	err := work.Wait()
	step.Done(err)
	uploaded := int64(0)
	for _, b := range blobs {
		if b.opened.Load() {
			uploaded += b.file.Size
		}
	}
	return uploaded, err
}

// taggable is a manifest's text as the library wants it.
type taggable []byte

// RawManifest implements remote.Taggable.
func (t taggable) RawManifest() ([]byte, error) { return t, nil }

// MediaType tells the library what it is.
func (t taggable) MediaType() (types.MediaType, error) { return types.OCIManifestSchema1, nil }

// explain is err in the package's terms.
func explain(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var refused *transport.Error
	if errors.As(err, &refused) {
		switch refused.StatusCode {
		case http.StatusUnauthorized, http.StatusForbidden:
			return fmt.Errorf("%w: %w", registry.ErrUnauthorized, err)
		}
	}
	return err
}

func isMissing(err error) bool {
	var refused *transport.Error
	return errors.As(err, &refused) && refused.StatusCode == http.StatusNotFound || errors.Is(err, fs.ErrNotExist)
}
