package packed

import (
	"bytes"
	"compress/gzip"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/proa-os/proa/deltas/gnugzip"
)

func text(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	b := make([]byte, n)
	for i := range b {
		b[i] = "etaoin shrdlu\n"[int(r.ExpFloat64()*3)%14]
	}
	return b
}

// file is what gzip makes of data at a level, in whole blocks.
func file(t *testing.T, data []byte, args ...string) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "name")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("gzip", append(args, "-c", path)...).Output()
	if err != nil {
		t.Fatal(err)
	}
	return append(out, make([]byte, -len(out)&4095)...)
}

func TestFilesOfGzipAreUnpackedAndPackedAgain(t *testing.T) {
	for _, args := range [][]string{{"-9", "-n"}, {"-6", "-n"}, {"-9", "-N"}} {
		data := text(1, 50_000)
		packed := file(t, data, args...)
		stream, ok := Find(nil, packed, false, 1<<20)
		if !ok || stream.Unpacked != len(data) {
			t.Fatalf("%v: found %+v", args, stream)
		}
		streams := []Stream{stream}
		unpacked, err := Unpack([]byte("before"), packed, streams, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if unpacked = unpacked[len("before"):]; !bytes.Contains(unpacked, data) {
			t.Fatalf("%v: the data are not in what was unpacked", args)
		}
		out := make([]byte, len(packed))
		if err := Pack(out, unpacked, streams); err != nil || !bytes.Equal(out, packed) {
			t.Errorf("%v: not packed as it was: %v", args, err)
		}
	}
}

func TestSeveralStreamsKeepTheirOrder(t *testing.T) {
	a, b := file(t, text(1, 9000), "-9n"), file(t, text(2, 5000), "-9n")
	all := append(append(bytes.Clone(a), b...), "end"...)
	x, _ := Find(nil, a, false, 1<<20)
	y, _ := Find(nil, b, false, 1<<20)
	tail := len(a) - x.Skip - len(mustPack(t, text(1, 9000)))
	streams := []Stream{x, {Skip: tail + y.Skip, Unpacked: y.Unpacked, Kind: y.Kind}}
	unpacked, err := Unpack(nil, all, streams, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	out := make([]byte, len(all))
	if err := Pack(out, unpacked, streams); err != nil || !bytes.Equal(out, all) {
		t.Errorf("not packed as it was: %v", err)
	}
}

func mustPack(t *testing.T, data []byte) []byte {
	t.Helper()
	out, err := Gzip9.pack(nil, data)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// kernel is an image as "lz4 -l -9" packs one, behind a loader, and where its blocks
// of streams end.
func kernel(t *testing.T, data []byte) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kernel")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("lz4", "-q", "-l", "-9", "-c", path).Output()
	if err != nil {
		t.Fatalf("lz4: %v", err)
	}
	out = append(text(9, 21_000), out...)
	return append(out, make([]byte, -len(out)&4095)...)
}

func TestAKernelIsUnpackedPartByPart(t *testing.T) {
	image := kernel(t, bytes.Repeat(text(8, 3000), 4000)[:9<<20])
	ends := Parts(image)
	if len(ends) != 2 {
		t.Fatalf("streams end at %v: want two", ends)
	}
	first := image[:(ends[0]+4095)&^4095]
	before, second := first[len(first)-4096:], image[len(first):]
	x, ok := Find(nil, first, false, 9<<20)
	if !ok || x.Unpacked != 8<<20 || x.Lost != 0 {
		t.Errorf("first part: found %+v, %v", x, ok)
	}
	checkPart(t, nil, first, x)
	y, ok := Find(before, second, false, 9<<20)
	if !ok || y.Unpacked != 1<<20 || y.Lost != len(first)-ends[0] {
		t.Errorf("second part: found %+v, %v", y, ok)
	}
	checkPart(t, before[len(before)-y.Lost:], second, y)
	if z, ok := Find(nil, append(before, second...), true, 9<<20); !ok || z.Lost != 0 || z.Unpacked != 1<<20 {
		t.Errorf("second part of an old kernel: found %+v, %v", z, ok)
	}
	y.Lost = 1 << 30
	if err := Pack(make([]byte, len(second)), make([]byte, 1<<20), []Stream{y}); err == nil {
		t.Error("a stream that has lost more than it has is packed")
	}
}

// checkPart unpacks and packs a part whose stream begins with lost bytes.
func checkPart(t *testing.T, lost, part []byte, s Stream) {
	t.Helper()
	unpacked, err := Unpack(nil, append(bytes.Clone(lost), part...), []Stream{s}, 10<<20)
	if err != nil {
		t.Fatal(err)
	}
	out := make([]byte, len(part))
	if err := Pack(out, unpacked, []Stream{s}); err != nil || !bytes.Equal(out, part) {
		t.Errorf("not packed as it was: %v", err)
	}
}

func TestStreamsOfOtherCompressorsStay(t *testing.T) {
	var other bytes.Buffer
	w, _ := gzip.NewWriterLevel(&other, 9)
	w.Write(text(3, 100_000))
	w.Close()
	if found, ok := Find(nil, other.Bytes(), false, 1<<20); ok {
		t.Errorf("found %+v", found)
	}
	if _, ok := Find(nil, other.Bytes(), true, 1<<20); !ok {
		t.Error("what only has to be unpacked is not found")
	}
	for _, data := range [][]byte{nil, {0x1f}, []byte("text"), file(t, text(1, 500), "-9n")[:40]} {
		if found, ok := Find(nil, data, true, 1<<20); ok {
			t.Errorf("%.10q: found %+v", data, found)
		}
	}
}

func TestUnpackingStopsAtItsBound(t *testing.T) {
	bomb := file(t, make([]byte, 10<<20), "-9n")
	if found, ok := Find(nil, bomb, true, 1<<20); ok {
		t.Errorf("found %+v", found)
	}
	out, err := Unpack(nil, bomb, []Stream{{Skip: 10, Kind: Gzip9}}, 1<<20)
	if err == nil || cap(out) > 4<<20 {
		t.Errorf("unpacked to %d bytes, %v", len(out), err)
	}
}

func TestStreamsThatAreNotThereAreRefused(t *testing.T) {
	packed := file(t, text(1, 500), "-9n")
	broken := bytes.Clone(packed)
	broken[len(bytes.TrimRight(broken, "\x00"))-6] ^= 1 // in the sums
	for name, c := range map[string]struct {
		data []byte
		s    Stream
	}{
		"behind the data":  {packed, Stream{Skip: len(packed) + 1, Kind: Gzip9}},
		"before the data":  {packed, Stream{Skip: -1, Kind: Gzip9}},
		"an unknown kind":  {packed, Stream{Skip: 10, Kind: 3}},
		"no stream":        {packed, Stream{Skip: 0, Kind: Gzip9}},
		"sums of another":  {broken, Stream{Skip: 10, Kind: Gzip9}},
		"one that is cut":  {packed[:100], Stream{Skip: 10, Kind: Gzip9}},
		"one without sums": {packed[:len(bytes.TrimRight(packed, "\x00"))-8], Stream{Skip: 10, Kind: Gzip9}},
	} {
		if _, err := Unpack(nil, c.data, []Stream{c.s}, 1<<20); err == nil {
			t.Errorf("%s is unpacked", name)
		}
	}
	for name, s := range map[string]Stream{
		"behind the data":      {Skip: 1, Unpacked: 1000, Kind: Gzip9},
		"of negative size":     {Skip: 1, Unpacked: -1, Kind: Gzip9},
		"skipping backwards":   {Skip: -1, Unpacked: 5, Kind: Gzip9},
		"of an unknown kind":   {Unpacked: 5, Kind: 77},
		"of another length":    {Unpacked: 5, Kind: Gzip9},
		"longer than the room": {Unpacked: 900, Kind: Gzip9},
	} {
		if err := Pack(make([]byte, 100), text(4, 900), []Stream{s}); err == nil {
			t.Errorf("a stream %s is packed", name)
		}
	}
}

func TestATableIsReadBack(t *testing.T) {
	want := Table{Unpacked: 1000, Reference: []Stream{{Skip: 1, Kind: 9}, {Skip: 300, Kind: 6}}, Output: []Stream{{Skip: 5, Unpacked: 995, Kind: 9}, {Unpacked: 4, Kind: LZ4, Lost: 7}}}
	data := append(want.Append(nil), "rest"...)
	got, rest, err := ParseTable(data, 1000)
	if err != nil || string(rest) != "rest" || got.Unpacked != 1000 || len(got.Reference) != 2 || got.Reference[1] != want.Reference[1] || got.Output[0] != want.Output[0] || got.Output[1] != want.Output[1] {
		t.Errorf("read back as %+v, %q, %v", got, rest, err)
	}
	if _, _, err := ParseTable(data, 999); err == nil {
		t.Error("a number above the bound is accepted")
	}
	for n := range len(data) - len("rest") {
		if _, _, err := ParseTable(data[:n], 1000); err == nil {
			t.Errorf("the first %d bytes are accepted", n)
		}
	}
}

func FuzzUnpack(f *testing.F) {
	stream, _ := gnugzip.Deflate(nil, text(1, 3000), 9)
	f.Add(Table{Unpacked: 50, Reference: []Stream{{Skip: 3, Kind: 9}}, Output: []Stream{{Skip: 5, Unpacked: 9, Kind: 9}}}.Append(nil), stream)
	f.Fuzz(func(t *testing.T, table, data []byte) {
		const most = 1 << 16
		parsed, _, err := ParseTable(table, most)
		if err != nil {
			return
		}
		out, err := Unpack(nil, data, parsed.Reference, most)
		if len(out) > most {
			t.Fatalf("%d bytes, %v", len(out), err)
		}
		Pack(make([]byte, len(data)), out, parsed.Output)
	})
}
