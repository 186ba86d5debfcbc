package repository

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/proa-os/proa/signing"
)

func TestRefreshRenewsWhatIsAboutToExpire(t *testing.T) {
	ctx := context.Background()
	cfg := makeRepository(t)
	publish(t, cfg, makeRelease(t, "demo", "1.0.0", fakeImage(1, 8192)), "stable")
	now := start
	cfg.Now = func() time.Time { return now }
	for _, step := range []struct {
		after time.Duration
		want  []signing.Role
	}{
		{24 * time.Hour, []signing.Role{signing.RoleTimestamp}},
		{25 * 24 * time.Hour, []signing.Role{signing.RoleSnapshot, signing.RoleTimestamp}},
		{70 * 24 * time.Hour, []signing.Role{signing.RoleTargets, signing.RoleSnapshot, signing.RoleTimestamp}},
		{500 * 24 * time.Hour, []signing.Role{signing.RoleRoot, signing.RoleTargets, signing.RoleSnapshot, signing.RoleTimestamp}},
	} {
		now = start.Add(step.after)
		refreshed := must[Refreshed](t)(Refresh(ctx, cfg))
		got, want := map[signing.Role]bool{}, map[signing.Role]bool{}
		for _, role := range refreshed.Renewed {
			got[role] = true
		}
		for _, role := range step.want {
			want[role] = true
		}
		if !maps.Equal(got, want) || len(refreshed.Due) != 0 {
			t.Errorf("after %v: renewed %v, due %v, want %v", step.after, refreshed.Renewed, refreshed.Due, step.want)
		}
		hostSees(t, cfg, "demo", "stable")
	}
}

func TestRefreshWithTheTimestampKeyAloneSaysWhatIsDue(t *testing.T) {
	ctx := context.Background()
	cfg := makeRepository(t)
	folder := t.TempDir()
	makeKeys(t, folder)
	cfg.Keys = must[signing.Keys](t)(signing.LoadKeys(folder))
	cfg.Dir = filepath.Join(t.TempDir(), "repo")
	check(t, Init(ctx, InitConfig{Config: cfg, RootThreshold: 1}))
	for _, role := range []string{"root", "targets", "snapshot"} {
		check(t, os.Remove(filepath.Join(folder, role+".pem")))
	}
	cfg.Keys = must[signing.Keys](t)(signing.LoadKeys(folder))
	cfg.Now = func() time.Time { return start.Add(25 * 24 * time.Hour) }
	refreshed := must[Refreshed](t)(Refresh(ctx, cfg))
	if len(refreshed.Due) != 1 || refreshed.Due[0] != signing.RoleSnapshot {
		t.Errorf("due %v, want snapshot", refreshed.Due)
	}
	cfg.Now = func() time.Time { return start.Add(31 * 24 * time.Hour) }
	before := snapshotOf(t, cfg.Dir)
	if _, err := Refresh(ctx, cfg); !errors.Is(err, signing.ErrExpired) {
		t.Errorf("a timestamp over an expired snapshot: %v", err)
	}
	if !maps.Equal(before, snapshotOf(t, cfg.Dir)) {
		t.Error("the repository changed")
	}
}
