package main

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"os"
	"os/exec"
	"slices"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/proa-os/proa/deltas"
	"github.com/proa-os/proa/deltas/gnugzip"
	"github.com/proa-os/proa/deltas/packed"
	"github.com/proa-os/proa/deltas/patch"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/manifests/chunkindex"
	"github.com/proa-os/proa/partitions/verity"
	"github.com/proa-os/proa/updater/testhost"
)

// BenchmarkMemoryAtTheBounds is BenchmarkUpdateMemory for what is as large as the
// formats allow: segments of a delta, and the chunks of an index.
func BenchmarkMemoryAtTheBounds(b *testing.B) {
	for name, make := range map[string]func(testing.TB) (old, next *testhost.Release){
		"zstd":     func(t testing.TB) (old, next *testhost.Release) { return largePatches(t, withDictionary) },
		"unpacked": func(t testing.TB) (old, next *testhost.Release) { return largePatches(t, unpacked) },
		"index":    func(t testing.TB) (old, next *testhost.Release) { return manyChunks(t, chunkindex.ChunksMost) },
	} {
		b.Run(name, func(b *testing.B) {
			agent := buildAgent(b, b.TempDir())
			old, next := make(b)
			repository := testhost.NewRepository(b)
			repository.Publish(b, next)
			size := next.Root.Size()>>20 + 1
			peak := int64(0)
			for b.Loop() {
				host := testhost.NewSized(b, repository.URL, repository.Root(b), old, max(size, old.Root.Size()>>20+1))
				out, err := os.CreateTemp(b.TempDir(), "")
				check(b, err)
				cmd := exec.Command(agent, "--host", host.File(b), "--quiet", "--json", "update")
				cmd.Stdout = out
				peak = max(peak, runWatched(b, cmd))
				text, err := os.ReadFile(out.Name())
				check(b, err)
				if byDelta := bytes.Contains(text, []byte(`"path": "delta"`)); byDelta != (len(next.Transport.Deltas) > 0) {
					b.Errorf("the update went another way: %s", text)
				}
				check(b, os.RemoveAll(host.Dir))
			}
			b.ReportMetric(float64(peak)/(1<<20), "MiB-peak")
			if peak > memoryMost {
				b.Errorf("the agent had %d bytes resident: want at most %d", peak, memoryMost)
			}
		})
	}
}

// withDictionary is a patch as large as one may be, of what is half as it was.
func withDictionary(t testing.TB, name string) (from, to []byte, method patch.Method, payload []byte) {
	from = testhost.Content(name, patch.ReferenceMost)
	to = slices.Concat(from[:patch.OutputMost/2], testhost.Content("new "+name, patch.OutputMost/2))
	return from, to, patch.Zstd, compressed(t, from, to)
}

// unpacked is withDictionary of what is in files of gzip.
func unpacked(t testing.TB, name string) (from, to []byte, method patch.Method, payload []byte) {
	old := testhost.Content(name, 15<<19)
	news := slices.Concat(old[:3<<20], testhost.Content("new "+name, 4<<20))
	pack := func(content []byte, size int) (packedUp, asItIs []byte) {
		out, err := gnugzip.Deflate([]byte(gzipHeader), content, 9)
		check(t, err)
		out = binary.LittleEndian.AppendUint32(out, crc32.ChecksumIEEE(content))
		out = binary.LittleEndian.AppendUint32(out, uint32(len(content)))
		tail := make([]byte, size-len(out))
		return append(out, tail...), slices.Concat([]byte(gzipHeader), content, tail)
	}
	from, before := pack(old, patch.ReferenceMost)
	to, after := pack(news, patch.OutputMost)
	table := packed.Table{
		Reference: []packed.Stream{{Skip: len(gzipHeader), Kind: packed.Gzip9}},
		Output:    []packed.Stream{{Skip: len(gzipHeader), Unpacked: len(news), Kind: packed.Gzip9}},
		Unpacked:  len(after),
	}
	return from, to, patch.Unpacked, append(append(table.Append(nil), byte(patch.Zstd)), compressed(t, before, after)...)
}

const gzipHeader = "\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03" // RFC 1952, section 2.3.1

// compressed is a payload of method Zstd.
func compressed(t testing.TB, from, to []byte) []byte {
	t.Helper()
	e, err := zstd.NewWriter(nil, zstd.WithEncoderDictRaw(patch.DictionaryID, from), zstd.WithWindowSize(patch.WindowMost))
	check(t, err)
	defer e.Close()
	return e.EncodeAll(to, nil)
}

// largePatches is a release of which every part is such a patch.
func largePatches(t testing.TB, make func(t testing.TB, name string) (from, to []byte, method patch.Method, payload []byte)) (old, next *testhost.Release) {
	t.Helper()
	const segments = 6
	salt := testhost.NewRelease(t, testhost.Spec{Version: "1.0.0"}).Root.Salt
	var olds, news, payloads []byte
	delta := deltas.Delta{}
	for n := range segments {
		from, to, method, payload := make(t, string(rune('a'+n)))
		delta.Segments = append(delta.Segments, deltas.Segment{
			Offset: int64(len(news)), Size: int64(len(to)), Copy: -1, Method: method,
			References: []deltas.Range{{Offset: int64(len(olds)), Size: int64(len(from))}},
			Payload:    deltas.Range{Size: int64(len(payload))}, Digest: chunkindex.DigestOf(verity.LeafHashes(nil, salt, to)),
		})
		olds, news, payloads = append(olds, from...), append(news, to...), append(payloads, payload...)
	}
	old = testhost.FromImage(t, testhost.Spec{Version: "1.0.0", ChunkSize: 1 << 20}, olds)
	next = testhost.FromImage(t, testhost.Spec{Version: "1.1.0", ChunkSize: 1 << 20}, news)
	delta.From = deltas.Image{RootHash: old.Root.Hash, Blocks: old.Root.Blocks}
	delta.To = deltas.Image{RootHash: next.Root.Hash, Blocks: next.Root.Blocks}
	header := delta.AppendHeader(nil)
	next.AddDelta(old, append(header, payloads...), int64(len(header)))
	return old, next
}

// manyChunks is a release of that many chunks of one block each, half of which the old
// one has at other places.
func manyChunks(t testing.TB, chunks int) (old, next *testhost.Release) {
	t.Helper()
	image := func(first int) []byte {
		out := make([]byte, chunks*manifests.BlockSize)
		for n := range chunks {
			binary.LittleEndian.PutUint64(out[n*manifests.BlockSize:], uint64(first+n+1))
		}
		return out
	}
	old = testhost.FromImage(t, testhost.Spec{Version: "1.0.0", ChunkSize: manifests.ChunkSizeMost}, image(0))
	next = testhost.FromImage(t, testhost.Spec{Version: "1.1.0", ChunkSize: manifests.BlockSize}, image(chunks/2))
	return old, next
}
