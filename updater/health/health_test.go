package health

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/proa-os/proa/manifests"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func script(t testing.TB, path, body string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, []byte("#!/bin/sh\n"+body+"\n"), 0o755))
}

// quick has times that suit a test.
func quick(c Config) *Checks {
	c.Timeout, c.Limit = time.Minute, 2*time.Second
	c.Pause, c.Settle = 10*time.Millisecond, 30*time.Millisecond
	return New(c)
}

func TestExecutablesRunInOrderAndThoseOfTheHostHideThoseOfTheRelease(t *testing.T) {
	dir := t.TempDir()
	release, host := filepath.Join(dir, "usr"), filepath.Join(dir, "etc")
	for path, says := range map[string]string{
		"usr/20-b": "release b", "usr/10-a": "release a", "usr/30-c": "release c", "usr/40-d": "release d", "usr/.50-e": "hidden",
		"etc/20-b": "host b", "etc/05-z": "host z",
	} {
		script(t, filepath.Join(dir, path), "echo "+says+" >> "+dir+"/log")
	}
	must(t, os.Symlink("/dev/null", filepath.Join(host, "30-c")))
	// A file that merely is not executable hides nothing: that is more often a mistake.
	must(t, os.WriteFile(filepath.Join(host, "40-d"), nil, 0o644))
	must(t, quick(Config{Folders: []string{release, host, dir + "/none"}}).Run(t.Context()))
	log, err := os.ReadFile(dir + "/log")
	must(t, err)
	want := "release a\nrelease d\nhost z\nhost b\n"
	if string(log) != want {
		t.Errorf("got:\n%swant:\n%s", log, want)
	}
}

func TestACheckIsTriedUntilItPasses(t *testing.T) {
	dir := t.TempDir()
	script(t, dir+"/10-a", "cd "+dir+"; echo x >> tries; test $(wc -l < tries) -ge 3")
	must(t, quick(Config{Folders: []string{dir}}).Run(t.Context()))
}

func TestTheReasonNamesTheCheckAndItsLastLine(t *testing.T) {
	dir := t.TempDir()
	script(t, dir+"/10-a", "echo first; echo no route to the gateway; exit 1")
	script(t, dir+"/20-b", "touch "+dir+"/reached")
	err := quick(Config{Folders: []string{dir}}).Run(t.Context())
	if err == nil || err.Error() != "health check 10-a: no route to the gateway" {
		t.Errorf("got error %v", err)
	}
	if _, err := os.Stat(dir + "/reached"); err == nil {
		t.Error("a check ran after one that failed")
	}
}

func TestWhatACheckStartedEndsWithIt(t *testing.T) {
	dir := t.TempDir()
	script(t, dir+"/10-a", "sleep 1000 & echo $! > "+dir+"/pid; echo waiting; wait")
	c := New(Config{Folders: []string{dir}, Timeout: 300 * time.Millisecond, Limit: 400 * time.Millisecond})
	err := c.Run(t.Context())
	if err == nil || err.Error() != "health check 10-a: no answer within 300ms: waiting" {
		t.Errorf("got error %v", err)
	}
	pid, err := os.ReadFile(dir + "/pid")
	must(t, err)
	stat, err := os.ReadFile("/proc/" + strings.TrimSpace(string(pid)) + "/stat")
	if err == nil && !strings.Contains(string(stat), ") Z ") {
		t.Errorf("it runs still: %s", stat)
	}
}

func TestAFailureStopsTheOtherChecksAndIsTheOnlyReason(t *testing.T) {
	dir := t.TempDir()
	script(t, dir+"/10-a", "sleep 1000")
	c := New(Config{
		Folders: []string{dir}, Timeout: time.Minute, Limit: time.Hour, Pause: time.Millisecond,
		Checks: []manifests.HealthCheck{{Unit: "a.service", Limit: manifests.Duration(50 * time.Millisecond)}},
	})
	err := c.Run(t.Context())
	if text(err) != "health check a.service: systemd does not run here for a while" {
		t.Errorf("got error %v", err)
	}
}

func TestAtTheLimitEveryFailingCheckIsNamed(t *testing.T) {
	dir := t.TempDir()
	script(t, dir+"/10-a", "echo down; exit 1")
	c := New(Config{
		Folders: []string{dir}, Timeout: time.Minute, Limit: 700 * time.Millisecond, Pause: time.Millisecond,
		Checks: []manifests.HealthCheck{{Unit: "a.service"}, {Name: "b", Unit: "b.service"}},
	})
	err := c.Run(t.Context())
	want := "health check 10-a: down; health check a.service: systemd does not run here for a while; health check b: systemd does not run here for a while"
	if text(err) != want {
		t.Errorf("got error %v", err)
	}
}

func TestAStoppedJudgementIsNoVerdict(t *testing.T) {
	dir := t.TempDir()
	script(t, dir+"/10-a", "touch "+dir+"/runs; sleep 1000")
	cause := errors.New("the agent is stopped")
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		for {
			if _, err := os.Stat(dir + "/runs"); err == nil {
				cancel(cause)
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	if err := New(Config{Folders: []string{dir}, Timeout: time.Hour, Limit: time.Hour}).Run(ctx); err != cause {
		t.Errorf("got error %v", err)
	}
}

func TestAFolderThatCannotBeReadIsAFailure(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Symlink("/nowhere", dir+"/10-a"))
	err := quick(Config{Folders: []string{dir}}).Run(t.Context())
	if err == nil || !strings.HasPrefix(err.Error(), "health checks: stat ") {
		t.Errorf("got error %v", err)
	}
	if paths, err := executables([]string{dir + "/none"}); err != nil || !slices.Equal(paths, nil) {
		t.Errorf("a missing folder: %v, %v", paths, err)
	}
}
