package deb

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/proa-os/proa/builder/deb/control"
	"github.com/proa-os/proa/builder/packages"
	"github.com/proa-os/proa/builder/tree"
)

// recorded is a package of a database that an earlier source has brought, or
// written.
type recorded struct {
	packages.Recorded
	text string // its stanza
	base string // as installed.base
}

// MakeRoom takes from t the files of recorded packages that payloads are other
// versions of, or replace as a whole, as packages.Room.Make does. Their records
// go when WriteDatabase writes the new ones. It returns the packages that are
// gone. Without a database there is nothing to do.
func MakeRoom(t *tree.Tree, payloads []packages.Payload) ([]packages.Recorded, error) {
	if _, there := t.Resolve(dpkgOwn + "/status"); !there {
		if _, there = t.Resolve(database + "/status"); !there {
			return nil, nil
		}
	}
	if err := settle(t); err != nil {
		return nil, fmt.Errorf("%s: %w", database, err)
	}
	e, err := readEarlier(t, payloads)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", database, err)
	}
	room := packages.Room{Gone: e.gone, Added: e.added, Keep: []string{database, dpkgOwn}, Replaces: takesOver}
	var gone []packages.Recorded
	for i, r := range e.recorded {
		room.Recorded = append(room.Recorded, r.Recorded)
		if e.gone[i] {
			gone = append(gone, r.Recorded)
		}
	}
	return gone, room.Make(t, payloads)
}

// takesOver is Replaces for a package that is only recorded.
func takesOver(added *packages.About, stays *packages.Recorded) bool {
	return Replaces(added, &packages.About{Name: stays.Name, Version: stays.Version}, "")
}

// earlier is what is recorded, and what becomes of it once others are added.
type earlier struct {
	recorded []recorded
	gone     []bool
	added    []packages.Recorded
}

func readEarlier(t *tree.Tree, payloads []packages.Payload) (earlier, error) {
	var e earlier
	var err error
	if e.recorded, err = readRecorded(t); err != nil || len(e.recorded) == 0 {
		return e, err
	}
	before := make([]packages.Recorded, len(e.recorded))
	for i, r := range e.recorded {
		before[i] = r.Recorded
	}
	for _, p := range payloads {
		stanza, err := control.Single(p.Record[recordControl], maxStanza)
		if err != nil {
			return e, fmt.Errorf("package %s: its control: %w", p.Name, err)
		}
		a, err := describeRecorded(stanza)
		if err != nil {
			return e, err
		}
		for line := range strings.Lines(string(p.Record[recordList])) {
			a.Files = append(a.Files, strings.TrimSuffix(line, "\n"))
		}
		e.added = append(e.added, a)
	}
	e.gone, err = packages.Replaced(packages.Deb, before, e.added)
	return e, err
}

// readRecorded reads the status file, and the list of files of each package.
func readRecorded(t *tree.Tree) ([]recorded, error) {
	text, err := t.ReadFile(database+"/status", maxStatus)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []recorded
	left := int64(maxStatus)
	seen := map[string]bool{}
	for r := control.NewReader(bytes.NewReader(text), maxStanza); ; {
		s, err := r.Next()
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("status: %w", err)
		}
		one := recorded{text: s.Text()}
		if one.Recorded, err = describeRecorded(s); err != nil {
			return nil, fmt.Errorf("status: %w", err)
		}
		key := one.Name + ":" + one.Arch
		if seen[key] || len(all) == maxPackages {
			return nil, fmt.Errorf("status: package %s: twice, or more than %d packages", key, maxPackages)
		}
		seen[key] = true
		if err := one.readList(t, &left); err != nil {
			return nil, err
		}
		all = append(all, one)
	}
}

// describeRecorded is what a stanza of the status file says, or of a package
// that will be in it. One that was removed, with its configuration left, wants
// nothing of others.
func describeRecorded(s *control.Stanza) (packages.Recorded, error) {
	r := packages.Recorded{Beside: s.Value("Multi-Arch") == "same"}
	r.Name, r.Version, r.Arch = s.Value("Package"), s.Value("Version"), s.Value("Architecture")
	if err := control.CheckName(r.Name); err != nil {
		return r, err
	}
	if err := control.CheckArch(r.Arch); err != nil {
		return r, fmt.Errorf("package %s: %w", r.Name, err)
	}
	status := strings.Fields(s.Value("Status"))
	if len(status) == 3 && slices.Contains([]string{"not-installed", "config-files"}, status[2]) {
		return r, nil
	}
	parser := control.NewParser(r.Arch)
	var err error
	if r.Package, err = describe(s, parser); err != nil {
		return r, err
	}
	conflicts, err := parser.Relations(s.Bytes("Conflicts"))
	if err != nil {
		return r, fmt.Errorf("package %s: field Conflicts: %w", r.Name, err)
	}
	replaces, err := parser.Relations(s.Bytes("Replaces"))
	if err != nil {
		return r, fmt.Errorf("package %s: field Replaces: %w", r.Name, err)
	}
	for _, c := range conflicts {
		if slices.ContainsFunc(replaces, func(other packages.Relation) bool { return other.Name == c.Name }) {
			r.Obsoletes = append(r.Obsoletes, c)
		}
	}
	return r, nil
}

// readList reads the package's list of paths. left is how many bytes all lists
// may still have.
func (r *recorded) readList(t *tree.Tree, left *int64) error {
	r.base = r.Name
	if r.Beside {
		r.base += ":" + r.Arch
	}
	text, err := t.ReadFile(database+"/info/"+r.base+".list", *left)
	if errors.Is(err, fs.ErrNotExist) && r.Beside {
		// Older than the names with architectures.
		if text, err = t.ReadFile(database+"/info/"+r.Name+".list", *left); err == nil {
			r.base = r.Name
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil // as dpkg, which says so and goes on
	}
	if err != nil {
		return err
	}
	*left -= int64(len(text))
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		clean, err := tree.Clean(line)
		if err != nil {
			return fmt.Errorf("info/%s.list: %w", r.base, err)
		}
		r.Files = append(r.Files, "/"+clean)
	}
	return nil
}
