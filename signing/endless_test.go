package signing_test

import (
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/proa-os/proa/fetch"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/updater"
	"github.com/proa-os/proa/updater/testhost"
)

// What an update may cost that comes to nothing.
const (
	memoryMost = 256 << 20 // resident, in bytes
	sentMost   = 32 << 20  // bytes that a server gets rid of: what is wanted, and what buffers of sockets hold, for each attempt
	keptMost   = 1 << 20   // bytes on disk: the target slot is as large as before
)

// needed are the files that an update to a release needs, by the end of their path.
func needed(r *testhost.Release) map[string]string {
	return map[string]string{
		"root":          "/metadata/2.root.json",
		"timestamp":     "/metadata/timestamp.json",
		"snapshot":      ".snapshot.json",
		"targets":       ".targets.json",
		"channel":       ".stable.json",
		"release.json":  ".release.json",
		"transport":     ".transport.json",
		"chunk index":   manifests.ArtifactPath(r.Transport.Index.Digest),
		"kernel image":  manifests.ArtifactPath(r.Transport.UKI.Digest),
		"root's frames": manifests.ArtifactPath(r.Transport.Root.Digest),
	}
}

// alone is set where the test below has a process of its own, whose memory can be
// measured.
const alone = "PROA_TEST_ALONE"

// TestEndlessAndSlowDataIsBounded gives the agent each file that an update needs
// without an end, and then slowly. It must give up, with little done.
func TestEndlessAndSlowDataIsBounded(t *testing.T) {
	if os.Getenv(alone) == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
		cmd.Env = append(os.Environ(), alone+"=1")
		out, err := cmd.CombinedOutput()
		t.Logf("%s", out)
		check(t, err)
		return
	}
	for name := range needed(testhost.NewRelease(t, testhost.Spec{Version: "1.2.0"})) {
		for kind, answer := range map[string]http.HandlerFunc{"endless": endless, "slow": byteByByte} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				w := newWorld(t)
				var next *testhost.Release
				w.publish("1.2.0", func(r *testhost.Release) { next = r })
				w.patience = fetch.Patience{MinimumRate: 1000, Window: 200 * time.Millisecond, Attempts: 2, Pause: time.Millisecond}
				var sent atomic.Int64
				w.answer(needed(next)[name], func(out http.ResponseWriter, request *http.Request) {
					answer(&counter{out, &sent}, request)
				})
				before := w.kept()
				done, err := w.agent().Update(t.Context(), updater.UpdateOptions{Now: true})
				if err == nil {
					t.Fatalf("the host did %+v", done)
				}
				t.Logf("after %d bytes: %v", sent.Load(), err)
				if sent.Load() > sentMost {
					t.Errorf("the server got rid of %d bytes: want at most %d", sent.Load(), sentMost)
				}
				if grown := w.kept() - before; grown > keptMost {
					t.Errorf("the host keeps %d bytes more: want at most %d", grown, keptMost)
				}
				if slot := w.host.Boot(t).Slot; slot != partitions.SlotA {
					t.Errorf("the host boots slot %s: want a", slot)
				}
			})
		}
	}
	if peak := residentPeak(t); peak > memoryMost {
		t.Errorf("%d bytes were resident: want at most %d", peak, memoryMost)
	}
}

// counter counts what a server writes.
type counter struct {
	http.ResponseWriter
	sent *atomic.Int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.sent.Add(int64(n))
	return n, err
}

// Unwrap lets a handler reach the connection.
func (c *counter) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// kept is the size of all the host's files, in bytes.
func (w *world) kept() (size int64) {
	w.t.Helper()
	check(w.t, filepath.WalkDir(w.host.Dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		info, err := entry.Info()
		size += info.Size()
		return err
	}))
	return size
}

// residentPeak is the most memory that this process has had resident, in bytes.
func residentPeak(t *testing.T) (peak int64) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/status")
	check(t, err)
	for line := range strings.Lines(string(text)) {
		var kib int64
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kib); n == 1 {
			t.Logf("at most %d MiB were resident", kib>>10)
			return kib << 10
		}
	}
	t.Fatal("/proc/self/status has no VmHWM")
	return 0
}
