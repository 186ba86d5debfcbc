package deltas

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/manifests/filemap"
	"github.com/proa-os/proa/partitions/verity"
)

var salt = bytes.Repeat([]byte{7}, 32)

// files are the contents of an image by path.
type files map[string][]byte

// image lays out files as a build does: one after the other at blocks, and a
// listing of them before and behind.
func (f files) image(t testing.TB) Source {
	t.Helper()
	var m filemap.Map
	image := make([]byte, block)
	listing := ""
	for _, path := range slices.Sorted(maps.Keys(f)) {
		if len(f[path]) > 0 {
			m = append(m, filemap.Extent{Offset: int64(len(image)), Size: int64(len(f[path])), Path: path})
		}
		listing += fmt.Sprintf("%s at %08d, %d bytes\n", path, len(image), len(f[path]))
		image = append(image, f[path]...)
		image = append(image, make([]byte, -len(image)&(block-1))...)
	}
	copy(image, fmt.Sprintf("an image of %d bytes", len(image)+len(listing)))
	image = append(image, listing...)
	image = append(image, make([]byte, -len(image)&(block-1))...)
	return source(t, image, m, salt)
}

func source(t testing.TB, image []byte, m filemap.Map, salt []byte) Source {
	t.Helper()
	blocks := uint64(len(image) / block)
	tree, err := verity.NewTree(verity.LeafHashes(nil, salt, image), salt)
	if err != nil {
		t.Fatal(err)
	}
	root := tree.Root()
	return Source{Image: bytes.NewReader(image), Map: m, Root: manifests.Root{Hash: root.Hash[:], Salt: salt, Blocks: blocks}}
}

func (s Source) bytes(t testing.TB) []byte {
	t.Helper()
	b := make([]byte, s.Root.Blocks*block)
	if err := readFull(s.Image, b, 0); err != nil {
		t.Fatal(err)
	}
	return b
}

// made is a delta and its file's content.
type made struct {
	*Made
	file []byte
}

func makeDelta(t testing.TB, old, new Source, workers int) made {
	t.Helper()
	folder := t.TempDir()
	path := filepath.Join(folder, "delta")
	m, err := Make(t.Context(), Making{Old: old, New: new, Path: path, Workers: workers})
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(folder); len(left) != 1 {
		t.Errorf("the folder has %v", left)
	}
	if m.Size != int64(len(file)) || m.Digest != sha256.Sum256(file) || m.HeaderDigest != sha256.Sum256(file[:m.HeaderSize]) {
		t.Errorf("%+v does not describe the file", m)
	}
	if sum := m.Copied + m.Patched; sum != int64(new.Root.Blocks)*block {
		t.Errorf("copied and patched are %d bytes of %d", sum, new.Root.Blocks*block)
	}
	return made{m, file}
}

// apply makes the new image as a host does, out of what old reads and a file.
func apply(old, new Source, file []byte, headerSize int64) ([]byte, error) {
	d, err := ParseHeader(file[:headerSize], old.identity(), new.identity(), int64(len(file)))
	if err != nil {
		return nil, err
	}
	image := make([]byte, new.Root.Blocks*block)
	p := NewPatcher(old.Image, new.Root.Salt)
	for i := range d.Segments {
		s := &d.Segments[i]
		out := image[s.Offset:][:s.Size]
		if s.Copy >= 0 {
			err = readFull(old.Image, out, s.Copy)
		} else {
			_, err = p.Patch(out, s, file[s.Payload.Offset:][:s.Payload.Size])
		}
		if err != nil {
			return nil, err
		}
	}
	return image, nil
}

func checkDelta(t testing.TB, old, new Source, m made) {
	t.Helper()
	got, err := apply(old, new, m.file, m.HeaderSize)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, new.bytes(t)) {
		t.Fatal("does not make the new image")
	}
}

// random is bytes that do not compress.
func random(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// edited is data with some bytes replaced, put in and taken out.
func edited(r *rand.Rand, data []byte, edits int) []byte {
	for range edits {
		at := r.IntN(len(data) + 1)
		end := min(len(data), at+r.IntN(30))
		data = slices.Concat(data[:at], random(r, r.IntN(30)), data[end:])
	}
	return data
}

func system(r *rand.Rand, n int) files {
	f := files{}
	for i := range n {
		f[fmt.Sprintf("usr/lib/part%d/file%d", i%7, i)] = random(r, int(r.ExpFloat64()*20_000))
	}
	return f
}

func TestAChangedFileCostsItsChange(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	f := system(r, 100)
	old := f.image(t)
	f["usr/lib/part3/file3"] = edited(r, random(r, 300_000), 0)
	old = f.image(t)
	f["usr/lib/part3/file3"] = edited(r, f["usr/lib/part3/file3"], 3)
	new := f.image(t)
	m := makeDelta(t, old, new, 2)
	checkDelta(t, old, new, m)
	if m.Size > 1500 {
		t.Errorf("%d bytes", m.Size)
	}
}

func TestFilesOfAnotherVersionAreFoundUnderTheirNewNames(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 1))
	was, is := system(r, 20), files{}
	maps.Copy(is, was)
	for i := range 30 {
		data := random(r, 5000+r.IntN(40_000))
		was[fmt.Sprintf("usr/lib/modules/6.1.0-55-amd64/kernel/fs/m%d.ko", i)] = data
		is[fmt.Sprintf("usr/lib/modules/6.1.0-56-amd64/kernel/fs/m%d.ko", i)] = edited(r, data, 2)
	}
	was["usr/lib/libexample.so.1.2.3"] = random(r, 100_000)
	is["usr/lib/libexample.so.1.4"] = edited(r, was["usr/lib/libexample.so.1.2.3"], 2)
	was["etc/a"] = random(r, 60_000) // found by what is in it
	is["srv/other"] = edited(r, was["etc/a"], 2)
	old, new := was.image(t), is.image(t)
	m := makeDelta(t, old, new, 2)
	checkDelta(t, old, new, m)
	if m.Size > 12_000 {
		t.Errorf("%d bytes", m.Size)
	}
}

func TestAFileIsPairedWithThePathThatDiffersByItsVersion(t *testing.T) {
	old := []area{
		{path: ""}, {n: 1, path: "usr/lib/modules/6.1.0-55-amd64/kernel/a1.ko"}, {n: 1, path: "usr/lib/modules/6.1.0-55-amd64/kernel/a2.ko"},
		{n: 1, path: "usr/lib/libx.so.1.2.3"}, {n: 1, path: "usr/bin/stays"}, {n: 1, path: "opt/old/tool-2.0.txt"}, {n: 1, path: ""},
	}
	new := []area{{path: "usr/bin/stays"}}
	p := newPairing(old, new)
	for path, want := range map[string]string{
		"usr/lib/modules/6.1.0-56-amd64/kernel/a2.ko": "usr/lib/modules/6.1.0-55-amd64/kernel/a2.ko",
		"usr/lib/libx.so.1.3":                         "usr/lib/libx.so.1.2.3",
		"usr/bin/stays":                               "usr/bin/stays",
		"opt/new/tool-10.txt":                         "opt/old/tool-2.0.txt",
		"usr/share/bin/stays":                         "",
		"srv/unknown":                                 "",
	} {
		if got, _ := p.of(area{path: path, n: 1}); got.path != want {
			t.Errorf("%s is paired with %q: want %q", path, got.path, want)
		}
	}
}

func TestAWordInACompressedFileCostsAWord(t *testing.T) {
	r := rand.New(rand.NewPCG(10, 1))
	compressed := func(data []byte) []byte {
		path := filepath.Join(t.TempDir(), "data")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("gzip", "-9nc", path).Output()
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	was, is := system(r, 5), files{}
	maps.Copy(is, was)
	for i := range 4 {
		data := []byte(hex.EncodeToString(random(r, 100_000)))
		was[fmt.Sprintf("usr/share/man/man1/p%d.1.gz", i)] = compressed(data)
		copy(data[160_000:], "another word") // the first blocks stay
		is[fmt.Sprintf("usr/share/man/man1/p%d.1.gz", i)] = compressed(data)
	}
	old, new := was.image(t), is.image(t)
	m := makeDelta(t, old, new, 2)
	checkDelta(t, old, new, m)
	if m.Size > 6000 {
		t.Errorf("%d bytes", m.Size)
	}
}

func TestALongFileIsFoundAgainBehindWhatWasPutIn(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 1))
	data := random(r, 9<<20)
	f := files{"long": data, "other": random(r, 5000)}
	old := f.image(t)
	f["long"] = slices.Concat(data[:1<<20], random(r, 100), data[1<<20:2<<20], data[4<<20:7<<20], data[2<<20:4<<20], data[7<<20+5:])
	new := f.image(t)
	m := makeDelta(t, old, new, 2)
	checkDelta(t, old, new, m)
	if m.Size > 40_000 {
		t.Errorf("%d bytes", m.Size)
	}
}

func TestAnyImageIsMadeOutOfAnyOther(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 1))
	for round := range 12 {
		was := system(r, 1+r.IntN(60))
		is := files{}
		for path, data := range was {
			switch r.IntN(8) {
			case 0:
			case 1:
				is[path+".new"] = data
			case 2, 3:
				is[path] = edited(r, data, 1+r.IntN(20))
			default:
				is[path] = data
			}
		}
		maps.Copy(is, system(r, r.IntN(3)))
		is["zero"] = make([]byte, r.IntN(200_000))
		old, new := was.image(t), is.image(t)
		if round%4 == 1 {
			old.Map, new.Map = nil, nil
		}
		if round%4 == 2 {
			old = source(t, old.bytes(t), old.Map, []byte("another salt"))
		}
		checkDelta(t, old, new, makeDelta(t, old, new, 1+round%3))
	}
}

func TestTheNumberOfWorkersDoesNotChangeADelta(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 1))
	was, is := system(r, 80), files{}
	for path, data := range was {
		is[path] = edited(r, data, r.IntN(3))
	}
	old, new := was.image(t), is.image(t)
	one := makeDelta(t, old, new, 1)
	for _, workers := range []int{2, 4} {
		if again := makeDelta(t, old, new, workers); !bytes.Equal(again.file, one.file) {
			t.Errorf("%d workers make another file", workers)
		}
	}
}
