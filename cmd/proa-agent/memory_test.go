package main

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions/cmdline"
	"github.com/proa-os/proa/partitions/verity"
	"github.com/proa-os/proa/repository"
	"github.com/proa-os/proa/updater/testhost"
)

// memoryMost is what an update may have resident, in bytes, however large the
// image.
const memoryMost = 64 << 20

// BenchmarkUpdateMemory updates a host of plain files with the real program, to
// an image of 200 MB and to one of 4 GB, and reports the agent's peak memory in
// MiB. The images do not compress, which makes for the largest buffers. It needs
// 13 GB of disk, and fails when the peak is above 64 MiB.
func BenchmarkUpdateMemory(b *testing.B) {
	for name, size := range map[string]int64{"200MB": 200e6, "4GB": 4e9} {
		b.Run(name, func(b *testing.B) {
			size -= size % verity.BlockSize
			dir := b.TempDir()
			agent := buildAgent(b, dir)
			config := newRepository(b)
			writeLargeRelease(b, filepath.Join(dir, "1.1.0"), size)
			_, err := repository.Publish(b.Context(), repository.PublishConfig{Config: config, ReleaseDir: filepath.Join(dir, "1.1.0"), Channel: "stable"})
			check(b, err)
			check(b, os.RemoveAll(filepath.Join(dir, "1.1.0")))
			url, trustRoot := serve(b, config)
			old := testhost.NewRelease(b, testhost.Spec{Version: "1.0.0"})
			peak := int64(0)
			for b.Loop() {
				host := testhost.NewSized(b, url, trustRoot, old, size>>20+1)
				peak = max(peak, runWatched(b, exec.Command(agent, "--host", host.File(b), "--quiet", "update")))
				check(b, os.RemoveAll(host.Dir))
			}
			b.ReportMetric(float64(peak)/(1<<20), "MiB-peak")
			if peak > memoryMost {
				b.Errorf("the agent had %d bytes resident: want at most %d", peak, memoryMost)
			}
		})
	}
}

// writeLargeRelease writes a release as a build does, without having its image
// in memory.
func writeLargeRelease(t testing.TB, dir string, size int64) {
	t.Helper()
	check(t, os.Mkdir(dir, 0o755))
	image, err := os.Create(filepath.Join(dir, manifests.RootFile))
	check(t, err)
	defer image.Close()
	random, piece := rand.NewChaCha8([32]byte{4}), make([]byte, 1<<20)
	for at := int64(0); at < size; at += int64(len(piece)) {
		random.Read(piece)
		_, err := image.Write(piece[:min(int64(len(piece)), size-at)])
		check(t, err)
	}
	salt := bytes.Repeat([]byte{0x5a}, 32)
	leaves, err := verity.HashImage(t.Context(), image, uint64(size/verity.BlockSize), salt, 0, nil)
	check(t, err)
	tree, err := verity.NewTree(leaves, salt)
	check(t, err)
	uki := testhost.NewUKI("quiet "+cmdline.Boot{Root: tree.Root()}.String(), testhost.Content("kernel", 20<<10))
	check(t, os.WriteFile(filepath.Join(dir, manifests.UKIFile), uki, 0o644))
	sum := exec.Command("sha256sum", image.Name())
	out, err := sum.Output()
	check(t, err)
	digest, err := manifests.ParseDigest("sha256:" + string(out[:64]))
	check(t, err)
	root := tree.Root()
	text, err := json.Marshal(manifests.Release{
		Schema: 1, Product: testhost.Product, Version: "1.1.0", Arch: manifests.AMD64, Epoch: 1700000000,
		Root: manifests.Root{Hash: root.Hash[:], Salt: salt, Blocks: root.Blocks},
		Artifacts: []manifests.Artifact{
			{Name: manifests.RootFile, Size: size, Digest: digest},
			{Name: manifests.UKIFile, Size: int64(len(uki)), Digest: manifests.DigestOf(uki)},
		},
	})
	check(t, err)
	check(t, os.WriteFile(filepath.Join(dir, manifests.ReleaseFile), text, 0o644))
}
