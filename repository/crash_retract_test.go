package repository

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/proa-os/proa/manifests"
)

func TestKilledRetractLeavesTheOldSetOrTheNewAndRunsAgain(t *testing.T) {
	cfg := makeRepository(t)
	cfg.Now = nil
	keys := t.TempDir()
	cfg.Keys = makeKeys(t, keys)
	cfg.Dir = filepath.Join(t.TempDir(), "repo")
	check(t, Init(context.Background(), InitConfig{Config: cfg, RootThreshold: 1}))
	publish(t, cfg, makeRelease(t, "demo", "1.0.0", fakeImage(1, 8192)), "stable")
	publish(t, cfg, makeRelease(t, "demo", "1.1.0", fakeImage(2, 8192)), "stable")

	seen := map[string]int{}
	prepare := func() []string {
		dir := filepath.Join(t.TempDir(), "repo")
		check(t, os.CopyFS(dir, os.DirFS(cfg.Dir)))
		return []string{"retract", dir, keys}
	}
	killEverywhere(t, []string{"fsync", "renameat"}, prepare, func(t *testing.T, dir string) {
		here := cfg.withDefaults()
		here.Dir = dir
		// Hosts see the retraction and the channel's way back, or neither.
		version, _ := hostSees(t, here, "demo", "stable")
		retracted := noticeOf(t, here, "1.1.0").Retracted != nil
		if retracted != (version == "1.0.0") {
			t.Errorf("stable is %s, and 1.1.0 retracted: %t", version, retracted)
		}
		seen[string(version)]++
		check(t, retractAsHelper(here))
		if found := checked(t, here, nil); len(found.Wrong)+len(found.Noted) > 0 {
			t.Errorf("after the second run: wrong %v, noted %v", found.Wrong, found.Noted)
		}
	})
	t.Logf("hosts saw %v", seen)
	if seen["1.0.0"] == 0 || seen["1.1.0"] == 0 {
		t.Error("the kills do not reach from before the commit point to after it")
	}
}

// furtherHelpers are what runHelper does beside publishing, by the first argument.
var furtherHelpers = map[string]func(cfg Config, args []string) error{
	"retract": func(cfg Config, _ []string) error { return retractAsHelper(cfg) },
	"lab": func(cfg Config, args []string) error {
		_, err := Publish(context.Background(), PublishConfig{Config: cfg, ReleaseDir: args[3], Channel: args[4]})
		return err
	},
}

// retractAsHelper is what the helper "retract" does.
func retractAsHelper(cfg Config) error {
	_, err := Retract(context.Background(), RetractConfig{Config: cfg, Version: "1.1.0", Reason: "loses /var", Instead: "1.0.0"})
	return err
}

func TestPublishersAtOnceAreServedOrTurnedAway(t *testing.T) {
	cfg := makeRepository(t)
	cfg.Now = nil
	keys := t.TempDir()
	cfg.Keys = makeKeys(t, keys)
	cfg.Dir = filepath.Join(t.TempDir(), "repo")
	check(t, Init(context.Background(), InitConfig{Config: cfg, RootThreshold: 1}))
	const publishers = 4
	var releases [publishers]string
	for n := range releases {
		releases[n] = makeRelease(t, "demo", fmt.Sprintf("1.%d.0", n), fakeImage(uint64(n), 8192))
	}
	var group sync.WaitGroup
	var published [publishers]bool
	for n, release := range releases {
		group.Go(func() {
			for !published[n] {
				cmd := exec.Command(os.Args[0])
				cmd.Env = append(os.Environ(), helperVariable+"="+strings.Join([]string{"lab", cfg.Dir, keys, release, fmt.Sprintf("lab%d", n)}, "\n"))
				out, err := cmd.CombinedOutput()
				if published[n] = err == nil; err != nil && !strings.Contains(string(out), ErrLocked.Error()) {
					t.Errorf("publisher %d: %v\n%s", n, err, out)
					return
				}
			}
		})
	}
	group.Wait()
	found := checked(t, cfg, nil)
	if len(found.Wrong)+len(found.Noted) > 0 || found.Releases != publishers || found.Channels != publishers {
		t.Errorf("found %+v", found)
	}
	for n := range releases {
		if version, _ := hostSees(t, cfg, "demo", fmt.Sprintf("lab%d", n)); version != manifests.Version(fmt.Sprintf("1.%d.0", n)) {
			t.Errorf("publisher %d is done, and its channel is at %s", n, version)
		}
	}
	if _, err := os.Stat(filepath.Join(cfg.Dir, lockFile)); errors.Is(err, os.ErrNotExist) {
		t.Error("nobody locked the repository")
	}
}
