package repository

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/signing"
	"github.com/proa-os/proa/signing/forge"
)

// fill signs so many targets beside releases that there are, that with one release more they
// go into bins.
func fill(t testing.TB, cfg Config, releases int) {
	t.Helper()
	targets := map[string][]byte{}
	for n := range 96 - 2*releases {
		targets[fmt.Sprintf("releases/demo/amd64/1.0.0/more-%d.json", n)] = []byte(fmt.Sprint(n))
	}
	sign(t, cfg, targets)
}

// countBins is how many bins the metadata of a repository has.
func countBins(t testing.TB, cfg Config) int {
	t.Helper()
	return len(must[*signing.Metadata](t)(readMetadata(cfg.Dir)).Files()) - 3
}

// binnedRepository has 1.0.0 and 1.1.0 on channel stable, in bins. Its keys are in the
// folder keys.
func binnedRepository(t testing.TB) (cfg Config, keys string) {
	t.Helper()
	keys = t.TempDir()
	cfg = Config{Dir: filepath.Join(t.TempDir(), "repo"), Keys: makeKeys(t, keys), Now: func() time.Time { return start }}
	check(t, Init(context.Background(), InitConfig{Config: cfg, RootThreshold: 1}))
	publish(t, cfg, makeRelease(t, "demo", "1.0.0", fakeImage(1, 40960)), "stable")
	fill(t, cfg, 1)
	if n := countBins(t, cfg); n != 0 {
		t.Fatalf("%d bins before there is need", n)
	}
	publish(t, cfg, makeRelease(t, "demo", "1.1.0", fakeImage(2, 40960)), "stable")
	if n := countBins(t, cfg); n != 64 {
		t.Fatalf("%d bins: want 64", n)
	}
	return cfg, keys
}

func wantRight(t testing.TB, cfg Config) {
	t.Helper()
	if found := checked(t, cfg, nil); len(found.Wrong)+len(found.Noted) > 0 {
		t.Errorf("wrong %v, noted %v", found.Wrong, found.Noted)
	}
}

func TestPublisherAndHostsGoOnInBins(t *testing.T) {
	cfg, _ := binnedRepository(t)
	wantRight(t, cfg)
	next := makeRelease(t, "demo", "1.2.0", fakeImage(3, 40960))
	notes := "Fixes"
	must[Published](t)(Publish(t.Context(), PublishConfig{Config: cfg, ReleaseDir: next, Channel: "beta", Deltas: 1, Notes: &notes}))
	must[Published](t)(Promote(t.Context(), PromoteConfig{Config: cfg, Version: "1.2.0", To: "stable"}))
	if version, _ := hostSees(t, cfg, "demo", "stable"); version != "1.2.0" {
		t.Errorf("stable is %s", version)
	}
	retract(t, cfg, func(c *RetractConfig) { c.Version, c.Instead = "1.2.0", "1.1.0" })
	if version, _ := hostSees(t, cfg, "demo", "stable"); version != "1.1.0" || noticeOf(t, cfg, "1.2.0").Retracted == nil {
		t.Errorf("stable is %s", version)
	}
	contents := must[Contents](t)(List(cfg.Dir))
	if len(contents.Releases) != 3 || contents.Releases[0].Version != "1.2.0" || contents.Releases[0].Notes != "Fixes" {
		t.Errorf("listed %+v", contents.Releases)
	}
	wantRight(t, cfg)
}

func TestRefreshKeepsBinsYoung(t *testing.T) {
	cfg, _ := binnedRepository(t)
	// The bins that this publication changes live on when the others are due.
	cfg.Now = func() time.Time { return start.Add(29 * 24 * time.Hour) }
	publish(t, cfg, makeRelease(t, "demo", "1.2.0", fakeImage(3, 40960)), "stable")
	cfg.Now = func() time.Time { return start.Add(70 * 24 * time.Hour) }
	done := must[Refreshed](t)(Refresh(t.Context(), cfg))
	if !slices.Contains(done.Renewed, signing.RoleTargets) || done.Metadata[3].Expires.Before(start.Add(110*24*time.Hour)) {
		t.Errorf("refreshed %+v", done)
	}
	cfg.Now = func() time.Time { return start.Add(80 * 24 * time.Hour) }
	if done := must[Refreshed](t)(Refresh(t.Context(), cfg)); slices.Contains(done.Renewed, signing.RoleTargets) {
		t.Errorf("then refreshed %+v", done)
	}
	if version, _ := hostSees(t, cfg, "demo", "stable"); version != "1.2.0" {
		t.Errorf("stable is %s", version)
	}
	wantRight(t, cfg)
}

func TestExportProvesWhatIsNotThere(t *testing.T) {
	cfg, _ := binnedRepository(t)
	path := filepath.Join(t.TempDir(), "export")
	must[Exported](t)(Export(t.Context(), ExportConfig{Dir: cfg.Dir, Path: path, Channel: "stable", Now: cfg.Now}))
	there := cfg
	there.Dir = path
	if version, _ := hostSees(t, there, "demo", "stable"); version != "1.1.0" {
		t.Errorf("stable is %s", version)
	}
	// A host may run what this repository never had.
	r := &repository{Config: there, meta: must[*signing.Metadata](t)(readMetadata(path))}
	for _, v := range []manifests.Version{"0.9.0", "1.0.0", "1.1.0", "7"} {
		must[manifests.Notice](t)(r.notice(listed{"demo", manifests.AMD64, v, manifests.Digest{}}))
	}
}

func TestExportRefusesBinsThatHaveExpired(t *testing.T) {
	cfg, _ := binnedRepository(t)
	cfg.Now = func() time.Time { return start.Add(89 * 24 * time.Hour) }
	publish(t, cfg, makeRelease(t, "demo", "1.2.0", fakeImage(3, 40960)), "stable") // the bins that it changes live on
	cfg.Now = func() time.Time { return start.Add(91 * 24 * time.Hour) }
	path := filepath.Join(t.TempDir(), "export")
	if _, err := Export(t.Context(), ExportConfig{Dir: cfg.Dir, Path: path, Channel: "stable", Now: cfg.Now}); !errors.Is(err, signing.ErrExpired) {
		t.Errorf("exported, %v", err)
	}
}

func TestCheckNamesWhatIsWrongWithBins(t *testing.T) {
	whole, keys := binnedRepository(t)
	name := manifests.ReleaseTarget("demo", manifests.AMD64, "1.1.0")
	bin := forge.Bin(name)
	for what, test := range map[string]struct {
		spoil       func(cfg Config, r *forge.Repository)
		path, wrong string
	}{
		"missing": {func(cfg Config, r *forge.Repository) {
			check(t, os.Remove(filepath.Join(cfg.Dir, forge.Path(bin, r.Version(bin)))))
		}, "metadata", "no such file"},
		"older": {func(cfg Config, r *forge.Repository) {
			older := r.Read(forge.Path(bin, r.Version(bin)))
			r.PutBin(bin, func(forge.Object) {})
			r.Write(forge.Path(bin, r.Version(bin)), older)
		}, "metadata", "content is not what"},
		"entry of another bin": {func(cfg Config, r *forge.Repository) {
			r.PutBin(bin, func(signed forge.Object) { signed["targets"].(forge.Object)["x"] = forge.Listed(nil) })
		}, "metadata", bin + ` metadata: metadata is malformed: it lists "x", which belongs into`},
		"two places": {func(cfg Config, r *forge.Repository) {
			listed := r.Current(bin)["targets"].(forge.Object)[name]
			r.PutTargets(func(signed forge.Object) { signed["targets"].(forge.Object)[name] = listed })
		}, name, "targets.json lists it and a bin does, too"},
		"expired": {func(cfg Config, r *forge.Repository) {
			r.PutBin(bin, func(signed forge.Object) { signed["expires"] = start.Format(time.RFC3339) })
		}, "metadata", bin + " metadata: metadata has expired"},
		"not in the snapshot": {func(cfg Config, r *forge.Repository) {
			r.PutSnapshot(func(signed forge.Object) { delete(signed["meta"].(forge.Object), bin+".json") })
		}, "metadata", "no version of " + bin + ".json"},
	} {
		t.Run(what, func(t *testing.T) {
			cfg := whole
			cfg.Dir = filepath.Join(t.TempDir(), "repo")
			check(t, os.CopyFS(cfg.Dir, os.DirFS(whole.Dir)))
			test.spoil(cfg, forge.Open(t, cfg.Dir, keys))
			cfg.Now = func() time.Time { return start.Add(time.Second) }
			found := checked(t, cfg, nil)
			for _, f := range found.Wrong {
				t.Log(f)
			}
			if !slices.ContainsFunc(found.Wrong, func(f Finding) bool { return f.Path == test.path && strings.Contains(f.What, test.wrong) }) {
				t.Errorf("want %q of %s", test.wrong, test.path)
			}
		})
	}
}

func TestKilledMoveIntoBinsLeavesTheOldSetOrTheNewAndRunsAgain(t *testing.T) {
	keys := t.TempDir()
	cfg := Config{Dir: filepath.Join(t.TempDir(), "repo"), Keys: makeKeys(t, keys)} // the helper has the real clock
	check(t, Init(context.Background(), InitConfig{Config: cfg, RootThreshold: 1}))
	publish(t, cfg, makeRelease(t, "demo", "1.0.0", fakeImage(1, 8192)), "stable")
	fill(t, cfg, 1)
	next := makeRelease(t, "demo", "1.1.0", fakeImage(2, 8192))

	seen := map[string]int{}
	completes := func(n int) bool { // in spite of a kill at the n-th call
		dir := filepath.Join(t.TempDir(), "repo")
		check(t, os.CopyFS(dir, os.DirFS(cfg.Dir)))
		if _, killed := killAt(t, "fsync", n, []string{"publish", dir, keys, next}); !killed {
			return true
		}
		here := cfg.withDefaults()
		here.Dir = dir
		version, _ := hostSees(t, here, "demo", "stable")
		seen[fmt.Sprint(version, " in ", countBins(t, here))]++
		publish(t, here, next, "stable")
		if version, _ := hostSees(t, here, "demo", "stable"); version != "1.1.0" {
			t.Errorf("killed at %d: after the second run stable is %s", n, version)
		}
		wantRight(t, here)
		return false
	}
	// Looking for the end goes through the middle, where the bins are, one like the other.
	calls := sort.Search(1024, func(n int) bool { return completes(n + 1) })
	for n := calls - 5; n < calls; n++ {
		completes(n)
	}
	t.Logf("%d calls", calls)
	t.Logf("hosts saw %v", seen)
	if want := []string{"1.0.0 in 0", "1.1.0 in 64"}; !slices.Equal(slices.Sorted(maps.Keys(seen)), want) {
		t.Errorf("hosts saw %v: want %q", seen, want)
	}
}
