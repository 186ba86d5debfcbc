package repository

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/proa-os/proa/deltas"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/manifests/chunkindex"
	"github.com/proa-os/proa/manifests/filemap"
	"github.com/proa-os/proa/partitions/verity"
	"github.com/proa-os/proa/progress"
	"github.com/proa-os/proa/signing"
	"github.com/proa-os/proa/updater/testhost"
)

// transportOf is how a published release travels.
func transportOf(t testing.TB, cfg Config, version manifests.Version) (manifests.Release, manifests.Transport) {
	t.Helper()
	r := &repository{Config: cfg, meta: must[*signing.Metadata](t)(readMetadata(cfg.Dir))}
	l := must[listed](t)(r.find(PromoteConfig{Version: version}))
	release := must[manifests.Release](t)(r.release(l))
	return release, must[manifests.Transport](t)(r.transport(l, release))
}

// threeReleases publishes 1.0.0 and 1.1.0, and gives their images and the folder
// of 1.2.0, each of which changes some bytes of the one before.
func threeReleases(t testing.TB) (cfg Config, images map[manifests.Version][]byte, next string) {
	cfg = makeRepository(t)
	image := fakeImage(1, 256<<10)
	images = map[manifests.Version][]byte{"1.0.0": bytes.Clone(image)}
	publish(t, cfg, makeRelease(t, "demo", "1.0.0", image), "stable")
	image[100<<10] ^= 1
	images["1.1.0"] = bytes.Clone(image)
	publish(t, cfg, makeRelease(t, "demo", "1.1.0", image), "stable")
	image[180<<10] ^= 1
	images["1.2.0"] = image
	return cfg, images, makeRelease(t, "demo", "1.2.0", image)
}

func publishWith(t testing.TB, cfg Config, dir string, n int) Published {
	t.Helper()
	return must[Published](t)(Publish(t.Context(), PublishConfig{Config: cfg, ReleaseDir: dir, Channel: "stable", Deltas: n}))
}

// applied is what a delta makes of an older image.
func applied(t testing.TB, cfg Config, release manifests.Release, d manifests.Delta, old []byte) []byte {
	t.Helper()
	file := artifact(t, cfg, d.FetchFile)
	header := file[:d.Header.Size]
	if manifests.DigestOf(header) != d.Header.Digest {
		t.Fatal("the header has another digest")
	}
	from := deltas.Image{RootHash: [32]byte(d.Base), Blocks: uint64(len(old) / manifests.BlockSize)}
	delta := must[*deltas.Delta](t)(deltas.ParseHeader(header, from, deltas.Image{RootHash: [32]byte(release.Root.Hash), Blocks: release.Root.Blocks}, d.Size))
	patcher := deltas.NewPatcher(bytes.NewReader(old), release.Root.Salt)
	made := make([]byte, int64(release.Root.Blocks)*manifests.BlockSize)
	for n := range delta.Segments {
		s := &delta.Segments[n]
		if s.Copy >= 0 {
			copy(made[s.Offset:][:s.Size], old[s.Copy:])
			continue
		}
		_, err := patcher.Patch(made[s.Offset:][:s.Size], s, file[s.Payload.Offset:][:s.Payload.Size])
		check(t, err)
	}
	return made
}

func TestDeltasMakeTheImageOutOfTheOlderOnes(t *testing.T) {
	cfg, images, next := threeReleases(t)
	published := publishWith(t, cfg, next, 2)
	release, transport := transportOf(t, cfg, "1.2.0")
	if len(transport.Deltas) != 2 || len(published.Deltas) != 2 || transport.Deltas[0].Version != "1.1.0" || transport.Deltas[1].Version != "1.0.0" {
		t.Fatalf("deltas %+v: want two, the newest base first", transport.Deltas)
	}
	for _, d := range transport.Deltas {
		if !bytes.Equal(applied(t, cfg, release, d, images[d.Version]), images["1.2.0"]) {
			t.Errorf("the delta from %s makes another image", d.Version)
		}
		if d.Size > 10_000 {
			t.Errorf("the delta from %s has %d bytes for one that changed", d.Version, d.Size)
		}
	}
	wantNoTemps(t, cfg.Dir)
	entry := must[Contents](t)(List(cfg.Dir)).Releases[0]
	if entry.IndexSize != transport.Index.Size || len(entry.Deltas) != 2 || entry.Deltas[1] != (DeltaEntry{"1.0.0", transport.Deltas[1].Size}) {
		t.Errorf("listed as %+v", entry)
	}
}

func TestDeltasComeToAReleaseThatIsPublishedAlready(t *testing.T) {
	cfg, _, next := threeReleases(t)
	if p := publishWith(t, cfg, next, 0); len(p.Deltas) != 0 {
		t.Fatalf("deltas %v that nobody asked for", p.Deltas)
	}
	one := publishWith(t, cfg, next, 1)
	if len(one.Deltas) != 1 || one.Deltas[0].From != "1.1.0" || !one.Changed {
		t.Fatalf("%+v: want one delta", one)
	}
	if again := publishWith(t, cfg, next, 1); again.Changed || len(again.Deltas) != 1 {
		t.Errorf("again: %+v: want nothing changed", again)
	}
	if fewer := publishWith(t, cfg, next, 0); fewer.Changed || len(fewer.Deltas) != 1 {
		t.Errorf("with no deltas: %+v: want nothing changed", fewer)
	}
	// A damaged one goes, and comes back when it is asked for.
	_, transport := transportOf(t, cfg, "1.2.0")
	path := filepath.Join(cfg.Dir, filepath.FromSlash(manifests.ArtifactPath(transport.Deltas[0].Digest)))
	check(t, os.WriteFile(path, []byte("damaged"), 0o644))
	if p := publishWith(t, cfg, next, 0); len(p.Deltas) != 0 || !p.Changed {
		t.Errorf("a damaged delta: %+v", p)
	}
	if p := publishWith(t, cfg, next, 2); len(p.Deltas) != 2 {
		t.Errorf("%+v: want two deltas", p)
	}
	hostSees(t, cfg, "demo", "stable")
}

func TestDeltaThatSavesNothingIsNotPublished(t *testing.T) {
	cfg := makeRepository(t)
	image := fakeImage(1, 256<<10)
	publish(t, cfg, makeRelease(t, "demo", "1.0.0", image), "stable")
	published := publishWith(t, cfg, makeRelease(t, "demo", "1.1.0", image), 1)
	_, transport := transportOf(t, cfg, "1.1.0")
	if len(published.Deltas) != 0 || len(transport.Deltas) != 0 {
		t.Errorf("deltas %v to an image that did not change, whose index has %d bytes", published.Deltas, transport.Index.Size)
	}
}

func TestDeltasAreOfTheSameProductAndOfOlderVersions(t *testing.T) {
	cfg := makeRepository(t)
	image := fakeImage(1, 256<<10)
	for _, r := range [][2]string{{"other", "1.0.0"}, {"demo", "3.0.0"}} {
		publish(t, cfg, makeRelease(t, r[0], r[1], image), "beta")
	}
	image[9] ^= 1
	if p := publishWith(t, cfg, makeRelease(t, "demo", "2.0.0", image), 5); len(p.Deltas) != 0 {
		t.Errorf("deltas %v", p.Deltas)
	}
}

func TestDamagedOlderReleaseHoldsNoPublishingUp(t *testing.T) {
	cfg, _, next := threeReleases(t)
	_, transport := transportOf(t, cfg, "1.1.0")
	path := filepath.Join(cfg.Dir, filepath.FromSlash(manifests.ArtifactPath(transport.Root.Digest)))
	content := must[[]byte](t)(os.ReadFile(path))
	content[len(content)/2] ^= 1
	check(t, os.WriteFile(path, content, 0o644))
	if p := publishWith(t, cfg, next, 2); len(p.Deltas) != 1 || p.Deltas[0].From != "1.0.0" {
		t.Errorf("deltas %v, want one from what is whole", p.Deltas)
	}
}

// cancelling ends a context when a step begins.
type cancelling struct {
	progress.Reporter
	at     string
	cancel context.CancelFunc
}

func (c cancelling) Step(name string, total int64) progress.Step {
	if strings.HasPrefix(name, c.at) {
		c.cancel()
	}
	return c.Reporter.Step(name, total)
}

func TestInterruptedDeltasLeaveTheOldSetAndNoFiles(t *testing.T) {
	cfg, _, next := threeReleases(t)
	for _, at := range []string{"decode", "encode", "make delta"} {
		ctx, cancel := context.WithCancel(t.Context())
		here := cfg
		here.Progress = cancelling{progress.Silent(), at, cancel}
		_, err := Publish(ctx, PublishConfig{Config: here, ReleaseDir: next, Channel: "stable", Deltas: 2})
		cancel()
		if !errors.Is(err, context.Canceled) {
			t.Errorf("at %s: %v", at, err)
		}
		if version, _ := hostSees(t, cfg, "demo", "stable"); version != "1.1.0" {
			t.Errorf("at %s: stable is %s", at, version)
		}
		wantNoTemps(t, cfg.Dir)
	}
}

// A host that has an older release fetches what is new, and what surrounds it in
// no file.
func TestImageIsCutWhereItDiffersFromOlderOnes(t *testing.T) {
	cfg, images, next := threeReleases(t)
	publishWith(t, cfg, next, 0)
	release, transport := transportOf(t, cfg, "1.2.0")
	r := &repository{Config: cfg}
	index := must[*chunkindex.Index](t)(r.index(release, transport))
	leaves := func(image []byte) leafHashes { return verity.LeafHashes(nil, salt[:], image) }
	for version, want := range map[manifests.Version]int64{"1.1.0": 4096, "1.0.0": 8192} {
		places := leaves(images["1.2.0"]).placesIn(leaves(images[version]))
		missing := int64(0)
		for _, c := range index.Chunks {
			if !together(places[c.Offset/4096:][:c.Size/4096]) {
				missing += c.Size
			}
		}
		if missing != want {
			t.Errorf("chunks of %d bytes are not in %s, want %d", missing, version, want)
		}
	}
}

func TestPartsOfTheKernelImageAreFoundInTheRootImage(t *testing.T) {
	cfg := makeRepository(t)
	image := fakeImage(1, 256<<10)
	kernel := image[40<<10:][:100_000]
	uki := testhost.NewUKI("quiet", kernel)
	dir := makeRelease(t, "demo", "1.0.0", image)
	files := filemap.Map{{Offset: 4096, Size: 100_000 - 70_000, Path: "boot/other"}, {Offset: 40 << 10, Size: 100_000, Path: "boot/vmlinuz"}}.Append(nil)
	release := readRelease(t, dir)
	for name, content := range map[string][]byte{manifests.UKIFile: uki, manifests.RootMapFile: files} {
		check(t, os.WriteFile(filepath.Join(dir, name), content, 0o644))
		release.Artifacts = slices.DeleteFunc(release.Artifacts, func(a manifests.Artifact) bool { return a.Name == name })
		release.Artifacts = append(release.Artifacts, manifests.Artifact{Name: name, Size: int64(len(content)), Digest: manifests.DigestOf(content)})
	}
	slices.SortFunc(release.Artifacts, func(a, b manifests.Artifact) int { return strings.Compare(a.Name, b.Name) })
	writeRelease(t, dir, release)
	publish(t, cfg, dir, "stable")
	_, transport := transportOf(t, cfg, "1.0.0")
	at, found := int64(0), 0
	for _, p := range transport.UKI.Parts {
		if manifests.DigestOf(uki[at:at+p.Size]) != p.Digest {
			t.Errorf("the part of %d bytes at %d has another digest", p.Size, at)
		}
		if p.Root >= 0 {
			found++
			if !bytes.Equal(image[p.Root:p.Root+p.Size], uki[at:at+p.Size]) {
				t.Errorf("the part of %d bytes at %d is not at %d of the root image", p.Size, at, p.Root)
			}
		}
		at += p.Size
	}
	if found != 1 || at != int64(len(uki)) {
		t.Errorf("%d parts of %d bytes found in the root image: %+v", found, at, transport.UKI.Parts)
	}
	artifact(t, cfg, manifests.FetchFile{Size: int64(len(files)), Digest: manifests.DigestOf(files)})
}
