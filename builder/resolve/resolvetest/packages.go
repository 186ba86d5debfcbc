package resolvetest

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/proa-os/proa/builder/deb/debtest"
	"github.com/proa-os/proa/builder/oci/ocitest"
	"github.com/proa-os/proa/builder/tarball/tartest"
)

// Package is a simple package; the file usr/share/NAME/version says its
// version.
type Package struct {
	Name, Version string
	Needs         string            // as Depends or Requires has it
	Files         map[string]string // more files, by path without a slash
	More          string            // lines for the control file, or behind the spec's %description
}

func (p Package) files() map[string]string {
	files := map[string]string{"usr/share/" + p.Name + "/version": p.Version + "\n"}
	maps.Copy(files, p.Files)
	return files
}

// DebFile makes a .deb in a folder and returns its path.
func (w *World) DebFile(t testing.TB, folder string, p Package) string {
	t.Helper()
	text := fmt.Sprintf("Package: %s\nVersion: %s\nArchitecture: amd64\nMaintainer: T <t@example.org>\nDescription: x\n", p.Name, p.Version)
	if p.Needs != "" {
		text += "Depends: " + p.Needs + "\n"
	}
	return debtest.Build(t, folder, p.Name+"_"+p.Version, text+p.More, p.files(), "--root-owner-group")
}

// RPMFile makes a signed .rpm in a folder and returns its path.
func (w *World) RPMFile(t testing.TB, folder string, p Package) string {
	t.Helper()
	top := t.TempDir()
	var spec strings.Builder
	fmt.Fprintf(&spec, "Name: %s\nVersion: %s\nRelease: 1\nSummary: x\nLicense: MIT\nBuildArch: noarch\n", p.Name, p.Version)
	if p.Needs != "" {
		fmt.Fprintf(&spec, "Requires: %s\n", p.Needs)
	}
	files := p.files()
	fmt.Fprintf(&spec, "%%description\nx\n%s\n%%install\n", p.More)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		at := filepath.Join(top, "files", name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(files[name]), 0o644); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&spec, "install -D -m 644 %s %%{buildroot}/%s\n", at, name)
	}
	if !strings.Contains(p.More, "%files") {
		spec.WriteString("%files\n")
		for _, name := range slices.Sorted(maps.Keys(files)) {
			fmt.Fprintf(&spec, "/%s\n", name)
		}
	}
	return w.RPMOf(t, folder, spec.String())
}

// RPMOf makes a signed .rpm of a spec in a folder and returns its path.
func (w *World) RPMOf(t testing.TB, folder, spec string) string {
	t.Helper()
	top := t.TempDir()
	path := filepath.Join(top, "x.spec")
	if err := os.WriteFile(path, []byte(spec), 0o644); err != nil {
		t.Fatal(err)
	}
	tool(t, "", "", "rpmbuild", "--quiet", "-bb", "--define", "_topdir "+top, "--define", "_build_id_links none", "--define", "_buildhost test", path)
	made, err := filepath.Glob(filepath.Join(top, "RPMS/*/*.rpm"))
	if err != nil || len(made) != 1 {
		t.Fatalf("rpmbuild made %v, %v", made, err)
	}
	tool(t, "", "", "rpmsign", "--define", "__gpg /usr/bin/gpg", "--define", "_gpg_path "+w.home, "--define", "_gpg_name world@example.org", "--addsign", made[0])
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(folder, filepath.Base(made[0]))
	tool(t, "", "", "mv", made[0], to)
	return to
}

// The folders of packages, in Dir.
const (
	DebPool = "debian/pool"
	RPMPool = "rpm/Packages"
)

// AddDeb puts packages into the archive, suite stable.
func (w *World) AddDeb(t testing.TB, all ...Package) {
	t.Helper()
	for _, p := range all {
		w.DebFile(t, filepath.Join(w.Dir, DebPool), p)
	}
	w.IndexDeb(t)
}

// IndexDeb indexes and signs the archive as it is.
func (w *World) IndexDeb(t testing.TB) {
	t.Helper()
	dir := filepath.Join(w.Dir, "debian")
	w.ReleaseDeb(t, tool(t, dir, "", "apt-ftparchive", "packages", "pool"))
}

// ReleaseDeb gives the archive an index, signed.
func (w *World) ReleaseDeb(t testing.TB, list []byte) {
	t.Helper()
	dir := filepath.Join(w.Dir, "debian")
	index := filepath.Join(dir, "dists/stable/main/binary-amd64")
	if err := os.MkdirAll(index, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(index, "Packages"), list, 0o644); err != nil {
		t.Fatal(err)
	}
	const option = "APT::FTPArchive::Release::"
	release := tool(t, dir, "", "apt-ftparchive", "-o", option+"Suite=stable", "-o", option+"Architectures=amd64", "-o", option+"Components=main", "release", "dists/stable")
	w.SignDeb(t, "world", string(release))
}

// SignDeb signs the archive's Release file, which is the text given.
func (w *World) SignDeb(t testing.TB, key, release string) {
	t.Helper()
	signed := w.gpg(t, release, "--local-user", key+"@example.org", "--clear-sign")
	if err := os.WriteFile(filepath.Join(w.Dir, "debian/dists/stable/InRelease"), signed, 0o644); err != nil {
		t.Fatal(err)
	}
}

// AddRPM puts packages into the repository.
func (w *World) AddRPM(t testing.TB, all ...Package) {
	t.Helper()
	for _, p := range all {
		w.RPMFile(t, filepath.Join(w.Dir, RPMPool), p)
	}
	w.IndexRPM(t)
}

// IndexRPM indexes and signs the repository as it is, with more arguments for
// createrepo_c.
func (w *World) IndexRPM(t testing.TB, args ...string) {
	t.Helper()
	dir := filepath.Join(w.Dir, "rpm")
	tool(t, "", "", "createrepo_c", append(args, "--quiet", dir)...)
	w.gpg(t, "", "--local-user", "world@example.org", "--armor", "--detach-sign", filepath.Join(dir, "repodata/repomd.xml"))
}

// Push puts an image of one layer into the registry, with these files and
// usr/share/NAME/version, which says the tag. It returns the manifest's digest.
func (w *World) Push(t testing.TB, name, tag string, files map[string]string) string {
	t.Helper()
	all := Package{Name: name, Version: tag, Files: files}.files()
	var parts []tartest.Part
	for _, path := range slices.Sorted(maps.Keys(all)) {
		parts = append(parts, tartest.File(path, all[path]))
	}
	return w.PushLayer(t, name, tag, tartest.Archive(parts...))
}

// PushLayer puts an image of one layer, a tar archive, into the registry.
func (w *World) PushLayer(t testing.TB, name, tag string, layer []byte) string {
	t.Helper()
	digest, err := ocitest.Push(w.Registry+"/"+name+":"+tag, bytes.Clone(layer))
	if err != nil {
		t.Fatal(err)
	}
	return digest
}
