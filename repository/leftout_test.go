package repository

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/manifests/chunkindex"
	"github.com/proa-os/proa/progress"
	"github.com/proa-os/proa/signing"
)

// change writes an artifact anew, under the digest that it had.
func change(t *testing.T, cfg Config, f manifests.FetchFile, with func([]byte) []byte) {
	t.Helper()
	path := filepath.Join(cfg.Dir, filepath.FromSlash(manifests.ArtifactPath(f.Digest)))
	content := must[[]byte](t)(os.ReadFile(path))
	check(t, os.WriteFile(path, with(content), 0o644))
}

// shortFrame is a frame of so many bytes that decodes to some that are no block.
func shortFrame(size int64) []byte {
	const content = "short"
	frame := binary.LittleEndian.AppendUint32(nil, 0xFD2FB528)
	frame = append(frame, 1<<5, byte(len(content))) // a single segment, and its size
	frame = append(frame, byte(len(content)<<3|1), 0, 0)
	frame = append(frame, content...)
	frame = binary.LittleEndian.AppendUint32(frame, 0x184D2A50)
	frame = binary.LittleEndian.AppendUint32(frame, uint32(size)-uint32(len(frame))-4)
	return append(frame, make([]byte, int(size)-len(frame))...)
}

func TestAnOlderReleaseThatIsUnusableIsLeftOutWithTheReason(t *testing.T) {
	for name, test := range map[string]struct {
		want  string
		spoil func(*testing.T, Config, manifests.Release, manifests.Transport)
	}{
		"a bit of the root image": {"the release is broken", func(t *testing.T, cfg Config, _ manifests.Release, transport manifests.Transport) {
			change(t, cfg, transport.Root, func(b []byte) []byte { b[len(b)/2] ^= 1; return b })
		}},
		"a root image that is cut": {"the release is broken", func(t *testing.T, cfg Config, _ manifests.Release, transport manifests.Transport) {
			change(t, cfg, transport.Root, func(b []byte) []byte { return b[:len(b)-1] })
		}},
		"a chunk that decodes to less": {"chunk 0: the release is broken: 5 bytes", func(t *testing.T, cfg Config, release manifests.Release, transport manifests.Transport) {
			r := &repository{Config: cfg}
			first := must[*chunkindex.Index](t)(r.index(release, transport)).Chunks[0]
			change(t, cfg, transport.Root, func(b []byte) []byte { copy(b, shortFrame(first.Encoded)); return b })
		}},
		"no chunk index": {"no such file", func(t *testing.T, cfg Config, _ manifests.Release, transport manifests.Transport) {
			check(t, os.Remove(filepath.Join(cfg.Dir, manifests.ArtifactPath(transport.Index.Digest))))
		}},
		"a release.json": {"release.json: ", func(t *testing.T, cfg Config, release manifests.Release, _ manifests.Transport) {
			r := &repository{Config: cfg, meta: must[*signing.Metadata](t)(readMetadata(cfg.Dir))}
			name := manifests.ReleaseTarget(release.Product, release.Arch, release.Version)
			digest, _, _ := r.meta.Target(name)
			check(t, os.WriteFile(filepath.Join(cfg.Dir, signing.TargetPath(name, digest[:])), []byte("{}"), 0o644))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, _, next := threeReleases(t)
			release, transport := transportOf(t, cfg, "1.1.0")
			test.spoil(t, cfg, release, transport)
			p := publishWith(t, cfg, next, 2)
			if len(p.Deltas) != 1 || p.Deltas[0].From != "1.0.0" {
				t.Errorf("deltas %v, want one from what is whole", p.Deltas)
			}
			if len(p.LeftOut) != 1 || p.LeftOut[0].From != "1.1.0" || !strings.Contains(p.LeftOut[0].Why, test.want) {
				t.Errorf("left out are %v, want 1.1.0 and %q", p.LeftOut, test.want)
			}
			hostSees(t, cfg, "demo", "stable")
		})
	}
}

func TestThereIsNoDeltaBetweenSalts(t *testing.T) {
	cfg := makeRepository(t)
	image := fakeImage(1, 64<<10)
	dir := makeRelease(t, "demo", "1.0.0", image)
	release := readRelease(t, dir)
	release.Root.Salt = bytes.Repeat([]byte{1}, 32)
	release.Root.Hash = veritysetup(t, filepath.Join(dir, manifests.RootFile), filepath.Join(dir, manifests.VerityFile), release.Root.Salt)
	tree := must[[]byte](t)(os.ReadFile(filepath.Join(dir, manifests.VerityFile)))
	at := slices.IndexFunc(release.Artifacts, func(a manifests.Artifact) bool { return a.Name == manifests.VerityFile })
	release.Artifacts[at].Digest, release.Artifacts[at].Size = manifests.DigestOf(tree), int64(len(tree))
	writeRelease(t, dir, release)
	publish(t, cfg, dir, "stable")
	image[30<<10] ^= 1
	p := publishWith(t, cfg, makeRelease(t, "demo", "1.1.0", image), 1)
	if len(p.Deltas) != 0 || len(p.LeftOut) != 1 || !strings.Contains(p.LeftOut[0].Why, "another salt") {
		t.Errorf("%+v", p)
	}
	// Nor is it cut for hosts that find nothing.
	published, transport := transportOf(t, cfg, "1.1.0")
	if index := must[*chunkindex.Index](t)((&repository{Config: cfg}).index(published, transport)); len(index.Chunks) != 1 {
		t.Errorf("%d chunks", len(index.Chunks))
	}
}

func TestNumbersOfDeltasThatNoHostReadsAreRefused(t *testing.T) {
	cfg := makeRepository(t)
	dir := makeRelease(t, "demo", "1.0.0", fakeImage(1, 8192))
	for _, n := range []int{-1, manifests.DeltasMost + 1} {
		if _, err := Publish(t.Context(), PublishConfig{Config: cfg, ReleaseDir: dir, Channel: "stable", Deltas: n}); err == nil {
			t.Errorf("%d deltas are made", n)
		}
	}
	publishWith(t, cfg, dir, manifests.DeltasMost)
}

// counting counts the steps that begin in a way.
type counting struct {
	progress.Reporter
	prefix string
	n      int
}

func (c *counting) Step(name string, total int64) progress.Step {
	if strings.HasPrefix(name, c.prefix) {
		c.n++
	}
	return c.Reporter.Step(name, total)
}

func TestAnImageIsComparedWithFewOlderOnes(t *testing.T) {
	cfg := makeRepository(t)
	for _, version := range []string{"1", "2", "3", "4", "5", "6", "7", "8", "9"} {
		publish(t, cfg, makeRelease(t, "demo", version, fakeImage(1, 8192)), "beta")
	}
	next := makeRelease(t, "demo", "10", fakeImage(1, 8192))
	for _, test := range []struct{ deltas, want int }{{0, 3}, {9, 8}} {
		c := &counting{Reporter: progress.Silent(), prefix: "decode "}
		here := cfg
		here.Progress = c
		r, unlock, err := open(here)
		check(t, err)
		folder := must[*releaseFolder](t)(readReleaseFolder(next))
		must[[]leafHashes](t)(r.history(t.Context(), folder.release, r.compared(folder.release, test.deltas)))
		unlock()
		if c.n != test.want {
			t.Errorf("with %d deltas: compared with %d, want %d", test.deltas, c.n, test.want)
		}
	}
}
