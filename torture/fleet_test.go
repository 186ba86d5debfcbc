package torture

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/proa-os/proa/machine/workshop"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/updater/testhost"
)

// agentProgram is the real proa-agent, as it is released.
var agentProgram = sync.OnceValues(func() (string, error) {
	folder := shared.path("agent")
	return filepath.Join(folder, "proa-agent"), workshop.Compile(context.Background(), folder, "cmd/proa-agent")
})

// fleet is a host of plain files on 1.0.0 and a repository that offers it
// 1.1.0.
type fleet struct {
	agent     string
	host      *testhost.Host
	server    *server
	old, next *testhost.Release
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	return newFleetOf(t, 150)
}

// newFleetOf is a fleet whose releases have so many blocks.
func newFleetOf(t *testing.T, blocks int) *fleet {
	t.Helper()
	agent, err := agentProgram()
	if err != nil {
		t.Fatal(err)
	}
	repository := testhost.NewRepository(t)
	f := &fleet{
		agent:  agent,
		server: newServer(t, repository),
		old:    testhost.NewRelease(t, testhost.Spec{Version: first, Blocks: blocks}),
		next:   testhost.NewRelease(t, testhost.Spec{Version: second, Blocks: blocks}),
	}
	repository.Publish(t, f.old)
	repository.Publish(t, f.next)
	f.host = testhost.NewSized(t, f.server.url, repository.Root(t), f.old, int64(blocks)/256+1)
	f.host.Know(f.next)
	return f
}

// copy is the same fleet with a copy of the host.
func (f *fleet) copy(t *testing.T) *fleet {
	t.Helper()
	copied := *f
	copied.host = f.host.Copy(t, filepath.Join(t.TempDir(), "host"))
	return &copied
}

// ran is how a run of the agent ended.
type ran struct {
	code   int // -1 when a signal ended it
	output string
}

func (f *fleet) run(t *testing.T, args ...string) ran {
	t.Helper()
	return f.runUnder(t, nil, args...)
}

// runUnder runs the agent under another program.
func (f *fleet) runUnder(t *testing.T, under []string, args ...string) ran {
	t.Helper()
	line := append(append(append([]string{}, under...), f.agent, "--host", f.host.File(t)), args...)
	cmd := exec.CommandContext(t.Context(), line[0], line[1:]...)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatalf("%v: %v", line, err)
	}
	return ran{cmd.ProcessState.ExitCode(), string(out)}
}

// must runs the agent, which must end well.
func (f *fleet) must(t *testing.T, args ...string) {
	t.Helper()
	if r := f.run(t, args...); r.code != 0 {
		t.Fatalf("proa-agent %s: exit code %d\n%s", strings.Join(args, " "), r.code, r.output)
	}
}

// boots checks what the next boot leads to: which slot, and which release.
func (f *fleet) boots(t *testing.T, slot partitions.Slot, release *testhost.Release) error {
	t.Helper()
	booted, err := f.host.TryBoot(t)
	if err != nil {
		return err
	}
	if booted.Slot != slot || booted.Release != release {
		return fmt.Errorf("slot %s boots with release %s", booted.Slot, booted.Release.Release.Version)
	}
	return nil
}

// whole checks that a slot and its kernel image hold the release, every byte.
func (f *fleet) whole(t *testing.T, slot partitions.Slot, release *testhost.Release) error {
	t.Helper()
	content, err := f.slot(t, slot, len(release.Image))
	if err != nil {
		return err
	}
	if content != string(release.Image) {
		return fmt.Errorf("slot %s does not hold release %s", slot, release.Release.Version)
	}
	uki, err := os.ReadFile(f.host.Path("esp/EFI/Linux/" + slot.UKI()))
	if err != nil {
		return err
	}
	if string(uki) != string(release.UKI) {
		return fmt.Errorf("the kernel image of slot %s is not that of release %s", slot, release.Release.Version)
	}
	return nil
}

// oldWhole is whole for slot a.
func oldWhole(t *testing.T, f *fleet) error { return f.whole(t, partitions.SlotA, f.old) }

// newWhole is whole for slot b.
func newWhole(t *testing.T, f *fleet) error { return f.whole(t, partitions.SlotB, f.next) }

// slot is the start of a slot's content.
func (f *fleet) slot(t *testing.T, slot partitions.Slot, size int) (string, error) {
	t.Helper()
	disk, err := os.Open(f.host.Path("disk.raw"))
	if err != nil {
		return "", err
	}
	defer disk.Close()
	content := make([]byte, size)
	_, err = disk.ReadAt(content, f.host.Offset(slot.Root()))
	return string(content), err
}

// missing is how many bytes of the next release's root file belong to chunks
// that slot b does not hold.
func (f *fleet) missing(t *testing.T) int64 {
	t.Helper()
	content, err := f.slot(t, partitions.SlotB, len(f.next.Image))
	if err != nil {
		t.Fatal(err)
	}
	size, missing := int(f.next.ChunkSize), int64(0)
	for i, chunk := range f.next.Chunks {
		end := min((i+1)*size, len(content))
		if content[i*size:end] != string(f.next.Image[i*size:end]) {
			missing += chunk.Encoded
		}
	}
	return missing
}

// server stands before a repository, and counts.
type server struct {
	url  string
	next http.Handler

	active atomic.Int64
	mu     sync.Mutex
	bytes  map[string]int64 // body bytes sent, by path
}

func newServer(t *testing.T, next http.Handler) *server {
	s := &server{next: next, bytes: map[string]int64{}}
	listening := httptest.NewServer(s)
	t.Cleanup(listening.Close)
	s.url = listening.URL
	return s
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.active.Add(1)
	defer s.active.Add(-1)
	s.next.ServeHTTP(&counting{w, s, strings.TrimPrefix(r.URL.Path, "/")}, r)
}

// sent is how many bytes of a file were sent since the last call, once no
// request is under way.
func (s *server) sent(name string) int64 {
	for s.active.Load() > 0 {
		time.Sleep(time.Millisecond)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.bytes[name]
	delete(s.bytes, name)
	return n
}

type counting struct {
	http.ResponseWriter
	server *server
	path   string
}

func (c *counting) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	c.server.bytes[c.path] += int64(n)
	return n, err
}

// ReadFrom keeps the standard library from going round Write.
func (c *counting) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{c}, r)
}

func (c *counting) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// rootFile is the path of the next release's root file.
func (f *fleet) rootFile() string { return manifests.ArtifactPath(f.next.Transport.Root.Digest) }
