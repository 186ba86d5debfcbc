// Package builder makes a release from a recipe and its lock: the tree of files,
// the root image and its hash tree, the unified kernel image, the disk image,
// the documents that tell of them, and the manifest that lists all.
//
// It needs no privileges, unpacks nothing onto the host's file system, and runs
// nothing from the sources but scripts that a recipe wants to be run, in a
// sandbox. What registries and repositories have it takes from the lock. The
// same inputs give the same bytes.
package builder

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/proa-os/proa/builder/cache"
	"github.com/proa-os/proa/builder/configure"
	"github.com/proa-os/proa/builder/content"
	"github.com/proa-os/proa/builder/erofs"
	"github.com/proa-os/proa/builder/oci"
	"github.com/proa-os/proa/builder/packages"
	"github.com/proa-os/proa/builder/provenance"
	"github.com/proa-os/proa/builder/tree"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/manifests/filemap"
	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/partitions/verity"
	"github.com/proa-os/proa/progress"
	"github.com/proa-os/proa/signing"
)

// Config is one build.
type Config struct {
	Recipe     manifests.Recipe  // required
	RecipeText []byte            // required: the file that Recipe was read from, for the provenance
	Folder     string            // required: the recipe's; its paths are relative to it
	Output     string            // required: the folder to make; it must not exist or be empty, but see Replace
	Replace    bool              // put the new release in the place of one that Output holds
	Version    manifests.Version // required
	Arch       manifests.Arch    // required: one of the recipe's
	Epoch      int64             // seconds since 1970: every timestamp in the release
	Init       []byte            // required: the proa-init program for Arch
	Agent      *Agent            // required when the recipe has an update section
	Stdin      io.Reader         // the source "tar: -"; nil if there is none

	Lock     manifests.Lock   // what registries and repositories had; required where the recipe has sources of theirs
	Cache    *cache.Cache     // keeps what is brought and unpacked; required with a Lock
	Fetcher  packages.Fetcher // brings packages; required with a Lock
	Registry oci.Remote       // how registries are asked
	Previous []byte           // root.map of the release that Lock says to follow in layout; required where it does

	Builder string               // URI of who builds, for the provenance; optional
	Tool    string               // version of proa, for the provenance; optional
	Keys    []signing.PrivateKey // sign the provenance; optional

	Progress progress.Reporter // nil: silent
}

// Agent is what an image that updates itself carries.
type Agent struct {
	Program []byte            // the proa-agent program
	Units   map[string][]byte // systemd units by file name
	Files   map[string][]byte // what else belongs to it, by absolute path
	Links   map[string]string // symbolic links to units, such as "a.target.wants/b.service", and their targets
	// ExtensionLinks are those of images that have extensions.
	ExtensionLinks map[string]string
}

// ErrExists says that the output folder holds something already.
var ErrExists = errors.New("the output exists already")

// build is one build under way; each step fills what the next ones read.
type build struct {
	Config
	work   string // becomes Output
	store  *content.Store
	inputs *inputDigests

	background sync.WaitGroup

	layout        filemap.Layout // of the previous release
	tree          *tree.Tree
	packages      []packages.About      // in the order in which they were put into the tree
	accounts      configure.UsersReport // that packages asked for
	scripts       Scripts               // of what packages would have had done
	description   *later[description]   // of the tree
	kernelPath    string                // in the tree
	kernelRelease string
	initrd        *later[[]byte]
	root          erofs.Image
	hashes        *verity.Tree // of the root image
	rootHash      [verity.HashSize]byte
	uki           []byte
	found         []provenance.Input // all that was read
	rootDigest    *later[manifests.Artifact]
	digests       []*later[manifests.Artifact] // of files that are whole
	artifacts     []manifests.Artifact         // so far, sorted by name
	release       manifests.Release
}

// Build makes a release. The output folder appears whole or not at all.
func Build(ctx context.Context, c Config) (manifests.Release, error) {
	if err := c.checkSystem(); err != nil {
		return manifests.Release{}, err
	}
	b, err := c.run(ctx, func(b *build) []step {
		return []step{
			{"digest inputs", b.digestInputs},
			{"read previous layout", b.readPrevious},
			{"read sources", b.readSources},
			{"configure tree", b.configureTree},
			{"complete tree", b.completeTree},
			{"add extensions", b.addExtensions},
			{"describe state", b.describeState},
			{"describe tree", b.describeTree},
			{"make initrd", b.makeInitrd},
			{"write root image", b.writeRoot},
			{"hash root image", b.hashRoot},
			{"assemble kernel image", b.assembleUKI},
			{"write disk image", b.writeDisk},
			{"write documents", b.writeDocuments},
			{"digest artifacts", b.digestArtifacts},
			{"write provenance", b.writeProvenance},
			{"list artifacts", b.listArtifacts},
			{"move into place", b.publish},
		}
	})
	if err != nil {
		return manifests.Release{}, err
	}
	return b.release, nil
}

// step is one step of a build.
type step struct {
	name string
	run  func(context.Context) error
}

// run does the steps of a build beside its output.
func (c Config) run(ctx context.Context, steps func(*build) []step) (*build, error) {
	if c.Progress == nil {
		c.Progress = progress.Silent()
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	parent := filepath.Dir(c.Output)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return nil, err
	}
	work, err := os.MkdirTemp(parent, "."+filepath.Base(c.Output)+".building-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(work)
	store, err := content.New(work)
	if err != nil {
		return nil, err
	}
	defer store.Close()

	ctx, cancel := context.WithCancel(ctx)
	b := &build{Config: c, work: work, store: store, tree: tree.New()}
	defer func() {
		cancel()
		b.background.Wait() // it reads from the store
	}()
	for _, step := range steps(b) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := step.run(ctx); err != nil {
			return nil, fmt.Errorf("%s: %w", step.name, b.cause(ctx, err))
		}
	}
	return b, nil
}

// checkSystem is for what an extension has none of.
func (c *Config) checkSystem() error {
	if c.Recipe.Fits != nil {
		return errors.New("the recipe has fits, which is for extensions: want the kind of extension to build")
	}
	if c.Recipe.Update != nil && c.Agent == nil {
		return errors.New("the recipe has an update section: want the proa-agent program")
	}
	return nil
}

func (c *Config) check() error {
	c.Output = filepath.Clean(c.Output)
	if info, err := os.Lstat(c.Output); err == nil && !info.IsDir() {
		return fmt.Errorf("%.200s: want a folder, or nothing: %w", c.Output, ErrExists)
	}
	entries, err := os.ReadDir(c.Output)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case len(entries) > 0 && !(c.Replace && isRelease(entries)):
		return fmt.Errorf("%s: %w", c.Output, ErrExists)
	}
	if len(c.RecipeText) == 0 {
		return errors.New("the recipe's file is empty")
	}
	if slices.ContainsFunc(c.Recipe.Sources, manifests.Source.Locked) && (c.Cache == nil || c.Fetcher == nil) {
		return errors.New("the recipe has sources in registries or repositories: want a cache and a fetcher")
	}
	if !slices.Contains(c.Recipe.Arch, c.Arch) {
		return fmt.Errorf("architecture %s: the recipe is for %v", c.Arch, c.Recipe.Arch)
	}
	return nil
}

// path is where an artifact of the release is while it is being built.
func (b *build) path(name string) string { return filepath.Join(b.work, name) }

// inFolder resolves a path of the recipe.
func (b *build) inFolder(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(b.Folder, path)
}

// rootUUID identifies the root image and its hash tree. It is the same for all
// releases of a product, so that it never makes two of them differ.
func (b *build) rootUUID() [16]byte {
	return partitions.DeriveGUID(b.Recipe.Seed, "root image")
}

// publish makes the release appear under its name. rename(2) replaces an empty
// folder; a release that stands there is exchanged for the new one in one step.
func (b *build) publish(context.Context) error {
	if err := os.Chmod(b.work, 0o755); err != nil {
		return err
	}
	if !b.Replace {
		return b.rename()
	}
	err := unix.Renameat2(unix.AT_FDCWD, b.work, unix.AT_FDCWD, b.Output, unix.RENAME_EXCHANGE)
	if errors.Is(err, fs.ErrNotExist) {
		return b.rename()
	}
	return err // what was there is now the working folder, which Build removes
}

func (b *build) rename() error {
	err := os.Rename(b.work, b.Output)
	if errors.Is(err, fs.ErrExist) || errors.Is(err, unix.ENOTEMPTY) {
		return fmt.Errorf("%s: %w", b.Output, ErrExists) // another build was faster
	}
	return err
}
