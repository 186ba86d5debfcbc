package signing

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// loose is a target that goes into a bin.
const loose = "releases/demo/amd64/1.0.0/release.json"

// The crash test runs this binary again, as a host of its own.
const hostVariable = "PROA_TEST_HOST"

func TestMain(m *testing.M) {
	if args := os.Getenv(hostVariable); args != "" {
		// strace counts calls for each thread.
		runtime.LockOSThread()
		if err := runHost(strings.Split(args, "\n")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func runHost(args []string) error {
	root, err := os.ReadFile(args[2])
	if err != nil {
		return err
	}
	c, err := OpenClient(Config{URL: args[0], Dir: args[1], Root: root})
	if err != nil {
		return err
	}
	if err := c.Refresh(context.Background()); err != nil {
		return err
	}
	_, err = c.Fetch(context.Background(), loose)
	return err
}

// files is the folder's content but for files that Clean removes.
func (h *host) files(t *testing.T) map[string]string {
	files := h.trusted(t)
	maps.DeleteFunc(files, func(name, _ string) bool { return strings.HasPrefix(name, ".proa-tmp-") })
	return files
}

func TestKilledRefreshLeavesAUsableTrustedSet(t *testing.T) {
	r := newRepositoryAt(t, newKeys(t, 1), 1, time.Now()) // the helper has the real clock
	h := r.newHost()
	r.addTargets(0, looseMost-1)
	r.publish(loose, "old")
	r.publish(target, "old")
	h.mustRefresh(t)
	old := h.files(t)
	oldServer := t.TempDir()
	if err := os.CopyFS(oldServer, os.DirFS(r.folder)); err != nil {
		t.Fatal(err)
	}
	r.meta.Renew(RoleRoot, r.now.Add(1000*day))
	r.addTargets(looseMost, looseMost+1) // and all go into bins
	r.publish(loose, "new")
	r.publish(target, "new")

	kills := 0
	for _, call := range []string{"renameat", "fsync", "write"} {
		for n := 1; ; n++ {
			crashed := r.newHost()
			if err := os.CopyFS(crashed.config.Dir, os.DirFS(h.config.Dir)); err != nil {
				t.Fatal(err)
			}
			if !refreshKilledAt(t, call, n, r, crashed) {
				t.Logf("%s: %d kills", call, n-1)
				break
			}
			kills++
			left := crashed.files(t)
			for name, content := range left {
				if !strings.HasSuffix(name, ".json") {
					continue
				}
				if version, err := versionOf([]byte(content)); err != nil || version < 1 {
					t.Fatalf("killed at %s %d: %s is torn: %v", call, n, name, err)
				}
			}
			// A server that goes back is refused, or the host has not seen better.
			whole := r.folder
			r.folder = oldServer
			_, err := crashed.refresh(t)
			if left["timestamp.json"] == old["timestamp.json"] && err != nil {
				t.Fatalf("killed at %s %d: the old set is unusable: %v", call, n, err)
			}
			if left["timestamp.json"] != old["timestamp.json"] && !errors.Is(err, ErrRollback) {
				t.Fatalf("killed at %s %d: going back after it: %v", call, n, err)
			}
			r.folder = whole
			mustFetch(t, crashed.mustRefresh(t), target, "new")
			mustFetch(t, crashed.mustRefresh(t), loose, "new")
		}
	}
	if kills < 20 { // four files and a bin, each written, synced twice and renamed
		t.Errorf("only %d kills", kills)
	}
}

// refreshKilledAt runs a host that is killed at the n-th call, and reports
// whether it came to that.
func refreshKilledAt(t *testing.T, call string, n int, r *testRepository, h *host) bool {
	t.Helper()
	root := filepath.Join(r.folder, "metadata/1.root.json")
	cmd := exec.Command("strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace="+call,
		"-e", fmt.Sprintf("inject=%s:signal=SIGKILL:when=%d", call, n), os.Args[0])
	cmd.Env = append(os.Environ(), hostVariable+"="+strings.Join([]string{r.server.URL, h.config.Dir, root}, "\n"))
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL {
		return true
	}
	if err != nil {
		t.Fatalf("killed at %s %d: %v\n%s", call, n, err, out)
	}
	return false
}
