package repository

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/signing"
)

// A test that kills runs this binary again, as a publisher of its own.
const helperVariable = "PROA_TEST_PUBLISHER"

func TestMain(m *testing.M) {
	if args := os.Getenv(helperVariable); args != "" {
		// strace counts calls for each thread.
		runtime.LockOSThread()
		if err := runHelper(strings.Split(args, "\n")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func runHelper(args []string) error {
	keys, err := signing.LoadKeys(args[2])
	if err != nil {
		return err
	}
	cfg := Config{Dir: args[1], Keys: keys}
	if args[0] == "init" {
		return Init(context.Background(), InitConfig{Config: cfg, RootThreshold: 1})
	}
	if args[0] == "root" {
		content, err := os.ReadFile(args[3])
		if err == nil {
			_, err = PublishRoot(context.Background(), RootConfig{Config: cfg, Copies: [][]byte{content}})
		}
		return err
	}
	if further, ok := furtherHelpers[args[0]]; ok {
		return further(cfg, args)
	}
	_, err = Publish(context.Background(), PublishConfig{Config: cfg, ReleaseDir: args[3], Channel: "stable"})
	return err
}

// killEverywhere runs the helper again and again, each time killed one system
// call later, for each of the given calls, and calls after with what it left;
// until a run comes to its end. Prepare makes the folder of one run. A run killed at
// a rename finds what one killed at the fsync before it does.
func killEverywhere(t *testing.T, systemCalls []string, prepare func() []string, after func(t *testing.T, dir string)) {
	t.Helper()
	for _, calls := range systemCalls {
		for n := 1; ; n++ {
			dir, killed := killAt(t, calls, n, prepare())
			if killed {
				after(t, dir)
			}
			if !killed || t.Failed() {
				t.Logf("%s: %d kills", calls, n-1)
				break
			}
		}
	}
}

// killAt runs the helper, killed at the n-th of the system calls, and reports in which
// folder it worked and whether it came to that.
func killAt(t *testing.T, calls string, n int, args []string) (dir string, killed bool) {
	t.Helper()
	cmd := exec.Command("strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace="+calls,
		"-e", fmt.Sprintf("inject=%s:signal=SIGKILL:when=%d", calls, n), os.Args[0])
	cmd.Env = append(os.Environ(), helperVariable+"="+strings.Join(args, "\n"), "GOMAXPROCS=1", "GODEBUG=asyncpreemptoff=1")
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	killed = errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL
	if err != nil && !killed {
		t.Fatalf("killed at %s %d: %v\n%s", calls, n, err, out)
	}
	return args[1], killed
}

func TestKilledPublishLeavesTheOldSetOrTheNewAndRunsAgain(t *testing.T) {
	cfg := makeRepository(t)
	cfg.Now = nil
	keys := t.TempDir()
	cfg.Keys = makeKeys(t, keys)
	cfg.Dir = filepath.Join(t.TempDir(), "repo")
	check(t, Init(context.Background(), InitConfig{Config: cfg, RootThreshold: 1}))
	publish(t, cfg, makeRelease(t, "demo", "1.0.0", fakeImage(1, 8192)), "stable")
	next := makeRelease(t, "demo", "1.1.0", fakeImage(2, 16384))

	seen := map[manifests.Version]int{}
	prepare := func() []string {
		dir := filepath.Join(t.TempDir(), "repo")
		check(t, os.CopyFS(dir, os.DirFS(cfg.Dir)))
		return []string{"publish", dir, keys, next}
	}
	killEverywhere(t, []string{"fsync", "write", "unlinkat", "mkdirat"}, prepare, func(t *testing.T, dir string) {
		here := cfg.withDefaults()
		here.Dir = dir
		version, _ := hostSees(t, here, "demo", "stable")
		seen[version]++
		publish(t, here, next, "stable")
		if version, _ := hostSees(t, here, "demo", "stable"); version != "1.1.0" {
			t.Errorf("after the second run stable is %s", version)
		}
		wantNoTemps(t, dir)
	})
	t.Logf("hosts saw %v", seen)
	if seen["1.0.0"] == 0 || seen["1.1.0"] == 0 {
		t.Error("the kills do not reach from before the commit point to after it")
	}
}

func TestKilledInitRunsAgain(t *testing.T) {
	keys := t.TempDir()
	loaded := makeKeys(t, keys)
	prepare := func() []string { return []string{"init", filepath.Join(t.TempDir(), "repo"), keys} }
	release := makeRelease(t, "demo", "1.0.0", fakeImage(1, 8192))
	killEverywhere(t, []string{"renameat", "mkdirat"}, prepare, func(t *testing.T, dir string) {
		cfg := Config{Dir: dir, Keys: loaded}
		if err := Init(context.Background(), InitConfig{Config: cfg, RootThreshold: 1}); err != nil && !errors.Is(err, ErrExists) {
			t.Error(err)
		}
		publish(t, cfg, release, "stable")
		wantNoTemps(t, dir)
	})
}
