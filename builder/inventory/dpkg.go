package inventory

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/proa-os/proa/builder/packages"
	"github.com/proa-os/proa/builder/tree"
)

// What dpkg may have recorded at the most.
const (
	packagesMost = 100_000
	listsMost    = 512 << 20 // bytes of all file lists together
	lineMost     = 1 << 20   // bytes
)

// dpkgFolders are where dpkg's records can be; images of several layers may
// have moved them out of var.
var dpkgFolders = []string{"var/lib/dpkg", "usr/lib/sysimage/dpkg", "usr/share/dpkg-db"}

// readDpkg reads the status file, and the folder status.d that images without
// dpkg have in its place, with one file for each package.
func (r *reader) readDpkg(context.Context) error {
	seen := map[*tree.Node]bool{} // one database under two names counts once
	for _, folder := range dpkgFolders {
		names := []string{path.Join(folder, "status")}
		for _, name := range r.children(path.Join(folder, "status.d")) {
			if !strings.HasSuffix(name, ".md5sums") {
				names = append(names, path.Join(folder, "status.d", name))
			}
		}
		for _, name := range names {
			n, ok := r.tree.Resolve(name)
			if !ok || n.Kind != tree.File || seen[n] {
				continue
			}
			seen[n] = true
			text, err := r.text(name, databaseMost)
			if err != nil {
				return err
			}
			found, err := parseStatus(text)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			if err := r.readLists(folder, path.Base(name), found); err != nil {
				return err
			}
			r.found.Packages = append(r.found.Packages, found...)
		}
	}
	sortPackages(r.found.Packages)
	return nil
}

func sortPackages(all []Package) {
	slices.SortStableFunc(all, func(a, b Package) int {
		for _, order := range []int{
			strings.Compare(string(a.Format), string(b.Format)), strings.Compare(a.Name, b.Name),
			strings.Compare(a.Arch, b.Arch), strings.Compare(a.Version, b.Version),
		} {
			if order != 0 {
				return order
			}
		}
		return 0
	})
}

// parseStatus reads the installed packages of a status file: paragraphs of
// deb822(5).
func parseStatus(text string) ([]Package, error) {
	var all []Package
	fields := map[string]string{}
	end := func() error {
		defer clear(fields)
		// status.d has no Status: what is there is installed.
		if state := strings.Fields(fields["status"]); len(fields) == 0 || len(state) > 0 && state[len(state)-1] != "installed" {
			return nil
		}
		p := Package{
			Format: packages.Deb, Name: fields["package"], Version: fields["version"], Arch: fields["architecture"],
			Supplier: fields["maintainer"], Homepage: fields["homepage"], Summary: fields["description"],
		}
		if p.Name == "" || p.Version == "" || strings.ContainsAny(p.Name, "/ ") {
			return fmt.Errorf("package %.80q in version %.80q: want a name and a version", p.Name, p.Version)
		}
		if source, version, _ := strings.Cut(fields["source"], " "); source != p.Name {
			p.Source, p.SourceV = source, strings.Trim(version, "()")
		} else {
			p.SourceV = strings.Trim(version, "()")
		}
		if all = append(all, p); len(all) > packagesMost {
			return fmt.Errorf("more than %d packages", packagesMost)
		}
		return nil
	}
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimRight(line, "\r\n")
		switch {
		case strings.TrimSpace(line) == "":
			if err := end(); err != nil {
				return nil, err
			}
		case line[0] == ' ' || line[0] == '\t' || line[0] == '#':
			// What goes on in further lines is not needed: descriptions, conffiles.
		default:
			key, value, ok := strings.Cut(line, ":")
			if !ok || len(line) > lineMost {
				return nil, fmt.Errorf("line %d: want field: value, of at most %d bytes", number, lineMost)
			}
			fields[strings.ToLower(key)] = strings.TrimSpace(value)
		}
	}
	return all, end()
}

// readLists adds the files of packages: info/NAME.list, with the architecture
// in the name where several of one package can be installed, or the md5sums
// beside a file of status.d.
func (r *reader) readLists(folder, status string, all []Package) error {
	total := int64(0)
	for i := range all {
		p := &all[i]
		info := path.Join(folder, "info", p.Name)
		name := r.first(info+":"+p.Arch+".list", info+".list")
		sums := false
		if name == "" {
			name, sums = r.first(path.Join(folder, "status.d", status+".md5sums"), info+":"+p.Arch+".md5sums", info+".md5sums"), true
		}
		if name == "" {
			continue
		}
		text, err := r.text(name, listMost)
		if err != nil {
			return err
		}
		if total += int64(len(text)); total > listsMost {
			return fmt.Errorf("file lists of more than %d bytes", int64(listsMost))
		}
		for line := range strings.Lines(text) {
			line = strings.TrimRight(line, "\r\n")
			if sums {
				_, line, _ = strings.Cut(line, "  ")
			}
			line = strings.Trim(strings.TrimPrefix(line, "./"), "/")
			if line != "" && line != "." {
				p.Files = append(p.Files, line)
			}
		}
		slices.Sort(p.Files)
	}
	return nil
}
