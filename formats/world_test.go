package formats

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/proa-os/proa/builder/uki"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/partitions/cmdline"
	"github.com/proa-os/proa/partitions/diskimage"
	"github.com/proa-os/proa/partitions/verity"
)

// What the files of the tests' release hold. They are not what they are called, but
// for the disk and the kernel image.
var (
	testRoot   = random(1, 3<<20)
	testHashes = random(2, 64<<10)
	testInitrd = random(3, 100_001)
	testKernel = random(4, 200_003)
	testLoader = random(5, 50_007)
	installer  = random(6, 300_011)
)

func random(seed uint64, size int) []byte {
	content := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{byte(seed)}).Read(content)
	return content
}

// newRelease makes a release folder, of a disk that is not in whole GiB.
func newRelease(t *testing.T) string {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "1.0.0")
	check(t, os.Mkdir(folder, 0o755))
	const seed = "a seed"
	boot := cmdline.Boot{Root: verity.Root{Salt: random(7, 32), Blocks: uint64(len(testRoot)) / verity.BlockSize}}
	copy(boot.Root.Hash[:], random(8, 32))
	stub, err := os.ReadFile("/usr/lib/systemd/boot/efi/linuxx64.efi.stub")
	check(t, err)
	kernel, err := uki.Assemble(uki.Config{
		Stub: stub, Kernel: testKernel, Initrd: testInitrd, CommandLine: boot.String() + " quiet",
		OSRelease: []byte("ID=test\n"), Uname: "6.1.0",
	})
	check(t, err)
	sizes := manifests.Layout{Schema: 1, Seed: seed, ESP: partitions.ESPMinimum, Root: 4 << 20, Verity: 1 << 20, Var: 8 << 20}
	layout, err := partitions.Plan(seed, "amd64", partitions.Sizes{ESP: sizes.ESP, Root: sizes.Root, Verity: sizes.Verity, Var: sizes.Var})
	check(t, err)
	text, err := json.Marshal(sizes)
	check(t, err)
	disk, err := os.Create(filepath.Join(folder, manifests.DiskFile))
	check(t, err)
	defer disk.Close()
	check(t, diskimage.Write(t.Context(), disk, diskimage.Config{
		Layout: layout, Arch: "amd64", Seed: seed, Epoch: manifests.DefaultEpoch,
		Loader: diskimage.InMemory(testLoader), UKI: diskimage.InMemory(kernel), Root: diskimage.InMemory(testRoot), Verity: diskimage.InMemory(testHashes),
	}))
	release := manifests.Release{
		Schema: 1, Product: "edge", Version: "1.0.0", Arch: manifests.AMD64, Epoch: manifests.DefaultEpoch,
		Root: manifests.Root{Hash: boot.Root.Hash[:], Salt: boot.Root.Salt, Blocks: boot.Root.Blocks},
	}
	for _, file := range []struct {
		name    string
		content []byte
	}{
		{manifests.DiskFile, nil}, {manifests.LayoutFile, text}, {manifests.LoaderFile, testLoader},
		{manifests.RootFile, testRoot}, {manifests.VerityFile, testHashes}, {manifests.UKIFile, kernel},
	} {
		path := filepath.Join(folder, file.name)
		if file.content == nil {
			file.content, err = os.ReadFile(path)
			check(t, err)
		}
		check(t, os.WriteFile(path, file.content, 0o644))
		release.Artifacts = append(release.Artifacts, manifests.Artifact{Name: file.name, Size: int64(len(file.content)), Digest: sha256.Sum256(file.content)})
	}
	text, err = json.Marshal(release)
	check(t, err)
	check(t, os.WriteFile(filepath.Join(folder, manifests.ReleaseFile), text, 0o644))
	return folder
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// testUnit stands for the GiB of clouds, which takes a while to read.
const testUnit = 128 << 20

// converted converts a release into a folder of its own, and returns the output.
func converted(t *testing.T, folder string, format Format, words ...string) string {
	t.Helper()
	path, err := tryConvert(t.Context(), Config{
		Release: folder, Format: format, Output: filepath.Join(t.TempDir(), "out"), Words: words,
	})
	check(t, err)
	return path
}

func tryConvert(ctx context.Context, c Config) (string, error) {
	if c.Format.Live() && c.Installer == nil {
		c.Installer = installer
	}
	result, err := convert(ctx, c, testUnit)
	return result.Path, err
}

// run runs a program of others, which must succeed, and returns what it printed.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	return string(out)
}

// wantContent compares files without printing them.
func wantContent(t *testing.T, path string, want []byte) {
	t.Helper()
	got, err := os.ReadFile(path)
	check(t, err)
	if !bytes.Equal(got, want) {
		t.Errorf("%s: %d bytes, others than the %d that were wanted", path, len(got), len(want))
	}
}
