package rpm

import (
	"context"
	"fmt"
	"path"
	"strings"

	"github.com/proa-os/proa/builder/packages"
	"github.com/proa-os/proa/builder/tree"
)

// recorded is a package of a database that an earlier source has brought, or
// written.
type recorded struct {
	packages.Recorded
	header *header
}

// MakeRoom takes from t the files of recorded packages that payloads are other
// versions of, or obsolete, as packages.Room.Make does. Their records go when
// WriteDatabase writes the new ones. It returns the packages that are gone.
// Without a database there is nothing to do.
func MakeRoom(ctx context.Context, t *tree.Tree, payloads []packages.Payload) ([]packages.Recorded, error) {
	e, err := readEarlier(ctx, t, payloads)
	if err != nil {
		return nil, fmt.Errorf("rpm database: %w", err)
	}
	room := packages.Room{Gone: e.gone, Added: e.added, Keep: []string{DatabaseFolder, databaseLink}}
	var gone []packages.Recorded
	for i, r := range e.recorded {
		room.Recorded = append(room.Recorded, r.Recorded)
		if e.gone[i] {
			gone = append(gone, r.Recorded)
		}
	}
	return gone, room.Make(t, payloads)
}

// earlier is what is recorded, and what becomes of it once others are added.
type earlier struct {
	recorded []recorded
	gone     []bool
	added    []packages.Recorded
}

func readEarlier(ctx context.Context, t *tree.Tree, payloads []packages.Payload) (earlier, error) {
	var e earlier
	var err error
	if e.recorded, err = readRecorded(ctx, t); err != nil || len(e.recorded) == 0 {
		return e, err
	}
	before := make([]packages.Recorded, len(e.recorded))
	for i, r := range e.recorded {
		before[i] = r.Recorded
	}
	for _, p := range payloads {
		h, _, err := parseHeader(p.Record[recordHeader], tagImmutable)
		if err != nil {
			return e, fmt.Errorf("package %s %s: its record: the header %w", p.Name, p.Version, err)
		}
		a, err := describeRecorded(h)
		if err != nil {
			return e, fmt.Errorf("package %s %s: %w", p.Name, p.Version, err)
		}
		e.added = append(e.added, a)
	}
	e.gone, err = packages.Replaced(packages.RPM, before, e.added)
	return e, err
}

// readRecorded reads all headers of the tree's database.
func readRecorded(ctx context.Context, t *tree.Tree) ([]recorded, error) {
	file, err := findDatabase(t)
	if err != nil || file == "" {
		return nil, err
	}
	var all []recorded
	err = readBlobs(ctx, t, file, func(number int64, blob []byte) error {
		one := recorded{}
		var err error
		if one.header, _, err = parseHeader(blob, tagImmutable); err != nil {
			return fmt.Errorf("package %d: the header %w", number, err)
		}
		if one.Recorded, err = describeRecorded(one.header); err != nil {
			return fmt.Errorf("package %d: %w", number, err)
		}
		all = append(all, one)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return all, nil
}

// findDatabase is the path of the tree's database; empty if there is none. The
// formats that rpm had before SQLite are refused.
func findDatabase(t *tree.Tree) (string, error) {
	folders := []string{DatabaseFolder, databaseLink}
	for _, folder := range folders {
		file := path.Join(folder, databaseName)
		if n, there := t.Resolve(file); there {
			if n.Kind != tree.File {
				return "", fmt.Errorf("%s is a %s: want a file", file, n.Kind)
			}
			return file, nil
		}
	}
	for _, folder := range folders {
		for name, kind := range map[string]string{"Packages": "Berkeley DB", "Packages.db": "NDB"} {
			if n, there := t.Resolve(path.Join(folder, name)); there && n.Kind == tree.File {
				return "", fmt.Errorf("%s is a database in the format %s: want SQLite, as rpm --rebuilddb of rpm 4.16 and later makes it",
					path.Join(folder, name), kind)
			}
		}
	}
	return "", nil
}

// describeRecorded is what the header says of a package that is in a database,
// or will be. Keys are kept there as packages, too, without an architecture.
func describeRecorded(h *header) (packages.Recorded, error) {
	r := packages.Recorded{}
	var err error
	if r.Name, r.Version, r.Arch, err = words(h); err != nil {
		return r, err
	}
	r.Beside = r.Arch != "noarch"
	provides, err := relations(h, tagProvideName, tagProvideVersion, tagProvideFlags)
	if err != nil {
		return r, err
	}
	obsoletes, err := relations(h, tagObsoleteName, tagObsoleteVersion, tagObsoleteFlags)
	if err != nil {
		return r, err
	}
	r.Provides, r.Obsoletes = plain(provides), plain(obsoletes)
	if r.Conflicts, err = requirements(h, tagConflictName, tagConflictVersion, tagConflictFlags); err != nil {
		return r, err
	}
	r.Files, err = recordedFiles(h)
	return r, err
}

// recordedFiles are the paths that are the package's in the image: not those
// that another package has replaced, or that were left out when it was
// installed.
func recordedFiles(h *header) ([]string, error) {
	names, err := h.strings(tagBaseNames)
	if err != nil || len(names) == 0 {
		return nil, err
	}
	if len(names) > maxFiles {
		return nil, fmt.Errorf("it has %d files: want at most %d", len(names), maxFiles)
	}
	paths, err := readPaths(h, names)
	if err != nil {
		return nil, err
	}
	c := columns{h: h, n: len(names)}
	states := c.numbers(tagFileStates, false)
	var files []string
	for i, name := range paths {
		if states[i] == 0 {
			files = append(files, "/"+strings.Clone(name))
		}
	}
	return files, c.err
}
