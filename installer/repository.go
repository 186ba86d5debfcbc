package installer

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/proa-os/proa/fetch"
	"github.com/proa-os/proa/fetch/registry"
	"github.com/proa-os/proa/fetch/stick"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/manifests/chunkindex"
	"github.com/proa-os/proa/partitions/diskimage"
	"github.com/proa-os/proa/signing"
	"github.com/proa-os/proa/updater/slots"
	"github.com/proa-os/proa/updater/sources"
)

// RepositoryConfig says which release of which repository.
type RepositoryConfig struct {
	// URL is http, https, oci, or the path of a folder or tar file with a repository
	// in it. Required.
	URL string
	// Root is the TUF root to start to trust from; required.
	Root []byte
	// Channel is followed to its release; or, if Version is set, it is not.
	Channel string
	Version manifests.Version
	// Product may be left out where the repository has one for the architecture.
	Product string
	Arch    manifests.Arch // required
	// Credentials is a file like docker's config.json, for oci. Optional.
	Credentials string
	UserAgent   string
}

// remote is a release of a repository.
type remote struct {
	release   manifests.Release
	transport manifests.Transport
	layout    manifests.Layout
	sources   sources.Set
	closers   []func() error
}

// OpenRepository proves which release it is, by the repository's signatures, and
// fetches what an installation begins with.
func OpenRepository(ctx context.Context, c RepositoryConfig) (source Source, err error) {
	r := &remote{}
	defer func() {
		if err != nil {
			r.Close()
		}
	}()
	client, err := r.connect(c)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "proa-install-")
	if err != nil {
		return nil, err
	}
	r.closers = append(r.closers, func() error { return os.RemoveAll(dir) })
	trust, err := signing.OpenClient(signing.Config{URL: client.URL, Dir: dir, Root: c.Root, HTTP: client.HTTP()})
	if err != nil {
		return nil, err
	}
	if err := trust.Refresh(ctx); err != nil {
		return nil, err
	}
	if err := r.choose(ctx, trust, c); err != nil {
		return nil, err
	}
	r.layout, err = artifacts(r.artifact).layout(ctx, r.release)
	return r, err
}

// connection is a client and the URL under which it has the repository.
type connection struct {
	*fetch.Client
	URL string
}

func (r *remote) connect(c RepositoryConfig) (connection, error) {
	url, schemes := c.URL, map[string]func(http.RoundTripper) http.RoundTripper{}
	switch {
	case strings.HasPrefix(url, registry.Scheme+":"):
		reference, err := registry.ParseReference(url)
		if err != nil {
			return connection{}, err
		}
		schemes[registry.Scheme] = func(pool http.RoundTripper) http.RoundTripper {
			return registry.New(registry.Config{Reference: reference, Pool: pool, UserAgent: c.UserAgent, Credentials: c.Credentials})
		}
	case !strings.Contains(url, "://"):
		found, err := stick.Open(url)
		if err != nil {
			return connection{}, err
		}
		r.closers = append(r.closers, found.Close)
		url = found.URL()
		schemes["file"] = func(http.RoundTripper) http.RoundTripper { return found }
	}
	client, err := fetch.New(fetch.Config{Base: url, UserAgent: c.UserAgent, Schemes: schemes})
	if err != nil {
		return connection{}, err
	}
	r.closers = append(r.closers, func() error { client.Close(); return nil })
	r.sources.Add(sources.Repository, c.URL, client)
	return connection{client, url}, nil
}

// choose finds the release, out of verified metadata only.
func (r *remote) choose(ctx context.Context, trust *signing.Client, c RepositoryConfig) error {
	product, err := c.product(ctx, trust)
	if err != nil {
		return err
	}
	get := func(target string) ([]byte, error) {
		verified, err := trust.Fetch(ctx, target)
		return verified.Bytes(), err
	}
	version := c.Version
	var digest manifests.Digest
	if version == "" {
		data, err := get(manifests.ChannelTarget(product, c.Arch, c.Channel))
		if err != nil {
			return err
		}
		channel, err := manifests.ParseChannel(data)
		if err != nil {
			return err
		}
		if channel.Product != product || channel.Arch != c.Arch || channel.Name != c.Channel {
			return fmt.Errorf("channel is %s of %s for %s: want %s of %s for %s", channel.Name, channel.Product, channel.Arch, c.Channel, product, c.Arch)
		}
		version, digest = channel.Version, channel.Release
	}
	data, err := get(manifests.ReleaseTarget(product, c.Arch, version))
	if err != nil {
		return err
	}
	found := manifests.DigestOf(data)
	if err := notRetracted(ctx, trust, product, c.Arch, version, found); err != nil {
		return err
	}
	if !digest.IsZero() && found != digest {
		return fmt.Errorf("release.json of %s is %s: the channel names %s", version, found, digest)
	}
	if r.release, err = manifests.ParseRelease(data); err != nil {
		return err
	}
	if r.release.Product != product || r.release.Arch != c.Arch || r.release.Version != version {
		return fmt.Errorf("release.json is of %s %s for %s: want %s %s for %s", r.release.Product, r.release.Version, r.release.Arch, product, version, c.Arch)
	}
	if data, err = get(manifests.TransportTarget(product, c.Arch, version)); err != nil {
		return err
	}
	if r.transport, err = manifests.ParseTransport(data); err != nil {
		return err
	}
	return r.transport.CheckAgainst(r.release, found)
}

// notRetracted refuses what should not have been published: a new machine has not
// taken it.
func notRetracted(ctx context.Context, trust *signing.Client, product string, arch manifests.Arch, version manifests.Version, release manifests.Digest) error {
	verified, err := trust.Fetch(ctx, manifests.NoticeTarget(product, arch, version))
	if errors.Is(err, signing.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	notice, err := manifests.ParseNotice(verified.Bytes())
	if err == nil {
		err = notice.CheckFor(product, arch, version, release)
	}
	if err == nil && notice.Retracted != nil {
		err = fmt.Errorf("release %s: %s", version, notice.Retracted)
	}
	return err
}

// ErrProduct is wrapped by the error of a repository that leaves a choice.
var ErrProduct = errors.New("name the product")

// product is the one that is named, or the only one that has what is wanted.
func (c RepositoryConfig) product(ctx context.Context, trust *signing.Client) (string, error) {
	if c.Product != "" {
		return c.Product, manifests.CheckName("product", c.Product)
	}
	targets, err := trust.Targets(ctx)
	if err != nil {
		return "", err
	}
	var found []string
	for _, target := range targets {
		_, rest, _ := strings.Cut(target, "/")
		product, _, _ := strings.Cut(rest, "/")
		wanted := manifests.ChannelTarget(product, c.Arch, c.Channel)
		if c.Version != "" {
			wanted = manifests.ReleaseTarget(product, c.Arch, c.Version)
		}
		if target == wanted && !slices.Contains(found, product) {
			found = append(found, product)
		}
	}
	what := "channel " + c.Channel
	if c.Version != "" {
		what = "version " + string(c.Version)
	}
	switch len(found) {
	case 0:
		return "", fmt.Errorf("the repository has no %s for %s: %w", what, c.Arch, signing.ErrNotFound)
	case 1:
		return found[0], nil
	}
	return "", fmt.Errorf("the repository has %s for %s of %s: %w", what, c.Arch, strings.Join(found, ", "), ErrProduct)
}

func (r *remote) artifact(ctx context.Context, a manifests.Artifact) ([]byte, error) {
	file := manifests.FetchFile{Size: a.Size, Digest: a.Digest}
	return r.sources.Bytes(ctx, file, 0, file)
}

func (r *remote) Release() manifests.Release { return r.release }
func (r *remote) Layout() manifests.Layout   { return r.layout }

func (r *remote) BootFiles(ctx context.Context) (map[string]diskimage.Source, error) {
	return artifacts(r.artifact).bootFiles(ctx, r.release)
}

// Fill fetches what the slot has not, in chunks that are proven before they are
// written.
func (r *remote) Fill(ctx context.Context, to filling) error {
	data, err := r.sources.Bytes(ctx, r.transport.Index, 0, r.transport.Index)
	if err != nil {
		return err
	}
	index, err := chunkindex.Parse(data, r.release.Root)
	if err != nil {
		return err
	}
	if last := index.Chunks[len(index.Chunks)-1]; last.Frame+last.Encoded > r.transport.Root.Size {
		return fmt.Errorf("chunk index has frames of %d bytes: the root image has %d", last.Frame+last.Encoded, r.transport.Root.Size)
	}
	image := slots.Image{Root: to.root, Chunks: index.Chunks}
	work := slots.Filling{Image: image, Resume: to.resume, Step: to.job.Progress.Step("write root image", to.root.Size())}
	for _, file := range r.sources.Files(r.transport.Root) {
		work.Origins = append(work.Origins, file)
	}
	filled, err := to.slot.Fill(ctx, work)
	work.Step.Done(err)
	if err != nil {
		return err
	}
	to.job.written += to.root.Size() - filled.Reused
	if err := to.slot.CompleteTree(ctx, image); err != nil {
		return err
	}
	return to.slot.VerifyFilled(ctx, image)
}

// Close gives back what was opened; the last first.
func (r *remote) Close() error {
	var faults []error
	for _, closing := range slices.Backward(r.closers) {
		faults = append(faults, closing())
	}
	return errors.Join(faults...)
}
