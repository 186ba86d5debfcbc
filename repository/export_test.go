package repository

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/proa-os/proa/fetch/stick"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/signing"
)

// exportWorld is a repository with two releases of a product, one of another,
// and deltas to the newer of the two.
type exportWorld struct {
	Config
	deltas map[manifests.Version][]byte
}

func makeExportWorld(t *testing.T) exportWorld {
	t.Helper()
	w := exportWorld{makeRepository(t), map[manifests.Version][]byte{"1.0.0": []byte("delta of 1.0.0"), "0.9.0": []byte("delta of 0.9.0")}}
	publish(t, w.Config, makeRelease(t, "boat", "1.0.0", fakeImage(1, 40960)), "stable")
	publish(t, w.Config, makeRelease(t, "boat", "1.1.0", fakeImage(2, 40960)), "beta")
	publish(t, w.Config, makeRelease(t, "ship", "2.0.0", fakeImage(3, 40960)), "beta")
	r, unlock, err := open(w.Config)
	check(t, err)
	defer unlock()
	name := manifests.TransportTarget("boat", manifests.AMD64, "1.1.0")
	transport := must[manifests.Transport](t)(manifests.ParseTransport(must[[]byte](t)(r.target(name))))
	transport.Deltas = []manifests.Delta{}
	for i, v := range []manifests.Version{"1.0.0", "0.9.0"} {
		file := manifests.FetchFile{Size: int64(len(w.deltas[v])), Digest: manifests.DigestOf(w.deltas[v])}
		check(t, r.write(manifests.ArtifactPath(file.Digest), w.deltas[v]))
		transport.Deltas = append(transport.Deltas, manifests.Delta{Base: bytes.Repeat([]byte{byte(i + 1)}, 32), Version: v, FetchFile: file, Header: file})
	}
	must[bool](t)(r.update(t.Context(), map[string][]byte{name: must[[]byte](t)(document(transport))}))
	return w
}

func (w exportWorld) export(path string, change func(*ExportConfig)) (Exported, error) {
	cfg := ExportConfig{Dir: w.Dir, Path: path, Channel: "beta", Product: "boat", Now: w.Now}
	if change != nil {
		change(&cfg)
	}
	return Export(context.Background(), cfg)
}

// hostFinds is what a new host gets out of an export: the transport of the
// release that the channel names, and which of its artifacts are there.
func (w exportWorld) hostFinds(t *testing.T, path, channel string) (manifests.Transport, map[manifests.Digest]bool) {
	t.Helper()
	s := must[*stick.Stick](t)(stick.Open(path))
	defer s.Close()
	client := must[*signing.Client](t)(signing.OpenClient(signing.Config{
		URL: s.URL(), Dir: t.TempDir(), HTTP: &http.Client{Transport: s}, Now: w.Now,
		Root: must[[]byte](t)(os.ReadFile(filepath.Join(w.Dir, "metadata/1.root.json"))),
	}))
	check(t, client.Refresh(t.Context()))
	get := func(name string) []byte {
		return must[signing.Verified](t)(client.Fetch(t.Context(), name)).Bytes()
	}
	c := must[manifests.Channel](t)(manifests.ParseChannel(get(manifests.ChannelTarget("boat", manifests.AMD64, channel))))
	release := must[manifests.Release](t)(manifests.ParseRelease(get(manifests.ReleaseTarget("boat", manifests.AMD64, c.Version))))
	transport := must[manifests.Transport](t)(manifests.ParseTransport(get(manifests.TransportTarget("boat", manifests.AMD64, c.Version))))
	wanted := []manifests.FetchFile{transport.Root, transport.Index, transport.UKI.FetchFile}
	for _, d := range transport.Deltas {
		wanted = append(wanted, d.FetchFile)
	}
	if a, ok := release.Artifact(manifests.StateFile); ok {
		wanted = append(wanted, manifests.FetchFile{Size: a.Size, Digest: a.Digest})
	}
	found := map[manifests.Digest]bool{}
	for _, want := range wanted {
		f, err := s.Open(manifests.ArtifactPath(want.Digest))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		check(t, err)
		content := must[[]byte](t)(io.ReadAll(f))
		check(t, f.Close())
		if int64(len(content)) != want.Size || manifests.DigestOf(content) != want.Digest {
			t.Errorf("artifact %s is damaged", want.Digest)
		}
		found[want.Digest] = true
	}
	return transport, found
}

func TestAnExportHasWhatAHostNeedsAndNothingElse(t *testing.T) {
	w := makeExportWorld(t)
	for name, test := range map[string]struct {
		change        func(*ExportConfig)
		deltas, files int
		whole         bool
	}{
		"channel":         {nil, 2, 4 + 3 + 2 + 5, true},
		"version":         {func(c *ExportConfig) { c.Channel, c.Version = "", "1.1.0" }, 2, 4 + 3 + 2 + 5, true},
		"base":            {func(c *ExportConfig) { c.Base = "1.0.0" }, 1, 4 + 3 + 1 + 5, true},
		"base, delta":     {func(c *ExportConfig) { c.Base, c.DeltaOnly = "1.0.0", true }, 1, 4 + 3 + 1 + 1, false},
		"all deltas only": {func(c *ExportConfig) { c.DeltaOnly = true }, 2, 4 + 3 + 2 + 1, false},
	} {
		for _, path := range []string{"x.tar", "folder"} {
			t.Run(name+" "+path, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), path)
				exported, err := w.export(path, test.change)
				check(t, err)
				transport, found := w.hostFinds(t, path, "beta")
				if found[transport.Root.Digest] != test.whole || found[transport.Index.Digest] != test.whole || !found[transport.UKI.Digest] {
					t.Errorf("found %v of %+v", found, transport)
				}
				deltas := 0
				for _, d := range transport.Deltas {
					if found[d.Digest] {
						deltas++
					}
				}
				if deltas != test.deltas || len(exported.Release.Deltas) != deltas || exported.Whole != test.whole {
					t.Errorf("%d deltas: %+v", deltas, exported)
				}
				if exported.Files != test.files {
					t.Errorf("%d files, want %d", exported.Files, test.files)
				}
				if want := start.Add(signing.DefaultLifetimes()[signing.RoleTimestamp]); !exported.Expires.Equal(want) {
					t.Errorf("expires %s, want %s", exported.Expires, want)
				}
				wantNoTemps(t, filepath.Dir(path))
			})
		}
	}
}

func TestAnExportIsTheSameEachTimeAndWhatGNUTarExtracts(t *testing.T) {
	w := makeExportWorld(t)
	dir := t.TempDir()
	one, two, folder := filepath.Join(dir, "1.tar"), filepath.Join(dir, "2.tar"), filepath.Join(dir, "folder")
	for _, path := range []string{one, two, folder} {
		must[Exported](t)(w.export(path, nil))
	}
	if !bytes.Equal(must[[]byte](t)(os.ReadFile(one)), must[[]byte](t)(os.ReadFile(two))) {
		t.Error("two exports differ")
	}
	extracted := filepath.Join(dir, "extracted")
	check(t, os.Mkdir(extracted, 0o755))
	if out, err := exec.Command("tar", "-xf", one, "-C", extracted).CombinedOutput(); err != nil || len(out) > 0 {
		t.Fatalf("tar: %v\n%s", err, out)
	}
	if !maps.Equal(snapshotOf(t, extracted), snapshotOf(t, folder)) {
		t.Error("the tar file and the folder differ")
	}
	listing := string(must[[]byte](t)(exec.Command("tar", "-tf", one).Output()))
	order := []string{"proa-export.json", "metadata/1.root.json", "metadata/timestamp.json", ".snapshot.json", ".targets.json", "beta.json", "release.json", "transport.json"}
	transport, _ := w.hostFinds(t, one, "beta")
	for _, digest := range []manifests.Digest{transport.Deltas[0].Digest, transport.Deltas[1].Digest, transport.Index.Digest, transport.Root.Digest, transport.UKI.Digest} {
		order = append(order, digest.Hex())
	}
	at := 0
	for _, name := range order {
		next := strings.Index(listing[at:], name)
		if next < 0 {
			t.Fatalf("%s is not there or too early:\n%s", name, listing)
		}
		at += next
	}
	if got := strings.Count(listing, "\n"); got != len(order)+len(manifests.ForInstallers()) {
		t.Errorf("%d files:\n%s", got, listing)
	}
}

func TestOnlyAnExportIsReplaced(t *testing.T) {
	w := makeExportWorld(t)
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		check(t, os.MkdirAll(filepath.Dir(path), 0o755))
		check(t, os.WriteFile(path, []byte(content), 0o644))
		return path
	}
	archive := filepath.Join(dir, "home.tar")
	if out, err := exec.Command("tar", "-cf", archive, "-C", w.Dir, "metadata").CombinedOutput(); err != nil {
		t.Fatalf("tar: %v\n%s", err, out)
	}
	write("holiday/photo.jpg", "photo")
	must[Exported](t)(w.export(filepath.Join(dir, "mixed"), nil))
	write("mixed/photo.jpg", "photo")
	check(t, os.Mkdir(filepath.Join(dir, "folder.tar"), 0o755))
	mirror := filepath.Join(dir, "mirror") // of a repository, without its lock
	check(t, os.CopyFS(mirror, os.DirFS(w.Dir)))
	check(t, os.Remove(filepath.Join(mirror, lockFile)))
	before := snapshotOf(t, dir)
	for _, path := range []string{w.Dir, mirror, archive, write("text.tar", "text"), write("file", "text"), filepath.Join(dir, "holiday"), filepath.Join(dir, "mixed"), filepath.Join(dir, "folder.tar")} {
		before := snapshotOf(t, w.Dir)
		if _, err := w.export(path, nil); err == nil {
			t.Errorf("%s: replaced", path)
		}
		if !maps.Equal(before, snapshotOf(t, w.Dir)) {
			t.Fatal("the repository changed")
		}
	}
	delete(before, "text.tar")
	after := snapshotOf(t, dir)
	for _, name := range []string{"text.tar", "file"} {
		delete(after, name)
	}
	if !maps.Equal(before, after) {
		t.Error("something changed")
	}
	for _, path := range []string{filepath.Join(dir, "x.tar"), filepath.Join(dir, "x"), filepath.Join(dir, "empty")} {
		if strings.HasSuffix(path, "empty") {
			check(t, os.Mkdir(path, 0o755))
		}
		for _, channel := range []string{"stable", "beta"} {
			must[Exported](t)(w.export(path, func(c *ExportConfig) { c.Channel = channel }))
			w.hostFinds(t, path, channel)
		}
		wantNoTemps(t, dir)
	}
}

func TestAFailedExportLeavesTheOldOne(t *testing.T) {
	w := makeExportWorld(t)
	dir := t.TempDir()
	paths := []string{filepath.Join(dir, "x.tar"), filepath.Join(dir, "x")}
	for _, path := range paths {
		must[Exported](t)(w.export(path, nil))
	}
	before := snapshotOf(t, dir)
	transport, _ := w.hostFinds(t, paths[0], "beta")
	uki := filepath.Join(w.Dir, manifests.ArtifactPath(transport.UKI.Digest))
	content := must[[]byte](t)(os.ReadFile(uki))
	content[0] ^= 1
	for what, damage := range map[string]func() error{
		"damaged": func() error { return os.WriteFile(uki, content, 0o644) },
		"cut":     func() error { return os.WriteFile(uki, content[1:], 0o644) },
		"missing": func() error { return os.Remove(uki) },
	} {
		check(t, damage())
		for _, path := range append(paths, filepath.Join(dir, "new"), filepath.Join(dir, "new.tar")) {
			if _, err := w.export(path, nil); !errors.Is(err, ErrBroken) {
				t.Errorf("%s: %v", what, err)
			}
		}
		check(t, os.WriteFile(uki, content, 0o644))
	}
	content[0] ^= 1
	check(t, os.WriteFile(uki, content, 0o644))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, path := range paths {
		if _, err := Export(ctx, ExportConfig{Dir: w.Dir, Path: path, Channel: "stable", Now: w.Now}); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
	}
	if !maps.Equal(before, snapshotOf(t, dir)) {
		t.Errorf("left %v", slices.Sorted(maps.Keys(snapshotOf(t, dir))))
	}
}

func TestWhatNoHostCouldUseIsNotExported(t *testing.T) {
	w := makeExportWorld(t)
	publish(t, w.Config, makeRelease(t, "boat", "1.2.0", fakeImage(4, 8192)), "beta")
	for name, test := range map[string]struct {
		change func(*ExportConfig)
		want   error
	}{
		"no such channel":     {func(c *ExportConfig) { c.Channel = "nightly" }, ErrNoRelease},
		"no such version":     {func(c *ExportConfig) { c.Channel, c.Version = "", "3.0.0" }, ErrNoRelease},
		"no channel any more": {func(c *ExportConfig) { c.Channel, c.Version = "", "1.1.0" }, ErrNoChannel},
		"which product":       {func(c *ExportConfig) { c.Product = "" }, ErrAmbiguous},
		"no such delta":       {func(c *ExportConfig) { c.Base = "0.1.0" }, ErrNoDelta},
		"no delta at all":     {func(c *ExportConfig) { c.DeltaOnly = true }, ErrNoDelta},
		"expired":             {func(c *ExportConfig) { c.Now = func() time.Time { return start.AddDate(0, 1, 0) } }, signing.ErrExpired},
		"no repository":       {func(c *ExportConfig) { c.Dir = t.TempDir() }, ErrNoRepository},
	} {
		path := filepath.Join(t.TempDir(), "x.tar")
		if _, err := w.export(path, test.change); !errors.Is(err, test.want) {
			t.Errorf("%s: %v", name, err)
		} else if strings.Contains(err.Error(), "version  ") {
			t.Errorf("%s: %v: it names nothing", name, err)
		}
		if _, err := os.Lstat(path); err == nil {
			t.Errorf("%s: there is an export", name)
		}
	}
}
