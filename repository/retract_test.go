package repository

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/signing"
)

// noticeOf reads the notice of a release as a host does: over a new client.
func noticeOf(t testing.TB, cfg Config, version manifests.Version) manifests.Notice {
	t.Helper()
	r := &repository{Config: cfg, meta: must[*signing.Metadata](t)(readMetadata(cfg.Dir))}
	found := must[listed](t)(r.find(PromoteConfig{Version: version}))
	return must[manifests.Notice](t)(r.notice(found))
}

// twoReleases has 1.0.0 and 1.1.0 on channel stable.
func twoReleases(t testing.TB) Config {
	t.Helper()
	cfg := makeRepository(t)
	publish(t, cfg, makeRelease(t, "demo", "1.0.0", fakeImage(1, 8192)), "stable")
	publish(t, cfg, makeRelease(t, "demo", "1.1.0", fakeImage(2, 8192)), "stable")
	return cfg
}

func retract(t testing.TB, cfg Config, change func(*RetractConfig)) Retracted {
	t.Helper()
	with := RetractConfig{Config: cfg, Version: "1.1.0", Reason: "loses /var on NVMe"}
	if change != nil {
		change(&with)
	}
	return must[Retracted](t)(Retract(context.Background(), with))
}

func TestRetractedReleaseSaysWhyAndIsOfferedNoMore(t *testing.T) {
	cfg := twoReleases(t)
	done := retract(t, cfg, nil)
	if !done.Changed || !slices.Equal(done.Channels, []string{"stable"}) || len(done.Moved) != 0 {
		t.Errorf("retracted %+v", done)
	}
	if got := noticeOf(t, cfg, "1.1.0").Retracted; got == nil || got.Reason != "loses /var on NVMe" || !got.When.Equal(start) {
		t.Errorf("retraction %v", got)
	}
	ctx := context.Background()
	_, err := Promote(ctx, PromoteConfig{Config: cfg, Version: "1.1.0", To: "beta"})
	if !errors.Is(err, ErrRetracted) || !strings.Contains(err.Error(), "loses /var on NVMe") {
		t.Errorf("promoted: %v", err)
	}
	dir := makeRelease(t, "demo", "1.2.0", fakeImage(3, 8192))
	publish(t, cfg, dir, "lab")
	retract(t, cfg, func(c *RetractConfig) { c.Version = "1.2.0" })
	if _, err = Publish(ctx, PublishConfig{Config: cfg, ReleaseDir: dir, Channel: "beta"}); !errors.Is(err, ErrRetracted) {
		t.Errorf("published: %v", err)
	}
	entries := must[Contents](t)(List(cfg.Dir)).Releases
	if entries[1].Retracted == nil || entries[2].Retracted != nil {
		t.Errorf("listed as %+v", entries)
	}
	// It is no downgrade to leave what is retracted.
	must[Published](t)(Promote(ctx, PromoteConfig{Config: cfg, Version: "1.0.0", To: "stable"}))
	if version, _ := hostSees(t, cfg, "demo", "stable"); version != "1.0.0" {
		t.Errorf("stable is %s", version)
	}
}

func TestRetractingAgainChangesTheReasonAlone(t *testing.T) {
	cfg := twoReleases(t)
	retract(t, cfg, nil)
	before := snapshotOf(t, cfg.Dir)
	later := cfg
	later.Now = func() time.Time { return start.Add(time.Hour) }
	if done := retract(t, later, nil); done.Changed || !maps.Equal(before, snapshotOf(t, cfg.Dir)) {
		t.Errorf("the same again changed something: %+v", done)
	}
	done := retract(t, later, func(c *RetractConfig) { c.Reason = "and is slow" })
	if !done.Changed || !done.Retraction.When.Equal(start) || done.Retraction.Reason != "and is slow" {
		t.Errorf("retracted %+v", done)
	}
	done = retract(t, later, func(c *RetractConfig) { c.Lift, c.Reason = true, "" })
	if !done.Changed || done.Retraction != nil || noticeOf(t, cfg, "1.1.0").Retracted != nil {
		t.Errorf("lifted %+v", done)
	}
	must[Published](t)(Promote(context.Background(), PromoteConfig{Config: later, Version: "1.1.0", To: "beta"}))
}

func TestRetractMovesChannelsInTheSameStep(t *testing.T) {
	cfg := twoReleases(t)
	must[Published](t)(Promote(context.Background(), PromoteConfig{Config: cfg, Version: "1.1.0", To: "beta"}))
	before := must[Contents](t)(List(cfg.Dir)).Metadata
	done := retract(t, cfg, func(c *RetractConfig) { c.Instead = "1.0.0" })
	if !slices.Equal(done.Moved, []string{"beta", "stable"}) || len(done.Channels) != 0 {
		t.Errorf("retracted %+v", done)
	}
	after := must[Contents](t)(List(cfg.Dir))
	if !slices.Equal(after.Releases[1].Channels, done.Moved) || len(after.Releases[0].Channels) != 0 {
		t.Errorf("channels of %+v", after.Releases)
	}
	for n, m := range after.Metadata {
		if m.Role != signing.RoleRoot && m.Version != before[n].Version+1 {
			t.Errorf("%s went from version %d to %d: want one step", m.Role, before[n].Version, m.Version)
		}
	}
}

func TestADamagedNoticeOfAnotherReleaseHoldsNoRetractionUp(t *testing.T) {
	cfg := twoReleases(t)
	retract(t, cfg, func(c *RetractConfig) { c.Version = "1.0.0" })
	check(t, os.Remove(pathOf(t, cfg, manifests.NoticeTarget("demo", manifests.AMD64, "1.0.0"))))
	retract(t, cfg, nil)
	if noticeOf(t, cfg, "1.1.0").Retracted == nil {
		t.Error("it is not retracted")
	}
}

func TestRetractThatMustNotBeChangesNothing(t *testing.T) {
	cfg := twoReleases(t)
	damaged := twoReleases(t)
	_, transport := transportOf(t, damaged, "1.0.0")
	check(t, os.Remove(filepath.Join(damaged.Dir, manifests.ArtifactPath(transport.Root.Digest))))
	for name, test := range map[string]struct {
		cfg    Config
		change func(*RetractConfig)
		want   string
	}{
		"no reason":             {cfg, func(c *RetractConfig) { c.Reason = "" }, "want a line of 1 to 500"},
		"reason in two lines":   {cfg, func(c *RetractConfig) { c.Reason = "a\nb" }, "not printable"},
		"no such version":       {cfg, func(c *RetractConfig) { c.Version = "7" }, "version 7: no such release"},
		"no such product":       {cfg, func(c *RetractConfig) { c.Product = "other" }, "no such release"},
		"instead of itself":     {cfg, func(c *RetractConfig) { c.Instead = "1.1.0" }, "instead of itself"},
		"nothing instead":       {cfg, func(c *RetractConfig) { c.Instead = "7" }, "version 7: no such release"},
		"instead a damaged one": {damaged, func(c *RetractConfig) { c.Instead = "1.0.0" }, "missing or damaged"},
	} {
		with := RetractConfig{Config: test.cfg, Version: "1.1.0", Reason: "loses /var"}
		test.change(&with)
		before := snapshotOf(t, test.cfg.Dir)
		_, err := Retract(context.Background(), with)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want %q", name, err, test.want)
		}
		if !maps.Equal(before, snapshotOf(t, test.cfg.Dir)) {
			t.Errorf("%s: the repository changed", name)
		}
	}
	// What is damaged itself can be retracted.
	retract(t, damaged, func(c *RetractConfig) { c.Version = "1.0.0" })
}

func TestNotesStayUntilTheyAreReplaced(t *testing.T) {
	cfg := makeRepository(t)
	dir := makeRelease(t, "demo", "1.0.0", fakeImage(1, 8192))
	with := func(notes *string) Published {
		return must[Published](t)(Publish(context.Background(), PublishConfig{Config: cfg, ReleaseDir: dir, Channel: "stable", Notes: notes}))
	}
	first, none := "Fixes\n* the clock", ""
	for _, step := range []struct {
		notes   *string
		want    string
		changed bool
	}{{nil, "", true}, {&first, first, true}, {nil, first, false}, {&first, first, false}, {&none, "", true}, {&none, "", false}} {
		if p := with(step.notes); p.Changed != step.changed {
			t.Errorf("changed %t, want %t", p.Changed, step.changed)
		}
		if got := must[Contents](t)(List(cfg.Dir)).Releases[0].Notes; got != step.want {
			t.Errorf("notes %q, want %q", got, step.want)
		}
	}
	bad := "\x1b[2J"
	if _, err := Publish(context.Background(), PublishConfig{Config: cfg, ReleaseDir: dir, Channel: "stable", Notes: &bad}); err == nil {
		t.Error("notes that clear the screen are published")
	}
}

// withEpoch is a release folder with a security epoch.
func withEpoch(t testing.TB, version string, seed, epoch uint64) string {
	t.Helper()
	dir := makeRelease(t, "demo", version, fakeImage(seed, 8192))
	release := readRelease(t, dir)
	release.SecurityEpoch = epoch
	writeRelease(t, dir, release)
	return dir
}

func TestChannelDoesNotGoToALowerSecurityEpoch(t *testing.T) {
	cfg := makeRepository(t)
	publish(t, cfg, withEpoch(t, "1.0.0", 1, 3), "stable")
	next := withEpoch(t, "1.1.0", 2, 2)
	_, err := Publish(context.Background(), PublishConfig{Config: cfg, ReleaseDir: next, Channel: "stable"})
	if !errors.Is(err, ErrLowerEpoch) {
		t.Errorf("error %v, want %v", err, ErrLowerEpoch)
	}
	publish(t, cfg, next, "lab")
	if _, err = Promote(context.Background(), PromoteConfig{Config: cfg, Version: "1.1.0", To: "stable"}); !errors.Is(err, ErrLowerEpoch) {
		t.Errorf("error %v, want %v", err, ErrLowerEpoch)
	}
	// Hosts that run what is retracted could not leave it that way either.
	retract(t, cfg, func(c *RetractConfig) { c.Version = "1.0.0" })
	if _, err = Promote(context.Background(), PromoteConfig{Config: cfg, Version: "1.1.0", To: "stable"}); !errors.Is(err, ErrLowerEpoch) {
		t.Errorf("error %v, want %v", err, ErrLowerEpoch)
	}
	must[Published](t)(Promote(context.Background(), PromoteConfig{Config: cfg, Version: "1.1.0", To: "stable", AllowDowngrade: true}))
}

func TestSteppingStoneIsOneThatHostsCanTake(t *testing.T) {
	cfg := makeRepository(t)
	ctx := context.Background()
	publish(t, cfg, withEpoch(t, "1.0.0", 1, 0), "stable")
	publish(t, cfg, withEpoch(t, "1.1.0", 2, 9), "lab")
	publish(t, cfg, withEpoch(t, "1.2.0", 3, 0), "beta")
	retract(t, cfg, func(c *RetractConfig) { c.Version = "1.2.0" })
	dir := withEpoch(t, "2.0.0", 4, 0)
	requires := func(v manifests.Version) (Published, error) {
		return Publish(ctx, PublishConfig{Config: cfg, ReleaseDir: dir, Channel: "stable", Requires: &v})
	}
	for version, want := range map[manifests.Version]string{
		"3.0.0": "no such release",
		"1.1.0": "1.1.0 has security epoch 9, and 2.0.0, which requires it, has 0",
		"1.2.0": "loses /var on NVMe",
		"2.0.0": "no such release", // it is not published yet
	} {
		if _, err := requires(version); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("requires %s: error %v, want %q", version, err, want)
		}
	}
	must[Published](t)(requires("1.0.0"))
	if got := noticeOf(t, cfg, "2.0.0").Requires; got == nil || got.Version != "1.0.0" {
		t.Errorf("requires %+v", got)
	}
	if _, err := requires("2.0.0"); err == nil || !strings.Contains(err.Error(), "want an older version") {
		t.Errorf("requires itself: %v", err)
	}
	if got := retract(t, cfg, func(c *RetractConfig) { c.Version = "1.0.0" }).RequiredBy; !slices.Equal(got, []manifests.Version{"2.0.0"}) {
		t.Errorf("1.0.0 is required by %v", got)
	}
	must[Published](t)(requires(""))
	if got := noticeOf(t, cfg, "2.0.0").Requires; got != nil {
		t.Errorf("requires %+v still", got)
	}
}

func TestNoMoreSteppingStonesThanHostsFollow(t *testing.T) {
	cfg := makeRepository(t)
	previous := manifests.Version("")
	for n := range stonesMost + 2 {
		version := "1." + string(rune('a'+n))
		dir := makeRelease(t, "demo", version, fakeImage(1, 8192))
		_, err := Publish(context.Background(), PublishConfig{Config: cfg, ReleaseDir: dir, Channel: "stable", Requires: &previous})
		if last := n == stonesMost+1; last != (err != nil) || last && !strings.Contains(err.Error(), "more than 16 others") {
			t.Fatalf("release %d: %v", n+1, err)
		}
		previous = manifests.Version(version)
	}
}
