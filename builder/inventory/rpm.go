package inventory

import (
	"context"
	"slices"
	"strings"

	"github.com/proa-os/proa/builder/packages"
	"github.com/proa-os/proa/builder/rpm"
	"github.com/proa-os/proa/builder/tree"
)

// rpmDatabases are where rpm's database can be, newer places first.
var rpmDatabases = []string{"usr/lib/sysimage/rpm/rpmdb.sqlite", "var/lib/rpm/rpmdb.sqlite"}

// readRPM reads rpm's database.
func (r *reader) readRPM(ctx context.Context) error {
	seen := map[*tree.Node]bool{}
	for _, name := range rpmDatabases {
		n, ok := r.tree.Resolve(name)
		if !ok || n.Kind != tree.File || seen[n] {
			continue
		}
		seen[n] = true
		found, err := rpm.List(ctx, r.tree, name)
		if err != nil {
			return err
		}
		for _, p := range found {
			if p.Name != "gpg-pubkey" { // keys are kept as if they were packages
				r.found.Packages = append(r.found.Packages, rpmPackage(p))
			}
		}
	}
	sortPackages(r.found.Packages)
	return nil
}

func rpmPackage(from rpm.Installed) Package {
	p := Package{
		Format: packages.RPM, Name: from.Name, Version: from.Version, Arch: from.Arch,
		License: rpmExpression(from.License), Supplier: from.Vendor, Summary: from.Summary, Files: from.Files,
	}
	p.Source, p.SourceV = sourceOf(from.Source)
	if p.Source == p.Name {
		p.Source = ""
	}
	if _, noEpoch, has := strings.Cut(p.Version, ":"); p.SourceV == p.Version || has && p.SourceV == noEpoch {
		p.SourceV = ""
	}
	slices.Sort(p.Files)
	return p
}

// sourceOf cuts the file name of a source package into name and version:
// NAME-VERSION-RELEASE.src.rpm.
func sourceOf(file string) (name, version string) {
	parts := strings.Split(strings.TrimSuffix(strings.TrimSuffix(file, ".rpm"), ".src"), "-")
	if len(parts) < 3 {
		return "", ""
	}
	cut := len(parts) - 2
	return strings.Join(parts[:cut], "-"), strings.Join(parts[cut:], "-")
}
