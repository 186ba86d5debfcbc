package resolve

import (
	"context"
	"fmt"

	"github.com/proa-os/proa/builder/packages"
	"github.com/proa-os/proa/builder/rpm"
	"github.com/proa-os/proa/builder/rpm/repomd"
	"github.com/proa-os/proa/builder/rpm/richdeps"
	"github.com/proa-os/proa/manifests"
)

// defaultPriority is that of a repository for which the recipe has none, as in
// dnf.
const defaultPriority = 99

func (r *resolver) rpm(ctx context.Context, source manifests.RPM, locked *manifests.Locked, held []manifests.LockedPackage) error {
	q := newQuestion(packages.RPM, repomd.Arch(locked.Arch), held)
	q.exclude, q.recommends = source.Exclude, source.Recommends
	items, files := split(source.Packages)
	if err := r.addRPMFiles(ctx, source, files, &q); err != nil {
		return err
	}
	for _, item := range items {
		wanted, err := richdeps.Parse(item)
		if err != nil {
			return fmt.Errorf("package %.100q: %w", item, err)
		}
		q.wanted = append(q.wanted, wanted)
	}
	if err := r.addRPMRepositories(ctx, source, locked, &q); err != nil {
		return err
	}
	return r.answer(ctx, q, q.wanted, q.wanted[len(files):], locked)
}

func (r *resolver) addRPMFiles(ctx context.Context, source manifests.RPM, files []string, q *question) error {
	if len(files) == 0 {
		return nil
	}
	if len(source.GPGKeys) == 0 {
		return fmt.Errorf("%.100q: gpgkeys is missing: name the keys that package files are signed by", files[0])
	}
	keys, err := r.keyring(source.GPGKeys)
	if err != nil {
		return err
	}
	for _, file := range files {
		err := q.addFile(ctx, file, inFolder(r.Folder, file), func(ctx context.Context, path string) (packages.Package, error) {
			return rpm.Describe(ctx, path, keys)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *resolver) addRPMRepositories(ctx context.Context, source manifests.RPM, locked *manifests.Locked, q *question) error {
	var loaded []repomd.Repository
	for i, repository := range source.Repositories {
		keys, err := r.keyring(repository.GPGKey)
		if err != nil {
			return err
		}
		priority := defaultPriority
		if repository.Priority != nil {
			priority = *repository.Priority
		}
		location, err := repomd.Expand(repository.URL, locked.Arch)
		if err != nil {
			return err
		}
		found, err := repomd.Load(ctx, r.Fetcher, repomd.Config{
			URL:              r.repositoryURL(location),
			Keys:             keys,
			UnsignedMetadata: repository.UnsignedMetadata,
			Arch:             locked.Arch,
			Index:            len(q.repositories) + i,
			Priority:         priority,
			Progress:         r.Progress,
			Now:              r.Now,
		})
		if err != nil {
			return err
		}
		loaded = append(loaded, found)
		q.modular += found.Modular
		locked.Repositories = append(locked.Repositories, found.Locked)
	}
	all := q.candidates
	for _, repository := range loaded {
		all = append(all, repository.Packages...)
	}
	paths := repomd.Unlisted(all, q.wanted)
	for i := range loaded {
		if err := loaded[i].AddFiles(ctx, paths); err != nil {
			return err
		}
		q.candidates = append(q.candidates, loaded[i].Packages...)
		q.repositories = append(q.repositories, loaded[i].Locked.URL)
	}
	return nil
}
