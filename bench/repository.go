package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions/verity"
	"github.com/proa-os/proa/signing"
)

// releasesMost is how many releases the largest repository has.
const releasesMost = 1_000

// released is the version that is published. Its release.json, transport.json and notice.json
// belong into three bins.
const released manifests.Version = "2.0.0"

// Bytes of the files of a release that is there for the number alone. What they hold
// cannot be decoded; for metadata and digests that makes no difference.
const (
	fillingRoot  = 1 << 20
	fillingIndex = 16 << 10
	fillingUKI   = 64 << 10
)

// repositories publishes one release into repositories of ever more, and checks the
// largest.
func (b *bench) repositories(ctx context.Context) error {
	if err := os.MkdirAll(b.Path("many"), 0o755); err != nil {
		return err
	}
	if err := b.writeRelease(ctx, b.Path("many", "out")); err != nil {
		return err
	}
	if _, err := b.Command(ctx, "cd many && proa key new -o keys"); err != nil {
		return err
	}
	for n := 1; n <= releasesMost; n *= 10 {
		if err := b.publishInto(ctx, n); err != nil {
			return err
		}
	}
	for _, flag := range []string{"", " --sizes"} {
		took, err := b.Command(ctx, "cd many && proa repo check -q"+flag)
		if err != nil {
			return err
		}
		const most = 10 * time.Second
		b.note(fmt.Sprintf("proa repo check%s, %d releases", flag, releasesMost+1), fmt.Sprintf("%.2f s (%.2f s of CPU)", took.Took.Seconds(), took.CPU.Seconds()), "at most 10 s", took.Took > most)
	}
	return nil
}

// publishInto makes a repository of n releases and publishes one more.
func (b *bench) publishInto(ctx context.Context, n int) error {
	if _, err := b.Command(ctx, "cd many && rm -rf repo && proa repo init repo"); err != nil {
		return err
	}
	if err := fillRepository(b.Path("many"), n); err != nil {
		return err
	}
	repo := b.Path("many", "repo")
	before, err := filesOf(filepath.Join(repo, "metadata"))
	if err != nil {
		return err
	}
	host, err := newReader(repo, b.Path("many", fmt.Sprintf("host-%d", n)))
	if err != nil {
		return err
	}
	filled := versionOf(n - 1)
	if _, err := host.reads(ctx, "edge-gateway", filled, filled); err != nil {
		return err
	}
	took, err := b.Command(ctx, "cd many && proa repo publish -q out --channel stable")
	if err != nil {
		return err
	}
	after, err := filesOf(filepath.Join(repo, "metadata"))
	if err != nil {
		return err
	}
	written := int64(0)
	for name, file := range after {
		if was, ok := before[name]; !ok || !os.SameFile(was, file) {
			written += file.Size()
		}
	}
	b.note(fmt.Sprintf("one more release in a repository of %d", n), fmt.Sprintf("%.2f s (%.2f s of CPU)", took.Took.Seconds(), took.CPU.Seconds()), "", false)
	fetched, err := host.reads(ctx, "bench", released, filled)
	if err != nil {
		return err
	}
	b.note("  metadata that it writes", fmt.Sprintf("%.1f kB", float64(written)/1e3), "", false)
	b.note("  metadata that a host then fetches", fmt.Sprintf("%.1f kB", float64(fetched)/1e3), "at most 40 kB", fetched > 40e3)
	b.noteBytes("  its peak memory", took.Peak, 512<<20)
	return nil
}

// versionOf is the version of the n-th release that is there for the number alone.
func versionOf(n int) manifests.Version {
	return manifests.Version(fmt.Sprintf("2026.%d.%d", n/100, n%100))
}

func filesOf(folder string) (map[string]fs.FileInfo, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	files := map[string]fs.FileInfo{}
	for _, entry := range entries {
		if files[entry.Name()], err = entry.Info(); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// writeRelease writes a release folder with a root image of 1 MiB, as a build would.
func (b *bench) writeRelease(ctx context.Context, dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	image, salt := make([]byte, 1<<20), make([]byte, verity.HashSize)
	leaves, err := verity.HashImage(ctx, strings.NewReader(string(image)), uint64(len(image)/verity.BlockSize), salt, 0, nil)
	if err != nil {
		return err
	}
	tree, err := verity.NewTree(leaves, salt)
	if err != nil {
		return err
	}
	root := tree.Root()
	release := manifests.Release{
		Schema: 1, Product: "bench", Version: released, Arch: manifests.AMD64, Epoch: 1,
		Root: manifests.Root{Hash: root.Hash[:], Salt: salt, Blocks: root.Blocks},
	}
	for _, file := range []struct {
		name    string
		content []byte
	}{{manifests.RootFile, image}, {manifests.UKIFile, []byte("a kernel image")}} {
		if err := os.WriteFile(filepath.Join(dir, file.name), file.content, 0o644); err != nil {
			return err
		}
		release.Artifacts = append(release.Artifacts, manifests.Artifact{Name: file.name, Size: int64(len(file.content)), Digest: manifests.DigestOf(file.content)})
	}
	text, err := json.Marshal(release)
	return errors.Join(err, os.WriteFile(filepath.Join(dir, manifests.ReleaseFile), text, 0o644))
}

// fillRepository adds n releases of another product to the repository in dir, signed all at
// once.
func fillRepository(dir string, n int) error {
	repo := filepath.Join(dir, "repo")
	keys, err := signing.LoadKeys(filepath.Join(dir, "keys"))
	if err != nil {
		return err
	}
	meta, err := signing.OpenMetadata(os.DirFS(filepath.Join(repo, "metadata")))
	if err != nil {
		return err
	}
	random := rand.New(rand.NewPCG(uint64(n), 1))
	for i := range n {
		targets, err := fillRelease(repo, random, versionOf(i), i == n-1)
		if err != nil {
			return err
		}
		for name, value := range targets {
			text, err := json.Marshal(value)
			if err != nil {
				return err
			}
			digest := manifests.DigestOf(text)
			if err := errors.Join(meta.SetTarget(name, text), writeUnder(repo, signing.TargetPath(name, digest[:]), text)); err != nil {
				return err
			}
		}
	}
	files, err := meta.Sign(time.Now(), signing.DefaultLifetimes(), keys)
	if err != nil {
		return err
	}
	for _, file := range files {
		if err := writeUnder(repo, "metadata/"+file.Name, file.Content); err != nil {
			return err
		}
	}
	return nil
}

// fillRelease writes the artifacts of a release, and gives the content of its targets.
func fillRelease(repo string, random *rand.Rand, version manifests.Version, newest bool) (map[string]any, error) {
	artifact := func(size int) (manifests.FetchFile, error) {
		content := make([]byte, size)
		for at := 0; at < len(content); at += 8 {
			for n, part := 0, random.Uint64(); n < 8; n, part = n+1, part>>8 {
				content[at+n] = byte(part)
			}
		}
		file := manifests.FetchFile{Size: int64(size), Digest: manifests.DigestOf(content)}
		return file, writeUnder(repo, manifests.ArtifactPath(file.Digest), content)
	}
	root, err1 := artifact(fillingRoot)
	index, err2 := artifact(fillingIndex)
	uki, err3 := artifact(fillingUKI)
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	hash := manifests.HexBytes(root.Digest[:])
	release := manifests.Release{
		Schema: 1, Product: "edge-gateway", Version: version, Arch: manifests.AMD64, Epoch: 1,
		Root: manifests.Root{Hash: hash, Salt: hash, Blocks: 2},
		Artifacts: []manifests.Artifact{
			{Name: manifests.RootFile, Size: 2 * manifests.BlockSize, Digest: root.Digest},
			{Name: manifests.UKIFile, Size: uki.Size, Digest: uki.Digest},
		},
	}
	text, err := json.Marshal(release)
	if err != nil {
		return nil, err
	}
	digest := manifests.DigestOf(text)
	targets := map[string]any{
		manifests.ReleaseTarget(release.Product, release.Arch, version): release,
		manifests.TransportTarget(release.Product, release.Arch, version): manifests.Transport{
			Schema: 2, Release: digest, Root: root, Index: index, Deltas: []manifests.Delta{},
			UKI: manifests.UKI{FetchFile: uki, Parts: []manifests.UKIPart{{Size: uki.Size, Digest: uki.Digest, Root: -1}}},
		},
	}
	if newest {
		targets[manifests.ChannelTarget(release.Product, release.Arch, "stable")] = manifests.Channel{
			Schema: 1, Product: release.Product, Arch: release.Arch, Name: "stable", Version: version, Release: digest,
		}
	}
	return targets, nil
}

func writeUnder(folder, name string, content []byte) error {
	path := filepath.Join(folder, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, content, 0o644)
}
