package repomd

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/proa-os/proa/builder/packages"
)

// Unlisted returns the paths that packages, or the recipe itself, want and that
// none of the packages lists, sorted. Conflicts are looked at, too.
func Unlisted(all []packages.Package, wanted []packages.Requirement) []string {
	paths := map[string]bool{}
	var add func([]packages.Requirement)
	add = func(requirements []packages.Requirement) {
		for _, r := range requirements {
			if r.Joined == packages.Plain && strings.HasPrefix(r.Relation.Name, "/") {
				paths[r.Relation.Name] = true
			}
			add(r.Args)
		}
	}
	add(wanted)
	for i := range all {
		for _, r := range [][]packages.Requirement{all[i].Requires, all[i].Conflicts, all[i].Recommends, all[i].Supplements} {
			add(r)
		}
	}
	for i := range all {
		for _, path := range all[i].Files {
			delete(paths, path)
		}
		for _, provided := range all[i].Provides {
			delete(paths, provided.Name)
		}
	}
	return slices.Sorted(maps.Keys(paths))
}

// AddFiles adds to the Files of each package those of the paths that it has and
// that are not there yet. It reads the list of all files of the repository,
// which is long: ask for all paths at once.
func (r *Repository) AddFiles(ctx context.Context, paths []string) error {
	if len(paths) == 0 || r.filelists == nil || len(r.Packages) == 0 {
		return nil
	}
	wanted := map[string]string{} // as XML may write it, to the path
	for _, path := range paths {
		wanted[path] = path
	}
	step := r.progress.Step("look up files in "+r.Locked.URL, 0)
	err := read(ctx, r.fetcher, *r.filelists, maxFilelists, func(in io.Reader) error { return r.parseFilelists(in, wanted) })
	step.Done(err)
	if err != nil {
		return fmt.Errorf("repository %s: %w", r.Locked.URL, err)
	}
	return nil
}

// maxAdded is how many files AddFiles adds to all packages together.
const maxAdded = 4 << 20

func (r *Repository) parseFilelists(in io.Reader, wanted map[string]string) error {
	s := newScanner(in)
	at := -1 // the package that is being read, if it is ours
	has, added := map[string]bool{}, 0
	seen := make([]bool, len(r.Packages))
	for {
		start, err := s.next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		switch {
		case s.depth == 1 && string(s.name) != "filelists":
			return fmt.Errorf("<%.50s>: want filelists", s.name)
		case start && s.depth == 2:
			id, _ := s.attr("pkgid")
			var known bool
			if at, known = r.byID[string(id)]; !known || seen[at] {
				at = -1
				continue
			}
			seen[at] = true
			clear(has)
			for _, path := range r.Packages[at].Files {
				has[path] = true
			}
		case !start && s.depth == 3 && at >= 0 && string(s.name) == "file":
			path, ok := wanted[string(s.raw)]
			if !ok && strings.Contains(string(s.raw), "&") {
				if text, err := decode(s.raw); err == nil {
					path, ok = wanted[text]
				}
			}
			if ok && !has[path] {
				has[path] = true
				p := &r.Packages[at]
				p.Files = append(p.Files, path)
				if added++; added > maxAdded {
					return fmt.Errorf("packages have the files that are asked for more than %d times", maxAdded)
				}
			}
		}
	}
}
