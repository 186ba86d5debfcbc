package repository

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/proa-os/proa/manifests"
)

// extend adds the files of an extension to a release folder.
func extend(t *testing.T, dir string) []manifests.Artifact {
	t.Helper()
	release := readRelease(t, dir)
	var added []manifests.Artifact
	for _, name := range []string{manifests.ExtensionsFile, "debug.sysext.raw", "debug.sysext.spdx.json"} {
		content := []byte(name + " of " + string(release.Version))
		check(t, os.WriteFile(filepath.Join(dir, name), content, 0o644))
		added = append(added, manifests.Artifact{Name: name, Size: int64(len(content)), Digest: manifests.DigestOf(content)})
	}
	release.Artifacts = append(release.Artifacts, added...)
	slices.SortFunc(release.Artifacts, func(a, b manifests.Artifact) int { return strings.Compare(a.Name, b.Name) })
	writeRelease(t, dir, release)
	return added
}

func TestExtensionsArePublishedAndExportedWithTheirRelease(t *testing.T) {
	cfg := makeRepository(t)
	dir := makeRelease(t, "boat", "1.0.0", fakeImage(1, 40960))
	added := extend(t, dir)
	publish(t, cfg, dir, "stable")
	export := filepath.Join(t.TempDir(), "export")
	_, err := Export(t.Context(), ExportConfig{Dir: cfg.Dir, Path: export, Channel: "stable", Now: cfg.Now})
	check(t, err)
	pack, err := PackWhole(t.Context(), cfg.Dir, cfg.Now())
	check(t, err)
	for _, a := range added {
		want := a.Name + " of 1.0.0"
		for _, folder := range []string{cfg.Dir, export} {
			if got, err := os.ReadFile(filepath.Join(folder, manifests.ArtifactPath(a.Digest))); err != nil || string(got) != want {
				t.Errorf("%s of %s: %q, %v", a.Name, folder, got, err)
			}
		}
		if !slices.ContainsFunc(pack.Files, func(f PackedFile) bool { return f.Name == manifests.ArtifactPath(a.Digest) }) {
			t.Errorf("%s is not among what goes to a registry", a.Name)
		}
	}
	// Publishing completes what has been lost.
	lost := filepath.Join(cfg.Dir, manifests.ArtifactPath(added[1].Digest))
	check(t, os.Remove(lost))
	publish(t, cfg, dir, "stable")
	if _, err := os.Stat(lost); err != nil {
		t.Error(err)
	}
}
