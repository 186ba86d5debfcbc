package main

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/proa-os/proa/repository"
	"github.com/proa-os/proa/signing"
	"github.com/proa-os/proa/updater/testhost"
)

// BenchmarkUpdate updates a host of plain files from loopback with the real
// program, and beside it decodes the same file with zstd(1) and syncs the
// result. PROA_BENCH_IMAGE names a root image of whole 4096-byte blocks;
// without it a synthetic one of 128 MiB is used.
//
// It reports MB/s of the image for both, their ratio, and the agent's peak
// memory in MiB.
func BenchmarkUpdate(b *testing.B) {
	image := testhost.Content("bench", 128<<20)
	if path := os.Getenv("PROA_BENCH_IMAGE"); path != "" {
		var err error
		image, err = os.ReadFile(path)
		check(b, err)
	}
	dir := b.TempDir()
	agent := buildAgent(b, dir)

	config := newRepository(b)
	old := testhost.NewRelease(b, testhost.Spec{Version: "1.0.0"})
	next := testhost.FromImage(b, testhost.Spec{Version: "1.1.0", ChunkSize: 1 << 20}, image)
	next.WriteFolder(b, filepath.Join(dir, "1.1.0"))
	published, err := repository.Publish(b.Context(), repository.PublishConfig{Config: config, ReleaseDir: filepath.Join(dir, "1.1.0"), Channel: "stable"})
	check(b, err)
	frames := filepath.Join(dir, "root.zst")
	check(b, os.Link(filepath.Join(config.Dir, "artifacts", published.Root.Digest.Hex()[:2], published.Root.Digest.Hex()), frames))
	url, trustRoot := serve(b, config)
	size := int64(len(image))
	image, next.Image, next.Frames = nil, nil, nil

	var updating, decoding time.Duration
	var peak int64
	for b.Loop() {
		host := testhost.NewSized(b, url, trustRoot, old, size>>20+1)
		cmd := exec.Command(agent, "--host", host.File(b), "--quiet", "update")
		began := time.Now()
		peak = max(peak, runWatched(b, cmd))
		updating += time.Since(began)
		check(b, os.RemoveAll(host.Dir))

		out := filepath.Join(dir, "root.raw")
		began = time.Now()
		run(b, exec.Command("sh", "-c", fmt.Sprintf("zstd -q -d -f %s -o %s && sync %s", frames, out, out)))
		decoding += time.Since(began)
		check(b, os.Remove(out))
	}
	megabytes := float64(size) * float64(b.N) / 1e6
	b.ReportMetric(megabytes/updating.Seconds(), "MB/s-update")
	b.ReportMetric(megabytes/decoding.Seconds(), "MB/s-zstd")
	b.ReportMetric(decoding.Seconds()/updating.Seconds(), "ratio")
	b.ReportMetric(float64(peak)/(1<<20), "MiB-peak")
}

func buildAgent(t testing.TB, dir string) string {
	t.Helper()
	agent := filepath.Join(dir, "proa-agent")
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", agent, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	run(t, build)
	return agent
}

// runWatched runs a command and returns the most memory that it had, in bytes.
func runWatched(t testing.TB, cmd *exec.Cmd) (peak int64) {
	t.Helper()
	cmd.Stderr = os.Stderr
	check(t, cmd.Start())
	for measured := int64(1); measured > 0; time.Sleep(20 * time.Millisecond) {
		measured = peakMemory(cmd.Process.Pid)
		peak = max(peak, measured)
	}
	check(t, cmd.Wait())
	return peak
}

// peakMemory is the most memory that a process has had resident so far, in
// bytes, and 0 when it has ended. The figure in rusage would be that of the test
// itself, which the kernel hands on to a new process.
func peakMemory(pid int) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		var kib int64
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kib); n == 1 {
			return kib << 10
		}
	}
	return 0
}

func newRepository(t testing.TB) repository.Config {
	t.Helper()
	folder := t.TempDir()
	for _, role := range signing.Roles() {
		_, err := signing.CreateKeyFile(filepath.Join(folder, signing.KeyFileName(role, 1)))
		check(t, err)
	}
	keys, err := signing.LoadKeys(folder)
	check(t, err)
	config := repository.Config{Dir: filepath.Join(t.TempDir(), "repo"), Keys: keys}
	check(t, repository.Init(context.Background(), repository.InitConfig{Config: config, RootThreshold: 1}))
	return config
}

// serve serves a repository until the test ends.
func serve(t testing.TB, config repository.Config) (url string, trustRoot []byte) {
	t.Helper()
	handler, err := repository.Handler(config.Dir)
	check(t, err)
	t.Cleanup(func() { handler.Close() })
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	trustRoot, err = os.ReadFile(filepath.Join(config.Dir, "metadata", "root.json"))
	check(t, err)
	return server.URL, trustRoot
}

func run(t testing.TB, cmd *exec.Cmd) {
	t.Helper()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, out)
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
