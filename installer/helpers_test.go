package installer

import (
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/partitions/diskimage"
	"github.com/proa-os/proa/partitions/esp"
	"github.com/proa-os/proa/partitions/sparse"
	"github.com/proa-os/proa/partitions/verity"
	"github.com/proa-os/proa/progress"
	"github.com/proa-os/proa/updater/testhost"
)

// loader is what a boot loader is here.
var loader = testhost.Content("loader", 9000)

// newRelease is a release with what installers need.
func newRelease(t testing.TB, version manifests.Version) *testhost.Release {
	t.Helper()
	r := testhost.NewRelease(t, testhost.Spec{Version: version, Blocks: 300})
	layout, err := json.Marshal(manifests.Layout{Schema: 1, Seed: "boat", ESP: 64 * mib, Root: 4 * mib, Verity: mib, Var: 8 * mib})
	check(t, err)
	for name, content := range map[string][]byte{manifests.LoaderFile: loader, manifests.LayoutFile: layout} {
		r.Release.Artifacts = append(r.Release.Artifacts, manifests.Artifact{Name: name, Size: int64(len(content)), Digest: manifests.DigestOf(content)})
		r.More = append(r.More, content)
	}
	slices.SortFunc(r.Release.Artifacts, func(a, b manifests.Artifact) int { return strings.Compare(a.Name, b.Name) })
	return r
}

// writeFolder writes a release as a build does.
func writeFolder(t testing.TB, r *testhost.Release) string {
	t.Helper()
	dir := t.TempDir()
	r.WriteFolder(t, dir)
	for _, content := range r.More {
		for _, a := range r.Release.Artifacts {
			if a.Digest == manifests.DigestOf(content) {
				check(t, os.WriteFile(filepath.Join(dir, a.Name), content, 0o644))
			}
		}
	}
	return dir
}

// folderOf is a source with a release.
func folderOf(t testing.TB, r *testhost.Release) Source {
	t.Helper()
	source, err := OpenFolder(t.Context(), writeFolder(t, r))
	check(t, err)
	t.Cleanup(func() { source.Close() })
	return source
}

// blankFile is the file of a blank disk.
func blankFile(t testing.TB, size int64) string {
	t.Helper()
	path := filepath.Join(testhost.MemoryDir(t), "disk.raw")
	check(t, os.WriteFile(path, nil, 0o600))
	check(t, os.Truncate(path, size))
	return path
}

// judge reads a disk with nothing of the installer's own: it boots the release,
// whole, or the error says why not.
func judge(t testing.TB, path string, r *testhost.Release) error {
	t.Helper()
	image, err := diskimage.Open(path)
	if err != nil {
		return err
	}
	defer image.Close()
	for _, role := range partitions.Roles() {
		if _, err := image.Partition(role); err != nil {
			return err
		}
	}
	if err := image.CheckESP(); err != nil {
		return err
	}
	slot, err := image.Committed()
	if err != nil {
		return err
	}
	for name, want := range map[string][]byte{esp.UKIPath(slot): r.UKI, esp.LoaderPath("amd64"): loader} {
		got, err := image.ReadESPFile(name, mib)
		if err != nil {
			return err
		}
		if string(got) != string(want) {
			return os.ErrInvalid
		}
	}
	root, err := image.Partition(slot.Root())
	if err != nil {
		return err
	}
	tree, err := image.Partition(slot.Verity())
	if err != nil {
		return err
	}
	return verity.Verify(t.Context(), verity.Check{Root: r.Root, Data: root, Stored: tree})
}

// clean wants nothing in what a first boot finds.
func clean(t testing.TB, path string) {
	t.Helper()
	image, err := diskimage.Open(path)
	check(t, err)
	defer image.Close()
	for role, size := range map[partitions.Role]int64{partitions.RoleState: mib, partitions.RoleVerityB: mib, partitions.RoleVar: 8 * mib} {
		section, err := image.Partition(role)
		check(t, err)
		content, err := io.ReadAll(io.NewSectionReader(section, 0, size))
		check(t, err)
		if !isZero(content) {
			t.Errorf("%s is not empty", role)
		}
	}
}

// run runs a tool that must be there.
func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// used is the bytes that a file takes.
func used(info os.FileInfo) int64 { return info.Sys().(*syscall.Stat_t).Blocks * 512 }

// cancelAt ends a context when a step begins.
type cancelAt struct {
	step   string
	cancel func()
}

func (c cancelAt) Step(name string, total int64) progress.Step {
	if name == c.step {
		c.cancel()
	}
	return progress.Silent().Step(name, total)
}

// holdByQEMU has QEMU open the file of a disk for writing, until end is called.
func holdByQEMU(t testing.TB, path string) (end func()) {
	t.Helper()
	cmd := exec.Command("qemu-storage-daemon", "--blockdev", "driver=file,node-name=disk,filename="+path+",read-only=off",
		"--nbd-server", "addr.type=unix,addr.path="+path+".nbd", "--export", "type=nbd,id=export,node-name=disk,writable=on", "--chardev", "stdio,id=monitor", "--monitor", "chardev=monitor")
	in, err := cmd.StdinPipe()
	check(t, err)
	out, err := cmd.StdoutPipe()
	check(t, err)
	check(t, cmd.Start())
	// It greets when everything before it on the command line has been done.
	_, err = io.ReadFull(out, make([]byte, 8))
	check(t, err)
	return func() {
		in.Close()
		cmd.Process.Kill()
		cmd.Wait()
	}
}

func digestOf(t testing.TB, path string) [32]byte {
	t.Helper()
	_, sum, err := sparse.Digest(t.Context(), path, nil)
	check(t, err)
	return sum
}
