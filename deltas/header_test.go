package deltas

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/proa-os/proa/deltas/patch"
)

const block = 4096

// example is a header with a copy, two patched segments with and without
// references, and a copy again, and the size of its file.
func example() (*Delta, int64) {
	d := &Delta{From: Image{RootHash: [32]byte{1}, Blocks: 5000}, To: Image{RootHash: [32]byte{2}}}
	d.Segments = []Segment{
		{Offset: 0, Size: 10 * block, Copy: 20 * block},
		{Offset: 10 * block, Size: 3 * block, Copy: -1, Method: 7, Digest: [16]byte{3}, PayloadDigest: [32]byte{5, 31: 6},
			References: []Range{{4990 * block, 10 * block}, {0, 2 * block}}, Payload: Range{Size: 12}},
		{Offset: 13 * block, Size: patch.OutputMost, Copy: -1, Method: 200, Digest: [16]byte{4}, PayloadDigest: [32]byte{31: 7}, Payload: Range{Size: 100_000}},
		{Offset: 13*block + patch.OutputMost, Size: 87 * block, Copy: 13 * block},
	}
	d.To.Blocks = 100 + patch.OutputMost/block
	return d, placed(d, d.AppendHeader(nil))
}

// placed gives the payloads their places behind the header, and returns the size
// of the file.
func placed(d *Delta, header []byte) int64 {
	end := int64(len(header))
	for i := range d.Segments {
		if s := &d.Segments[i]; s.Copy < 0 {
			s.Payload.Offset = end
			end += s.Payload.Size
		}
	}
	return end
}

func TestAHeaderIsReadBack(t *testing.T) {
	d, size := example()
	got, err := ParseHeader(d.AppendHeader(nil), d.From, d.To, size)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, d) {
		t.Errorf("read back as %+v: want %+v", got, d)
	}
}

func TestRandomHeadersAreReadBack(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 30 {
		d := &Delta{From: Image{RootHash: [32]byte{1}, Blocks: 1 + r.Uint64N(1<<32)}, To: Image{RootHash: [32]byte{2}}}
		from := int64(d.From.Blocks)
		for range 1 + r.IntN(50) {
			s := Segment{Offset: int64(d.To.Blocks) * block, Size: (1 + r.Int64N(64)) * block}
			if r.IntN(2) == 0 && s.Size <= from*block {
				s.Copy = r.Int64N(from-s.Size/block+1) * block
			} else {
				s.Copy, s.Method, s.Digest[15] = -1, patch.Method(r.IntN(256)), byte(r.IntN(256))
				s.PayloadDigest[r.IntN(32)] = byte(r.IntN(256))
				s.Payload.Size = r.Int64N(PayloadMost(s.Size) + 1)
				for range r.IntN(5) {
					n := 1 + r.Int64N(min(from, 400))
					s.References = append(s.References, Range{r.Int64N(from-n+1) * block, n * block})
				}
			}
			d.Segments = append(d.Segments, s)
			d.To.Blocks += uint64(s.Size / block)
		}
		header := d.AppendHeader(nil)
		got, err := ParseHeader(header, d.From, d.To, placed(d, header))
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, d) {
			t.Fatalf("read back as %+v: want %+v", got, d)
		}
	}
}

func TestAChangeOfOneFileInALargeImageIsToldInFewBytes(t *testing.T) {
	const blocks = 160_000
	d := &Delta{From: Image{Blocks: blocks}, To: Image{Blocks: blocks}, Segments: []Segment{
		{Offset: 0, Size: 1 * block, Copy: -1, Method: 1, References: []Range{{0, block}}, Payload: Range{Size: 30}},
		{Offset: 1 * block, Size: 90_000 * block, Copy: 1 * block},
		{Offset: 90_001 * block, Size: 1 * block, Copy: -1, Method: 1, References: []Range{{90_001 * block, block}}, Payload: Range{Size: 100}},
		{Offset: 90_002 * block, Size: 69_998 * block, Copy: 90_002 * block},
	}}
	for i := range d.Segments {
		d.Segments[i].Digest = [16]byte{byte(i), 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
	}
	for i := range d.Segments {
		d.Segments[i].PayloadDigest = sha256.Sum256([]byte{byte(i)})
	}
	if n := len(d.AppendHeader(nil)); n > 220 {
		t.Errorf("%d bytes: want at most 220", n)
	}
}

// frame is a header around a body that somebody made up.
func frame(d *Delta, body []byte) []byte {
	head := append([]byte(magic), d.From.RootHash[:]...)
	return fast.EncodeAll(body, append(head, d.To.RootHash[:]...))
}

var fast = func() *zstd.Encoder {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithEncoderCRC(false), zstd.WithSingleSegment(true))
	if err != nil {
		panic(err)
	}
	return e
}()

// body is columns of these numbers.
func body(numbers ...uint64) []byte {
	var b []byte
	for _, n := range numbers {
		b = binary.AppendUvarint(b, n)
	}
	return b
}

func TestAHeaderThatBreaksARuleIsRefused(t *testing.T) {
	good, size := example()
	header := good.AppendHeader(nil)
	changed := func(change func(*Delta)) []byte {
		d, _ := example()
		change(d)
		return d.AppendHeader(nil)
	}
	from, to := good.From.Blocks, good.To.Blocks
	const far = 1 << 62
	// patched is a header with one patched segment of one block, then a copy.
	patched := func(columns ...uint64) []byte {
		return frame(good, append(body(from, to, 2, 1<<1|1, (to-1)<<1, 0, 1), body(columns...)...))
	}
	behind := patched(append([]uint64{0, 5}, make([]uint64, 16+32+1)...)...) // of digests
	early := patched(append([]uint64{0, 5}, make([]uint64, 16+31)...)...)
	for _, c := range []struct {
		name, want string
		header     []byte
		size       int64
	}{
		{"nothing", "does not begin", nil, size},
		{"another magic", "does not begin", append([]byte("PROADLT1"), header[8:]...), size},
		{"another old image", "from root hash", changed(func(d *Delta) { d.From.RootHash[5]++ }), size},
		{"another new image", "to ", changed(func(d *Delta) { d.To.RootHash[5]++ }), size},
		{"another old length", "image of 5001 blocks", changed(func(d *Delta) { d.From.Blocks++ }), size},
		{"another new length", "blocks: want", changed(func(d *Delta) { d.To.Blocks++ }), size},
		{"a byte behind", "whole zstd frame", append(bytes.Clone(header), 0), size + 1},
		{"a frame behind", "whole zstd frame", append(bytes.Clone(header), header[prefixSize:]...), size},
		{"a file shorter than its header", "with a header", header, int64(len(header)) - 1},
		{"a file longer than its payloads", "payloads end", header, size + 1},
		{"a negative size", "with a header", header, -1},
		{"a segment of no blocks", "not of 1 to", frame(good, body(from, to, 2, 0, to<<1, 0, 0)), size},
		{"a segment that is too long", "not of 1 to", frame(good, body(from, to, 1, (to+1)<<1, 0)), size},
		{"a segment near 2^63", "larger than", frame(good, body(from, to, 1, 1<<63, 0)), size},
		{"segments that end early", "segments of", frame(good, body(from, to, 1, (to-1)<<1, 0)), size},
		{"a copy before the image", "not in the old image", frame(good, body(from, to, 2, 2, (to-1)<<1, 1, 0)), size},
		{"a copy behind the image", "not in the old image", frame(good, body(from, to, 2, 2, (to-1)<<1, 0, 2*(from-1))), size},
		{"a copy of more than the image", "not in the old image", frame(good, body(from, to, 1, to<<1, 2*(from-to+1))), size},
		{"a shift near 2^63", "larger than", frame(good, body(from, to, 1, to<<1, far)), size},
		{"more segments than bytes", "all of them", frame(good, body(from, to, SegmentsMost)), size},
		{"more segments than there may be", "larger than", frame(good, body(from, to, SegmentsMost+1)), size},
		{"a patched segment that is too long", "patched", frame(good, body(from, to, 1, to<<1|1)), size},
		{"more references than bytes", "all of them", patched(ReferencesMost), size},
		{"a reference of no blocks", "within the old image", patched(1, 0, 0, 5), size},
		{"a reference before the image", "within the old image", patched(1, 1, 1, 5), size},
		{"a reference behind the image", "within the old image", patched(1, 2*from, 1, 5), size},
		{"a reference near 2^63", "larger than", patched(1, far, 1, 5), size},
		{"references that are too long", "within the old image", patched(2, 0, 1, patch.ReferenceMost/block, patch.ReferenceMost/block, 5), size},
		{"a payload that is too long", "larger than", patched(0, uint64(PayloadMost(block))+1), size},
		{"a digest that ends early", "ends early", patched(0, 5), int64(len(patched(0, 5))) + 5},
		{"a payload's digest that ends early", "ends early", early, int64(len(early)) + 5},
		{"a byte behind the last column", "behind the last column", behind, int64(len(behind)) + 5},
		{"a number in a longer form", "ends early", frame(good, append(body(from, to, 1), 0x80, 0x00)), size},
		{"a bomb", "not a zstd frame", frame(good, make([]byte, bodyMost+1)), size},
		{"zeros without end", "", frame(good, make([]byte, bodyMost)), size},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := ParseHeader(c.header, good.From, good.To, c.size)
		runtime.ReadMemStats(&after)
		if err == nil {
			t.Errorf("%s is accepted", c.name)
		} else if !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %q: want it to say %q", c.name, err, c.want)
		}
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 24<<20 {
			t.Errorf("%s: %d bytes allocated", c.name, grown)
		}
	}
}

func TestAHeaderThatIsCutIsRefused(t *testing.T) {
	d, size := example()
	header := d.AppendHeader(nil)
	for n := range header {
		if _, err := ParseHeader(header[:n], d.From, d.To, size); err == nil {
			t.Errorf("the first %d bytes of %d are accepted", n, len(header))
		}
	}
}

func FuzzParseHeader(f *testing.F) {
	d, size := example()
	f.Add(d.appendBody(nil), size)
	prefix := d.AppendHeader(nil)[:prefixSize]
	f.Add(body(5000, 1124, 1, 1124<<1, 0), int64(100))
	f.Fuzz(func(t *testing.T, body []byte, size int64) {
		checkParsed(t, frame(d, body), d, size)
		checkParsed(t, append(bytes.Clone(prefix), body...), d, size)
	})
}

// checkParsed fails unless the header is refused or keeps what ParseHeader promises.
func checkParsed(t *testing.T, header []byte, d *Delta, size int64) {
	got, err := ParseHeader(header, d.From, d.To, size)
	if err != nil {
		return
	}
	end, payload := int64(0), int64(len(header))
	for i, s := range got.Segments {
		if s.Offset != end || s.Size <= 0 || s.Size%block != 0 {
			t.Fatalf("segment %d at %d, %d bytes: want it at %d", i, s.Offset, s.Size, end)
		}
		end += s.Size
		took := s.References
		if s.Copy >= 0 {
			took = []Range{{s.Copy, s.Size}}
		} else if s.Size > patch.OutputMost || s.Payload.Offset != payload || s.Payload.Size > PayloadMost(s.Size) {
			t.Fatalf("segment %d: %+v", i, s)
		}
		payload += s.Payload.Size
		sum := int64(0)
		for _, r := range took {
			if r.Offset < 0 || r.Size <= 0 || r.Offset+r.Size > int64(d.From.Blocks)*block || r.Offset%block != 0 || r.Size%block != 0 {
				t.Fatalf("segment %d takes %+v", i, r)
			}
			sum += r.Size
		}
		if s.Copy < 0 && sum > patch.ReferenceMost {
			t.Fatalf("segment %d has references of %d bytes", i, sum)
		}
	}
	if end != int64(d.To.Blocks)*block || payload != size {
		t.Fatalf("segments end at %d, payloads at %d of %d", end, payload, size)
	}
	written := frame(d, got.appendBody(nil))
	again, err := ParseHeader(written, d.From, d.To, size-int64(len(header))+int64(len(written)))
	if err != nil || len(again.Segments) != len(got.Segments) {
		t.Fatalf("written again: %v", err)
	}
}
