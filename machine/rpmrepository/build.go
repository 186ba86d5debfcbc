package rpmrepository

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// build makes one package with rpmbuild, out of the folder that all of its kind
// come from.
func (w workshop) build(ctx context.Context, p pack) error {
	top := w.path("build", p.name)
	if err := os.MkdirAll(top, 0o755); err != nil {
		return err
	}
	var list strings.Builder
	for _, file := range p.files {
		switch info, err := os.Lstat(filepath.Join(p.from, file)); {
		case err != nil:
			return err
		case info.IsDir():
			list.WriteString("%dir ")
		case slices.Contains(p.config, file):
			list.WriteString("%config(noreplace) ")
		}
		fmt.Fprintf(&list, "\"%s\"\n", file)
	}
	spec, files := filepath.Join(top, p.name+".spec"), filepath.Join(top, "files")
	for path, text := range map[string]string{spec: p.spec(files), files: list.String()} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	args := []string{"-bb", "--quiet", "--noclean", "--target", "x86_64", "--buildroot", p.from}
	for _, define := range []string{
		"_topdir " + top, "_rpmdir " + w.path("repository", "Packages"), "_dbpath " + filepath.Join(top, "db"), "_buildhost example.org",
		"_binary_payload w3.zstdio", "_build_id_links none", "debug_package %{nil}", "__requires_exclude ^/",
		// Nothing is installed, stripped or removed: the folder is as it should be.
		"__spec_install_pre %{___build_pre}", "__os_install_post %{nil}", "__check_files %{nil}",
	} {
		args = append(args, "--define", define)
	}
	return w.run(ctx, "rpmbuild", append(args, spec)...)
}

// addGateway adds what goes with applianceSpec.
func (w workshop) addGateway() error {
	program, err := os.ReadFile(w.path("debian", "usr", "bin", "busybox"))
	if err != nil {
		return err
	}
	for name, text := range map[string]string{
		"usr/bin/busybox-gateway":         string(program),
		"etc/gateway.conf":                "listen: 8080\n",
		"usr/lib/sysusers.d/gateway.conf": "u gateway - \"Gateway\" /var/lib/gateway\n",
		"var/lib/gateway/state":           "",
	} {
		at := w.path("appliance", name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(at, []byte(text), 0o755); err != nil {
			return err
		}
	}
	return nil
}
