package resolve

import (
	"context"

	"github.com/proa-os/proa/builder/deb"
	"github.com/proa-os/proa/builder/packages"
	"github.com/proa-os/proa/manifests"
)

func (r *resolver) deb(ctx context.Context, source manifests.Deb, locked *manifests.Locked, held []manifests.LockedPackage) error {
	q := newQuestion(packages.Deb, string(locked.Arch), held)
	q.exclude, q.recommends = source.Exclude, source.Recommends
	for i, repository := range source.Repositories {
		keys, err := r.keyring(repository.SignedBy)
		if err != nil {
			return err
		}
		repository.URL = r.repositoryURL(repository.URL)
		states, found, err := deb.Load(ctx, r.Fetcher, deb.Config{
			Repository: repository,
			Keys:       keys,
			Arch:       locked.Arch,
			Index:      i,
			Now:        r.Now,
			Progress:   r.Progress,
		})
		if err != nil {
			return err
		}
		locked.Repositories = append(locked.Repositories, states...)
		q.candidates = append(q.candidates, found...)
		q.repositories = append(q.repositories, repository.URL)
	}
	items, files := split(source.Packages)
	for _, file := range files {
		err := q.addFile(ctx, file, inFolder(r.Folder, file), func(ctx context.Context, path string) (packages.Package, error) {
			return deb.Describe(ctx, path, locked.Arch)
		})
		if err != nil {
			return err
		}
	}
	wanted, err := deb.Wanted(q.candidates, items, source.Exclude)
	if err != nil {
		return err
	}
	return r.answer(ctx, q, append(q.wanted, wanted...), wanted[len(wanted)-len(items):], locked)
}
