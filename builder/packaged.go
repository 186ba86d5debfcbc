package builder

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/proa-os/proa/builder/cache"
	"github.com/proa-os/proa/builder/configure"
	"github.com/proa-os/proa/builder/content"
	"github.com/proa-os/proa/builder/deb"
	"github.com/proa-os/proa/builder/openpgp"
	"github.com/proa-os/proa/builder/packages"
	"github.com/proa-os/proa/builder/resolve"
	"github.com/proa-os/proa/builder/rpm"
	"github.com/proa-os/proa/builder/rpm/repomd"
	"github.com/proa-os/proa/manifests"
)

// ErrNotLocked says that the lock does not say what a source stands for.
var ErrNotLocked = errors.New("the lock does not say what it stands for")

// locked is what a source stands for.
func (b *build) locked(s manifests.Source) (manifests.Locked, error) {
	asked, err := resolve.Asked(s, b.Folder)
	if err != nil {
		return manifests.Locked{}, fmt.Errorf("%s: %w", s.Name(), err)
	}
	locked, ok := b.Lock.Find(s.Name(), b.Arch, asked)
	if !ok {
		return manifests.Locked{}, fmt.Errorf("%s for %s: %w", s.Name(), b.Arch, ErrNotLocked)
	}
	return locked, nil
}

// manager is how one format of packages is opened and put into the tree.
type manager struct {
	source   string
	opener   func(p manifests.LockedPackage) (opener, error)
	makeRoom func(ctx context.Context, payloads []packages.Payload) (gone []packages.Recorded, err error)
	prepare  func() error
	replaces func(later, earlier *packages.About, path string) bool
	record   func(payloads []packages.Payload) error
}

// opener opens a package. Unpacking is what the cache calls the outcome.
type opener struct {
	unpacking string
	open      func(ctx context.Context, store *content.Store, path string) (packages.Payload, error)
}

func (b *build) debManager(s manifests.Source) manager {
	open := opener{"deb 1", func(ctx context.Context, store *content.Store, path string) (packages.Payload, error) {
		return deb.Read(ctx, store, path, s.Name())
	}}
	return manager{
		source: s.Name(),
		opener: func(manifests.LockedPackage) (opener, error) { return open, nil },
		makeRoom: func(_ context.Context, payloads []packages.Payload) ([]packages.Recorded, error) {
			return deb.MakeRoom(b.tree, payloads)
		},
		prepare:  func() error { return deb.Prepare(b.tree, b.Arch) },
		replaces: deb.Replaces,
		record:   func(payloads []packages.Payload) error { return deb.WriteDatabase(b.tree, payloads) },
	}
}

// addRPM also verifies signatures as packages are opened.
func (b *build) addRPM(ctx context.Context, s manifests.Source) error {
	openers, err := b.rpmOpeners(s)
	if err != nil {
		return err
	}
	return b.addPackages(ctx, s, manager{
		source: s.Name(),
		opener: func(p manifests.LockedPackage) (opener, error) {
			o, ok := openers[p.Repository]
			if !ok {
				return o, fmt.Errorf("from %q: the recipe names no keys for that", p.Repository)
			}
			return o, nil
		},
		makeRoom: func(ctx context.Context, payloads []packages.Payload) ([]packages.Recorded, error) {
			return rpm.MakeRoom(ctx, b.tree, payloads)
		},
		prepare:  func() error { return nil },
		replaces: func(_, _ *packages.About, _ string) bool { return false },
		record:   func(payloads []packages.Payload) error { return rpm.WriteDatabase(b.tree, payloads, b.Epoch) },
	})
}

// rpmOpeners open packages by the keys of their own repository, whose URL finds
// them; files of the recipe have none. What the cache keeps was verified with
// the keys in its kind.
func (b *build) rpmOpeners(s manifests.Source) (map[string]opener, error) {
	paths := map[string][]string{}
	for _, key := range s.RPM.GPGKeys {
		paths[""] = append(paths[""], b.inFolder(key))
	}
	for _, repository := range s.RPM.Repositories {
		at, err := repomd.Expand(repository.URL, b.Arch)
		if err != nil {
			return nil, err
		}
		for _, key := range repository.GPGKey {
			paths[at] = append(paths[at], b.inFolder(key))
		}
	}
	openers := map[string]opener{}
	for _, at := range slices.Sorted(maps.Keys(paths)) {
		keys, err := openpgp.Read(paths[at]...)
		if err != nil {
			return nil, err
		}
		openers[at] = opener{"rpm 1 " + keys.Digest().Hex()[:32], func(ctx context.Context, store *content.Store, path string) (packages.Payload, error) {
			return rpm.Read(ctx, store, path, rpm.ReadConfig{Keys: keys, Source: s.Name()})
		}}
	}
	return openers, nil
}

// addPackages puts the packages of a source into the tree, where they replace
// what earlier sources have recorded, makes the users whom their files belong
// to, and records them as their manager would.
func (b *build) addPackages(ctx context.Context, s manifests.Source, m manager) error {
	locked, err := b.locked(s)
	if err != nil {
		return err
	}
	payloads, err := b.openPackages(ctx, locked.Packages, m)
	if err != nil {
		return err
	}
	payloads = packages.Sort(payloads)
	gone, err := m.makeRoom(ctx, payloads)
	if err != nil {
		return err
	}
	b.forget(gone)
	if err := m.prepare(); err != nil {
		return err
	}
	if err := packages.Lay(ctx, b.tree, s.Name(), payloads, m.replaces); err != nil {
		return err
	}
	for _, p := range payloads {
		about := p.About
		if scriptsOf(s) == manifests.ScriptsSandbox {
			about.Scripts = nil // they are not followed as well
		}
		b.packages = append(b.packages, about)
	}
	made, err := configure.Users(ctx, b.tree, b.configuration())
	if err != nil {
		return err
	}
	b.accounts.Add(made)
	if err := packages.Own(b.tree, payloads); err != nil {
		return err
	}
	if err := m.record(payloads); err != nil {
		return err
	}
	if scriptsOf(s) == manifests.ScriptsSandbox {
		return b.runScripts(ctx, payloads)
	}
	return nil
}

// forget leaves out packages of earlier sources that others have replaced: their
// scripts are not followed.
func (b *build) forget(gone []packages.Recorded) {
	b.packages = slices.DeleteFunc(b.packages, func(p packages.About) bool {
		return slices.ContainsFunc(gone, func(g packages.Recorded) bool {
			return g.Name == p.Name && g.Version == p.Version && g.Arch == p.Arch
		})
	})
}

// openPackages brings packages and opens them, several at a time, in the order
// of the lock.
func (b *build) openPackages(ctx context.Context, locked []manifests.LockedPackage, m manager) ([]packages.Payload, error) {
	total := int64(0)
	for _, p := range locked {
		total += p.Size
	}
	step := b.Progress.Step("read "+m.source, total)
	payloads := make([]packages.Payload, len(locked))
	const atOnce = 4 // some wait for the network while others unpack
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for i, p := range locked {
		group.Go(func() (err error) {
			if payloads[i], err = b.openPackage(ctx, p, m); err != nil {
				return fmt.Errorf("package %s %s: %w", p.Name, p.Version, err)
			}
			step.Add(p.Size)
			return nil
		})
	}
	err := group.Wait()
	step.Done(err)
	return payloads, err
}

func (b *build) openPackage(ctx context.Context, p manifests.LockedPackage, m manager) (packages.Payload, error) {
	opener, err := m.opener(p)
	if err != nil {
		return packages.Payload{}, err
	}
	unpacked, err := b.Cache.Unpacked(ctx, b.store, p.Digest, opener.unpacking, func(ctx context.Context, into *content.Store) (cache.Unpacked, error) {
		path, err := b.bring(ctx, p)
		if err != nil {
			return cache.Unpacked{}, err
		}
		payload, err := opener.open(ctx, into, path)
		if err != nil {
			return cache.Unpacked{}, err
		}
		about, err := json.Marshal(payload.About)
		return cache.Unpacked{Entries: payload.Entries, About: about}, err
	})
	if err != nil {
		return packages.Payload{}, err
	}
	payload := packages.Payload{Entries: unpacked.Entries}
	if err := json.Unmarshal(unpacked.About, &payload.About); err != nil {
		return packages.Payload{}, err
	}
	if payload.Name != p.Name || payload.Version != p.Version || payload.Arch != p.Arch {
		return packages.Payload{}, fmt.Errorf("it says that it is %s %s for %s, and not what the lock says", payload.Name, payload.Version, payload.Arch)
	}
	return payload, nil
}

// bring is where the file of a package is.
func (b *build) bring(ctx context.Context, p manifests.LockedPackage) (string, error) {
	at := p.URL
	if manifests.IsPackageFile(at) {
		at = b.inFolder(at)
	}
	path, _, err := b.Fetcher.File(ctx, at, p.Size, packages.Checksum(p.Digest.String()))
	return path, err
}

// configuration is what packages would have had done to the tree.
func (b *build) configuration() configure.Config {
	return configure.Config{Packages: b.packages, Source: ownSource, Epoch: b.Epoch}
}
