package testhost

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/manifests/chunkindex"
	"github.com/proa-os/proa/partitions/cmdline"
	"github.com/proa-os/proa/partitions/verity"
)

// Product is what the hosts of this package run.
const Product = "boat"

// Release is a small release with everything a repository needs of it. Change
// its parts before Publish, and it is published as changed.
type Release struct {
	Image     []byte // the root image
	Root      verity.Root
	UKI       []byte
	Frames    []byte // the root image as zstd frames
	ChunkSize int64  // of every chunk but the last, in bytes
	Chunks    []chunkindex.Chunk
	State     manifests.State
	Release   manifests.Release
	// Extensions is the zero value of a release without any.
	Extensions manifests.Extensions
	Transport  manifests.Transport
	More       [][]byte // other artifacts to publish
}

// Spec says what a release is to be.
type Spec struct {
	Version       manifests.Version
	SecurityEpoch uint64
	Blocks        int   // of 4096 bytes; 0 means 150
	ChunkSize     int64 // 0 means 64 KiB
	// What it expects of /etc and /var. Optional.
	Migrations []manifests.Migration
	Etc        []manifests.EtcEntry
	// Extensions are the bytes of each extension's image, by its name. Optional.
	Extensions map[string]int
}

// salt is the same for all releases, as it is for the releases of a product.
var salt = bytes.Repeat([]byte{0x5a}, 32)

// NewRelease makes a release whose image depends on its version alone.
func NewRelease(t testing.TB, spec Spec) *Release {
	t.Helper()
	if spec.Blocks == 0 {
		spec.Blocks = 150
	}
	return FromImage(t, spec, Content(string(spec.Version), spec.Blocks*verity.BlockSize))
}

// FromImage makes a release of a root image of whole blocks.
func FromImage(t testing.TB, spec Spec, image []byte) *Release {
	t.Helper()
	if spec.ChunkSize == 0 {
		spec.ChunkSize = 64 << 10
	}
	r := &Release{Image: image, ChunkSize: spec.ChunkSize, State: manifests.State{Schema: 1, Migrations: append([]manifests.Migration{}, spec.Migrations...), Etc: append([]manifests.EtcEntry{}, spec.Etc...)}}
	leaves, err := verity.HashImage(context.Background(), bytes.NewReader(image), uint64(len(image)/verity.BlockSize), salt, 0, nil)
	check(t, err)
	tree, err := verity.NewTree(leaves, salt)
	check(t, err)
	r.Root = tree.Root()
	r.UKI = NewUKI("quiet "+cmdline.Boot{Root: r.Root}.String(), Content("kernel "+string(spec.Version), 20<<10))
	r.Release = manifests.Release{
		Schema: 1, Product: Product, Version: spec.Version, Arch: manifests.AMD64, Epoch: 1700000000, SecurityEpoch: spec.SecurityEpoch,
		Root: manifests.Root{Hash: r.Root.Hash[:], Salt: salt, Blocks: r.Root.Blocks},
		Artifacts: []manifests.Artifact{
			{Name: manifests.RootFile, Size: int64(len(r.Image)), Digest: manifests.DigestOf(r.Image)},
			{Name: manifests.StateFile, Size: int64(len(r.StateText(t))), Digest: manifests.DigestOf(r.StateText(t))},
			{Name: manifests.UKIFile, Size: int64(len(r.UKI)), Digest: manifests.DigestOf(r.UKI)},
		},
	}
	r.addExtensions(t, spec)
	r.encode(t)
	return r
}

// addExtensions makes images whose content depends on their name and the release.
func (r *Release) addExtensions(t testing.TB, spec Spec) {
	if len(spec.Extensions) == 0 {
		return
	}
	r.Extensions = manifests.Extensions{Schema: 1, Product: Product, Version: spec.Version, Arch: manifests.AMD64}
	add := func(name string, content []byte) manifests.Artifact {
		r.More = append(r.More, content)
		a := manifests.Artifact{Name: name, Size: int64(len(content)), Digest: manifests.DigestOf(content)}
		r.Release.Artifacts = append(r.Release.Artifacts, a)
		return a
	}
	for _, name := range slices.Sorted(maps.Keys(spec.Extensions)) {
		x := manifests.Extension{Name: name, Kind: manifests.Sysext, Version: spec.Version, RootHash: bytes.Repeat([]byte{byte(len(name))}, 32)}
		a := add(x.Image(), Content(name+" of "+string(spec.Version), spec.Extensions[name]))
		x.Size, x.Digest = a.Size, a.Digest
		r.Extensions.Extensions = append(r.Extensions.Extensions, x)
	}
	add(manifests.ExtensionsFile, r.ExtensionsText(t))
	slices.SortFunc(r.Release.Artifacts, func(a, b manifests.Artifact) int { return strings.Compare(a.Name, b.Name) })
}

// ExtensionsText is the extensions.json.
func (r *Release) ExtensionsText(t testing.TB) []byte {
	text, err := json.Marshal(r.Extensions)
	check(t, err)
	return text
}

func (r *Release) encode(t testing.TB) {
	encoder, err := zstd.NewWriter(nil)
	check(t, err)
	defer encoder.Close()
	r.Frames = nil
	r.Chunks = nil
	size := int64(len(r.Image))
	for at := int64(0); at < size; at += r.ChunkSize {
		chunk := r.Image[at:min(at+r.ChunkSize, size)]
		frame := encoder.EncodeAll(chunk, nil)
		leaves := verity.LeafHashes(nil, salt, chunk)
		r.Chunks = append(r.Chunks, chunkindex.Chunk{
			Offset: at, Size: int64(len(chunk)), Frame: int64(len(r.Frames)), Encoded: int64(len(frame)),
			First: chunkindex.Tag(leaves), Digest: chunkindex.DigestOf(leaves),
		})
		r.Frames = append(r.Frames, frame...)
	}
	r.Transport = manifests.Transport{Schema: 2, Root: fileOf(r.Frames), Index: fileOf(r.Index()), Deltas: []manifests.Delta{}}
	r.ReplaceUKI(r.UKI)
}

// Index is the chunk index.
func (r *Release) Index() []byte {
	return (&chunkindex.Index{RootHash: r.Root.Hash, Chunks: r.Chunks}).Append(nil)
}

func fileOf(content []byte) manifests.FetchFile {
	return manifests.FetchFile{Size: int64(len(content)), Digest: manifests.DigestOf(content)}
}

// ReplaceUKI gives the release another kernel image.
func (r *Release) ReplaceUKI(uki []byte) {
	old, file := r.Transport.UKI.Digest, fileOf(uki)
	for n, a := range r.Release.Artifacts {
		if a.Digest == old {
			r.Release.Artifacts[n].Size, r.Release.Artifacts[n].Digest = file.Size, file.Digest
		}
	}
	r.UKI = uki
	r.Transport.UKI = manifests.UKI{FetchFile: file, Parts: []manifests.UKIPart{{Size: file.Size, Digest: file.Digest, Root: -1}}}
}

// WriteFolder writes the release as a build does.
func (r *Release) WriteFolder(t testing.TB, dir string) {
	t.Helper()
	check(t, os.MkdirAll(dir, 0o755))
	for name, content := range map[string][]byte{manifests.RootFile: r.Image, manifests.UKIFile: r.UKI, manifests.ReleaseFile: r.Text(t), manifests.StateFile: r.StateText(t)} {
		check(t, os.WriteFile(filepath.Join(dir, name), content, 0o644))
	}
}

// Text is the release.json.
func (r *Release) Text(t testing.TB) []byte {
	text, err := json.Marshal(r.Release)
	check(t, err)
	return text
}

// StateText is the state.json.
func (r *Release) StateText(t testing.TB) []byte {
	text, err := json.Marshal(r.State)
	check(t, err)
	return text
}

// Content is bytes that depend on a name alone and shrink by half under zstd.
func Content(name string, size int) []byte {
	seed := manifests.DigestOf([]byte(name))
	random := rand.NewChaCha8(seed)
	out := make([]byte, size)
	for at := 0; at < size; at += 4096 {
		random.Read(out[at : at+min(2048, size-at)])
	}
	return out
}

// NewUKI is the least of a PE file with a .cmdline section.
func NewUKI(line string, kernel []byte) []byte {
	const headers = 512
	sections := []struct {
		name    string
		content []byte
	}{{".cmdline", []byte(line)}, {".linux", kernel}}
	out := make([]byte, headers)
	copy(out, "MZ")
	binary.LittleEndian.PutUint32(out[0x3c:], 64)
	copy(out[64:], "PE\x00\x00")
	binary.LittleEndian.PutUint16(out[64+6:], uint16(len(sections)))
	for i, s := range sections {
		header := out[64+24+40*i:]
		padded := (len(s.content) + 511) / 512 * 512
		copy(header, s.name)
		binary.LittleEndian.PutUint32(header[8:], uint32(len(s.content)))
		binary.LittleEndian.PutUint32(header[16:], uint32(padded))
		binary.LittleEndian.PutUint32(header[20:], uint32(len(out)))
		out = append(out, append(bytes.Clone(s.content), make([]byte, padded-len(s.content))...)...)
	}
	return out
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
