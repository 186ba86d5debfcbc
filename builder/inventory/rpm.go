package inventory

import (
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	rpmdb "github.com/knqyf263/go-rpmdb/pkg"
	_ "modernc.org/sqlite" // the driver that go-rpmdb asks database/sql for

	"github.com/proa-os/proa/builder/tree"
)

// rpmDatabases are where rpm's database can be, newer places first.
var rpmDatabases = []string{"usr/lib/sysimage/rpm/rpmdb.sqlite", "var/lib/rpm/rpmdb.sqlite"}

const (
	rpmDatabaseMost = 1 << 30
	sqliteMagic     = "SQLite format 3\x00"
)

// readRPM reads rpm's database. SQLite wants a file, so it reads a copy, with
// the log of what was not yet moved into the database if there is one.
func (r *reader) readRPM(ctx context.Context) error {
	seen := map[*tree.Node]bool{}
	for _, name := range rpmDatabases {
		n, ok := r.tree.Resolve(name)
		if !ok || n.Kind != tree.File || seen[n] {
			continue
		}
		seen[n] = true
		found, err := r.readRPMDatabase(ctx, name, n)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		r.found.Packages = append(r.found.Packages, found...)
	}
	sortPackages(r.found.Packages)
	return nil
}

func (r *reader) readRPMDatabase(ctx context.Context, name string, n *tree.Node) (packages []Package, err error) {
	// go-rpmdb reads older formats, too, but in goroutines whose panics nobody
	// can stop.
	magic := make([]byte, len(sqliteMagic))
	if n.Content.Size < 512 {
		return nil, fmt.Errorf("%d bytes: want a SQLite database", n.Content.Size)
	}
	if _, err := n.Content.Open().ReadAt(magic, 0); err != nil || string(magic) != sqliteMagic {
		return nil, fmt.Errorf("want a SQLite database: %w", err)
	}
	folder, err := os.MkdirTemp("", "proa-rpmdb-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	file := filepath.Join(folder, "rpmdb.sqlite")
	if err := copyTo(file, n.Content); err != nil {
		return nil, err
	}
	if log, ok := r.tree.Resolve(name + "-wal"); ok && log.Kind == tree.File && log.Content.Size > 0 {
		if err := copyTo(file+"-wal", log.Content); err != nil {
			return nil, err
		}
	}
	defer func() {
		if v := recover(); v != nil {
			packages, err = nil, fmt.Errorf("the database is damaged: %v", v)
		}
	}()
	db, err := rpmdb.Open(file)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	all, err := db.ListPackages()
	if err != nil {
		return nil, err
	}
	if len(all) > packagesMost {
		return nil, fmt.Errorf("more than %d packages", packagesMost)
	}
	for _, info := range all {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		p, err := rpmPackage(info)
		if err != nil {
			return nil, err
		}
		if p.Name != "gpg-pubkey" { // keys are kept as if they were packages
			packages = append(packages, p)
		}
	}
	return packages, nil
}

func copyTo(name string, content tree.Content) error {
	if content.Size > rpmDatabaseMost {
		return fmt.Errorf("%d bytes: want at most %d", content.Size, int64(rpmDatabaseMost))
	}
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	if n, err := io.Copy(file, content.Open()); err != nil || n != content.Size {
		return fmt.Errorf("copying: %d of %d bytes: %w", n, content.Size, err)
	}
	return file.Close()
}

func rpmPackage(info *rpmdb.PackageInfo) (Package, error) {
	p := Package{
		Format: RPM, Name: info.Name, Version: info.Version + "-" + info.Release, Arch: info.Arch,
		License: rpmExpression(info.License), Supplier: info.Vendor, Summary: info.Summary,
	}
	if p.Name == "" || info.Version == "" || strings.ContainsAny(p.Name, "/ ") {
		return Package{}, fmt.Errorf("package %.80q in version %.80q: want a name and a version", p.Name, info.Version)
	}
	if info.Epoch != nil && *info.Epoch != 0 {
		p.Version = strconv.Itoa(*info.Epoch) + ":" + p.Version
	}
	if p.Arch == "(none)" {
		p.Arch = ""
	}
	p.Source, p.SourceV = sourceOf(info.SourceRpm)
	if p.Source == p.Name {
		p.Source = ""
	}
	if p.SourceV == info.Version+"-"+info.Release {
		p.SourceV = ""
	}
	for _, i := range info.DirIndexes {
		if i < 0 {
			return Package{}, fmt.Errorf("package %s: folder number %d", p.Name, i)
		}
	}
	names, err := info.InstalledFileNames()
	if err != nil {
		return Package{}, err
	}
	for _, name := range names {
		if name = strings.Trim(path.Clean(name), "/"); name != "" {
			p.Files = append(p.Files, name)
		}
	}
	slices.Sort(p.Files)
	return p, nil
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
