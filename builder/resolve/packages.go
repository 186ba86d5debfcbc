package resolve

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/proa-os/proa/builder/openpgp"
	"github.com/proa-os/proa/builder/packages"
	"github.com/proa-os/proa/builder/packages/solver"
	"github.com/proa-os/proa/manifests"
)

// question is one set of packages to choose.
type question struct {
	format       packages.Format
	arch         string // as the format calls it
	candidates   []packages.Package
	digests      map[string]manifests.Digest // of candidates that are files on the host, by URL
	repositories []string                    // what messages call them; a file's is its path
	wanted       []packages.Requirement
	asked        map[string]bool // names that the recipe has
	exclude      []string
	recommends   bool
	held         []manifests.LockedPackage // files to keep
	modular      int                       // packages of module streams, which are not among the candidates
}

func newQuestion(format packages.Format, arch string, held []manifests.LockedPackage) question {
	return question{format: format, arch: arch, held: held, digests: map[string]manifests.Digest{}, asked: map[string]bool{}}
}

// split parts what a recipe lists into names and files of the host.
func split(items []string) (names, files []string) {
	for _, item := range items {
		if manifests.IsPackageFile(item) {
			files = append(files, item)
		} else {
			names = append(names, item)
		}
	}
	return names, files
}

// keyring reads keys that the recipe names.
func (r *resolver) keyring(paths []string) (*openpgp.Keyring, error) {
	found := make([]string, len(paths))
	for i, path := range paths {
		found[i] = inFolder(r.Folder, path)
	}
	return openpgp.Read(found...)
}

// repositoryURL is a repository's URL; a path is relative to the recipe.
func (r *resolver) repositoryURL(location string) string {
	if !manifests.IsPackageFile(location) {
		return location
	}
	at := inFolder(r.Folder, location)
	r.written[at] = location
	return at
}

// asWritten is a place as the recipe writes it, so that a lock does not depend
// on where the recipe is.
func (r *resolver) asWritten(location string) string {
	best := ""
	for at := range r.written {
		if rest, ok := strings.CutPrefix(location, at); ok && (rest == "" || rest[0] == '/') && len(at) > len(best) {
			best = at
		}
	}
	if best == "" {
		return location
	}
	return strings.TrimRight(r.written[best], "/") + location[len(best):]
}

// ask notes every name in a requirement of the recipe.
func (q *question) ask(r packages.Requirement) {
	q.asked[r.Relation.Name] = true
	for _, part := range r.Args {
		q.ask(part)
	}
}

// answer chooses packages and writes them down.
// The recipe names what is asked; more may be wanted.
func (r *resolver) answer(ctx context.Context, q question, wanted, asked []packages.Requirement, locked *manifests.Locked) error {
	q.wanted = wanted
	for _, r := range asked {
		q.ask(r)
	}
	for i := range locked.Repositories {
		locked.Repositories[i].URL = r.asWritten(locked.Repositories[i].URL)
	}
	if err := r.refuseOlder(locked.Repositories); err != nil {
		return err
	}
	chosen, err := r.choose(ctx, q)
	if err != nil {
		return err
	}
	locked.Packages, err = r.lockPackages(ctx, q, chosen)
	return err
}

// Packages that are on the host, or that are the very files that are locked, win
// over all others, whatever the priority of their repository.
const (
	priorityOnHost = -2
	priorityHeld   = -1
)

// choose solves the question.
func (r *resolver) choose(ctx context.Context, q question) ([]packages.Package, error) {
	r.hold(q)
	step := r.Progress.Step("choose packages", 0)
	chosen, err := solver.Solve(ctx, solver.Config{
		Format:       q.format,
		Arch:         q.arch,
		Candidates:   q.candidates,
		Repositories: q.repositories,
		Wanted:       q.wanted,
		Exclude:      q.exclude,
		Recommends:   q.recommends,
	})
	step.Done(err)
	if err != nil && q.modular > 0 {
		err = fmt.Errorf("%w; packages of module streams were left out: %d (which of them go together is not resolved)", err, q.modular)
	}
	if err != nil {
		return nil, err
	}
	found := make([]packages.Package, len(chosen))
	for i, at := range chosen {
		found[i] = q.candidates[at]
	}
	return found, nil
}

// hold has the files that are to stay win. A name and a version are not enough
// for that: any repository may offer them, also one that is trusted less.
func (r *resolver) hold(q question) {
	byName := map[string][]manifests.LockedPackage{}
	for _, p := range q.held {
		byName[p.Name] = append(byName[p.Name], p)
	}
	for i, p := range q.candidates {
		for _, locked := range byName[p.Name] {
			if p.Priority > priorityHeld && r.same(p, locked) {
				q.candidates[i].Priority = priorityHeld
			}
		}
	}
}

// same reports whether a candidate is the file that is locked: by its digest or,
// where its repository gives another checksum, by the place it has there.
func (r *resolver) same(p packages.Package, locked manifests.LockedPackage) bool {
	if p.Version != locked.Version || p.Arch != locked.Arch || p.Size != locked.Size {
		return false
	}
	if digest, err := manifests.ParseDigest(string(p.Checksum)); err == nil {
		return digest == locked.Digest
	}
	return r.asWritten(p.URL) == locked.URL
}

// lockPackages writes down what was chosen. A package whose repository gives
// another checksum than SHA-256 is fetched to learn it.
func (r *resolver) lockPackages(ctx context.Context, q question, chosen []packages.Package) ([]manifests.LockedPackage, error) {
	locked := make([]manifests.LockedPackage, len(chosen))
	for i, p := range chosen {
		digest, known := q.digests[p.URL]
		if !known {
			var err error
			if digest, err = manifests.ParseDigest(string(p.Checksum)); err != nil {
				_, digest, err = r.Fetcher.File(ctx, p.URL, p.Size, p.Checksum)
				if err != nil {
					return nil, fmt.Errorf("package %s: %w", p.Name, err)
				}
			}
		}
		locked[i] = manifests.LockedPackage{
			Name: p.Name, Version: p.Version, Arch: p.Arch,
			URL: r.asWritten(p.URL), Size: p.Size, Digest: digest, Named: q.asked[p.Name],
		}
		if p.Priority != priorityOnHost {
			locked[i].Repository = r.asWritten(q.repositories[p.Repository])
		}
	}
	slices.SortFunc(locked, func(a, b manifests.LockedPackage) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Arch, b.Arch), cmp.Compare(a.Version, b.Version))
	})
	return locked, nil
}

// addFile makes a package file of the host a candidate and wants it.
func (q *question) addFile(ctx context.Context, item, path string, describe func(context.Context, string) (packages.Package, error)) error {
	p, err := describe(ctx, path)
	if err != nil {
		return fmt.Errorf("%s: %w", item, err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	file, err := digestFile(ctx, path, info)
	if err != nil {
		return err
	}
	p.URL, p.Size, p.Priority = item, file.Size, priorityOnHost
	p.Repository = len(q.repositories)
	q.repositories = append(q.repositories, item)
	q.digests[item] = file.Digest
	q.candidates = append(q.candidates, p)
	q.asked[p.Name] = true
	q.wanted = append(q.wanted, packages.Requirement{Relation: packages.Relation{Name: p.Name, Op: packages.Equal, Version: p.Version}})
	return nil
}
