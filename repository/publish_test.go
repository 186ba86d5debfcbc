package repository

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/signing"
)

func TestHostsSeeWhatWasPublishedAndPromoted(t *testing.T) {
	cfg := makeRepository(t)
	ctx := context.Background()
	one, two := sparseImage(1, 2<<20+4096), sparseImage(2, 1<<20)
	publish(t, cfg, makeRelease(t, "demo", "1.0.0", one), "stable")
	publish(t, cfg, makeRelease(t, "demo", "1.1.0", two), "beta")

	version, image := hostSees(t, cfg, "demo", "stable")
	if version != "1.0.0" || !bytes.Equal(image, one) {
		t.Fatalf("stable is %s", version)
	}
	if version, image = hostSees(t, cfg, "demo", "beta"); version != "1.1.0" || !bytes.Equal(image, two) {
		t.Fatalf("beta is %s", version)
	}
	promoted := must[Published](t)(Promote(ctx, PromoteConfig{Config: cfg, Version: "1.1.0", To: "stable"}))
	if version, _ = hostSees(t, cfg, "demo", "stable"); version != "1.1.0" || !promoted.Changed {
		t.Fatalf("stable is %s after promoting", version)
	}
	contents := must[Contents](t)(List(cfg.Dir))
	if len(contents.Releases) != 2 || contents.Releases[0].Version != "1.1.0" || len(contents.Releases[0].Channels) != 2 || len(contents.Releases[1].Channels) != 0 {
		t.Fatalf("contents %+v", contents)
	}
	wantNoTemps(t, cfg.Dir)
}

func TestPublishingTheSameReleaseTwiceChangesNothing(t *testing.T) {
	cfg := makeRepository(t)
	dir := makeRelease(t, "demo", "1.0.0", fakeImage(1, 256<<10))
	first := publish(t, cfg, dir, "stable")
	before := snapshotOf(t, cfg.Dir)
	again := publish(t, cfg, dir, "stable")
	if !first.Changed || again.Changed {
		t.Errorf("changed: first %v, again %v", first.Changed, again.Changed)
	}
	if !maps.Equal(before, snapshotOf(t, cfg.Dir)) {
		t.Error("the repository changed")
	}
}

func TestPublishingAgainRestoresADamagedTarget(t *testing.T) {
	cfg := makeRepository(t)
	dir := makeRelease(t, "demo", "1.0.0", fakeImage(1, 8192))
	publish(t, cfg, dir, "stable")
	for _, name := range []string{manifests.ReleaseTarget("demo", manifests.AMD64, "1.0.0"), manifests.TransportTarget("demo", manifests.AMD64, "1.0.0")} {
		for _, damage := range []func(){func() { flipIn(t, pathOf(t, cfg, name)) }, func() { check(t, os.Remove(pathOf(t, cfg, name))) }} {
			damage()
			publish(t, cfg, dir, "stable")
			if found := checked(t, cfg, nil); len(found.Wrong) > 0 {
				t.Errorf("%s: wrong %v", name, found.Wrong)
			}
		}
	}
}

func TestPublishingAgainRestoresADamagedArtifact(t *testing.T) {
	cfg := makeRepository(t)
	dir := makeRelease(t, "demo", "1.0.0", fakeImage(1, 256<<10))
	root := publish(t, cfg, dir, "stable").Root
	path := filepath.Join(cfg.Dir, manifests.ArtifactPath(root.Digest))
	content := must[[]byte](t)(os.ReadFile(path))
	content[len(content)/2] ^= 1
	check(t, os.WriteFile(path, content, 0o644))
	_, err := Promote(context.Background(), PromoteConfig{Config: cfg, Version: "1.0.0", To: "beta"})
	if !errors.Is(err, ErrBroken) {
		t.Errorf("promoting a damaged release: %v", err)
	}
	publish(t, cfg, dir, "stable")
	hostSees(t, cfg, "demo", "stable")
}

func TestDocumentsOfAReleaseAreKeptByDigest(t *testing.T) {
	cfg := makeRepository(t)
	dir := makeRelease(t, "demo", "1.0.0", fakeImage(1, 256<<10))
	release := readRelease(t, dir)
	content := []byte(`{"spdxVersion": "SPDX-2.3"}`)
	check(t, os.WriteFile(filepath.Join(dir, manifests.SBOMFile), content, 0o644))
	document := manifests.FetchFile{Size: int64(len(content)), Digest: manifests.DigestOf(content)}
	release.Artifacts = slices.Insert(release.Artifacts, 5, manifests.Artifact{Name: manifests.SBOMFile, Size: document.Size, Digest: document.Digest})
	writeRelease(t, dir, release)
	publish(t, cfg, dir, "stable")
	artifact(t, cfg, document)
	for _, name := range manifests.ForInstallers() {
		a, _ := release.Artifact(name)
		artifact(t, cfg, manifests.FetchFile{Size: a.Size, Digest: a.Digest})
	}

	path := filepath.Join(cfg.Dir, manifests.ArtifactPath(document.Digest))
	check(t, os.WriteFile(path, []byte("damaged"), 0o644))
	publish(t, cfg, dir, "stable")
	artifact(t, cfg, document)
	for _, name := range manifests.ForInstallers() {
		a, _ := release.Artifact(name)
		artifact(t, cfg, manifests.FetchFile{Size: a.Size, Digest: a.Digest})
	}
}

func TestPublishRefuses(t *testing.T) {
	ctx := context.Background()
	image := fakeImage(1, 256<<10)
	damage := func(name string, change func([]byte) []byte) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			path := filepath.Join(dir, name)
			check(t, os.WriteFile(path, change(must[[]byte](t)(os.ReadFile(path))), 0o644))
		}
	}
	flip := func(b []byte) []byte { b[len(b)/3] ^= 1; return b }
	for _, test := range []struct {
		name   string
		want   error
		damage func(t *testing.T, dir string)
	}{
		{"a bit flipped in the root image", ErrBroken, damage(manifests.RootFile, flip)},
		{"a bit flipped in the uki", ErrBroken, damage(manifests.UKIFile, flip)},
		{"a bit flipped in the disk", ErrBroken, damage(manifests.DiskFile, flip)},
		{"a short root image", ErrBroken, damage(manifests.RootFile, func(b []byte) []byte { return b[:len(b)-4096] })},
		{"a long uki", ErrBroken, damage(manifests.UKIFile, func(b []byte) []byte { return append(b, 0) })},
		{"a missing disk", ErrBroken, func(t *testing.T, dir string) { check(t, os.Remove(filepath.Join(dir, manifests.DiskFile))) }},
		{"trailing bytes in release.json", ErrBroken, damage(manifests.ReleaseFile, func(b []byte) []byte { return append(b, "{}"...) })},
		{"a root hash of another image", ErrBroken, func(t *testing.T, dir string) {
			release := readRelease(t, dir)
			release.Root.Hash[0] ^= 1
			writeRelease(t, dir, release)
		}},
		{"another salt", ErrBroken, func(t *testing.T, dir string) {
			release := readRelease(t, dir)
			release.Root.Salt[0] ^= 1
			writeRelease(t, dir, release)
		}},
		{"an older version", ErrDowngrade, func(t *testing.T, dir string) { setVersion(t, dir, "1.0.9") }},
		{"other content under the same version", ErrVersionTaken, func(t *testing.T, dir string) { setVersion(t, dir, "1.1.0") }},
		{"a version that ranks the same", ErrVersionTaken, func(t *testing.T, dir string) { setVersion(t, dir, "1.01.0") }},
		{"no release.json", os.ErrNotExist, func(t *testing.T, dir string) { check(t, os.Remove(filepath.Join(dir, manifests.ReleaseFile))) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := makeRepository(t)
			publish(t, cfg, makeRelease(t, "demo", "1.1.0", fakeImage(7, 8192)), "stable")
			before := snapshotOf(t, cfg.Dir)
			dir := makeRelease(t, "demo", "1.2.0", image)
			test.damage(t, dir)
			_, err := Publish(ctx, PublishConfig{Config: cfg, ReleaseDir: dir, Channel: "stable"})
			if !errors.Is(err, test.want) {
				t.Fatalf("error %v, want %v", err, test.want)
			}
			t.Log(err)
			after := snapshotOf(t, cfg.Dir)
			for path := range after {
				// A complete artifact that nothing refers to may stay.
				if filepath.Dir(filepath.Dir(path)) == artifactsFolder {
					delete(after, path)
					delete(before, path)
				}
			}
			for path := range before {
				if filepath.Dir(filepath.Dir(path)) == artifactsFolder {
					delete(before, path)
				}
			}
			if !maps.Equal(before, after) {
				t.Error("the repository changed")
			}
			wantNoTemps(t, cfg.Dir)
		})
	}
}

func setVersion(t *testing.T, dir, version string) {
	t.Helper()
	release := readRelease(t, dir)
	release.Version = manifests.Version(version)
	writeRelease(t, dir, release)
}

func TestDowngradeNeedsToBeAllowed(t *testing.T) {
	cfg := makeRepository(t)
	publish(t, cfg, makeRelease(t, "demo", "1.1.0", fakeImage(1, 8192)), "stable")
	old := makeRelease(t, "demo", "1.0.0", fakeImage(2, 8192))
	must[Published](t)(Publish(context.Background(), PublishConfig{Config: cfg, ReleaseDir: old, Channel: "stable", AllowDowngrade: true}))
	if version, _ := hostSees(t, cfg, "demo", "stable"); version != "1.0.0" {
		t.Errorf("stable is %s", version)
	}
}

func TestProductsDoNotMeet(t *testing.T) {
	cfg := makeRepository(t)
	publish(t, cfg, makeRelease(t, "demo", "2.0.0", fakeImage(1, 8192)), "stable")
	publish(t, cfg, makeRelease(t, "other", "1.0.0", fakeImage(2, 8192)), "stable")
	publish(t, cfg, makeRelease(t, "other", "2.0.0", fakeImage(3, 8192)), "beta")
	if version, _ := hostSees(t, cfg, "demo", "stable"); version != "2.0.0" {
		t.Errorf("demo is at %s", version)
	}
	if version, _ := hostSees(t, cfg, "other", "stable"); version != "1.0.0" {
		t.Errorf("other is at %s", version)
	}
}

func TestSecondPublisherIsTurnedAway(t *testing.T) {
	cfg := makeRepository(t)
	unlock := must[func()](t)(lock(cfg.Dir))
	dir := makeRelease(t, "demo", "1.0.0", fakeImage(1, 8192))
	_, err := Publish(context.Background(), PublishConfig{Config: cfg, ReleaseDir: dir, Channel: "stable"})
	if !errors.Is(err, ErrLocked) {
		t.Fatalf("error %v, want %v", err, ErrLocked)
	}
	unlock()
	publish(t, cfg, dir, "stable")
}

func TestCancelledPublishLeavesNothingHalf(t *testing.T) {
	cfg := makeRepository(t)
	before := snapshotOf(t, cfg.Dir)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	dir := makeRelease(t, "demo", "1.0.0", fakeImage(1, 8192))
	_, err := Publish(ctx, PublishConfig{Config: cfg, ReleaseDir: dir, Channel: "stable"})
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if !maps.Equal(before, snapshotOf(t, cfg.Dir)) {
		t.Error("the repository changed")
	}
}

func TestInitRefusesWhatIsNotItsFolder(t *testing.T) {
	ctx := context.Background()
	cfg := makeRepository(t)
	if err := Init(ctx, InitConfig{Config: cfg, RootThreshold: 1}); !errors.Is(err, ErrExists) {
		t.Errorf("init twice: %v", err)
	}
	cfg.Dir = t.TempDir()
	check(t, os.WriteFile(filepath.Join(cfg.Dir, "precious"), nil, 0o644))
	if err := Init(ctx, InitConfig{Config: cfg, RootThreshold: 1}); err == nil {
		t.Error("init in a folder that holds other things")
	}
	cfg.Dir = filepath.Join(t.TempDir(), "new")
	for _, threshold := range []int{-1, 0, 2} {
		if err := Init(ctx, InitConfig{Config: cfg, RootThreshold: threshold}); !errors.Is(err, signing.ErrKeyMissing) {
			t.Errorf("threshold %d of one key: %v", threshold, err)
		}
	}
	cfg.Lifetimes = signing.Lifetimes{signing.RoleTimestamp: -time.Hour}
	if err := Init(ctx, InitConfig{Config: cfg, RootThreshold: 1}); err == nil {
		t.Error("an expiry in the past was signed")
	}
	if _, err := os.Stat(filepath.Join(cfg.Dir, metadataFolder, timestampFile)); err == nil {
		t.Error("a refused init made a repository")
	}
}

func TestPublishIsHeldBackWhenAHostWouldRefuseIt(t *testing.T) {
	cfg := makeRepository(t)
	cfg.Now = func() time.Time { return start.Add(300 * 24 * time.Hour) }
	must[Refreshed](t)(Refresh(context.Background(), cfg)) // makes root 2
	first := filepath.Join(cfg.Dir, metadataFolder, "1.root.json")
	content := must[[]byte](t)(os.ReadFile(first))
	check(t, os.WriteFile(first, append(content, ' ', '{'), 0o644))
	timestamp := filepath.Join(cfg.Dir, metadataFolder, timestampFile)
	before := must[[]byte](t)(os.ReadFile(timestamp))

	dir := makeRelease(t, "demo", "1.0.0", fakeImage(1, 8192))
	if _, err := Publish(context.Background(), PublishConfig{Config: cfg, ReleaseDir: dir, Channel: "stable"}); err == nil {
		t.Error("published what a new host cannot read")
	} else {
		t.Log(err)
	}
	if !bytes.Equal(before, must[[]byte](t)(os.ReadFile(timestamp))) {
		t.Error("hosts see it")
	}
	check(t, os.WriteFile(first, content, 0o644))
	publish(t, cfg, dir, "stable")
	hostSees(t, cfg, "demo", "stable")
}
