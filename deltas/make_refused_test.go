package deltas

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// unread is an old image that nobody may look at.
type unread struct{ t *testing.T }

func (u unread) ReadAt([]byte, int64) (int, error) {
	u.t.Error("the old image is read for a payload that is not what the header says")
	return 0, errors.New("unread")
}

func TestAPayloadWithOneFlippedBitIsRefusedBeforeItIsDecoded(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 1))
	f := files{"a": random(r, 100_000), "b": random(r, 9000)}
	old := f.image(t)
	f["a"], f["b"] = edited(r, f["a"], 40), edited(r, f["b"], 2)
	new := f.image(t)
	m := makeDelta(t, old, new, 1)
	d, err := ParseHeader(m.file[:m.HeaderSize], old.identity(), new.identity(), m.Size)
	if err != nil {
		t.Fatal(err)
	}
	p := NewPatcher(unread{t}, new.Root.Salt)
	refused := 0
	for _, s := range d.patched() {
		out := bytes.Repeat([]byte{0x5a}, int(s.Size))
		untouched := bytes.Clone(out)
		payload := bytes.Clone(m.file[s.Payload.Offset:][:s.Payload.Size])
		for range 50 {
			at, bit := r.IntN(len(payload)), byte(1)<<r.IntN(8)
			payload[at] ^= bit
			if _, err := p.Patch(out, s, payload); err == nil || !strings.Contains(err.Error(), "another one than the header says") {
				t.Errorf("byte %d: %v", at, err)
			}
			payload[at] ^= bit
			refused++
		}
		if !bytes.Equal(out, untouched) {
			t.Error("the output is written")
		}
	}
	if refused == 0 {
		t.Error("the delta has no payloads")
	}
}

func TestDamageOfADeltaIsFoundBeforeAnythingIsWritten(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 1))
	was, is := system(r, 30), files{}
	for path, data := range was {
		is[path] = edited(r, data, r.IntN(3))
	}
	old, new := was.image(t), is.image(t)
	m := makeDelta(t, old, new, 2)
	for range 400 {
		file := bytes.Clone(m.file)
		at := int(m.HeaderSize) + r.IntN(len(file)-int(m.HeaderSize))
		file[at] ^= 1 << r.IntN(8)
		if _, err := apply(old, new, file, m.HeaderSize); err == nil {
			t.Fatalf("byte %d flipped: accepted", at)
		}
	}
	if _, err := apply(old, new, m.file[:len(m.file)-1], m.HeaderSize); err == nil {
		t.Error("a file without its last byte is accepted")
	}
}

func TestADamagedOldImageIsFoundInPatches(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 1))
	f := files{"a": random(r, 100_000)}
	old := f.image(t)
	f["a"] = edited(r, f["a"], 40)
	new := f.image(t)
	m := makeDelta(t, old, new, 1)
	damaged := old.bytes(t)
	damaged[50_000] ^= 1
	broken := old
	broken.Image = bytes.NewReader(damaged)
	if _, err := apply(broken, new, m.file, m.HeaderSize); err == nil || !strings.Contains(err.Error(), "not what its digest says") {
		t.Errorf("%v", err)
	}
}

func TestAnImageThatIsNotWhatItsRootSaysMakesNoDelta(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 1))
	good := system(r, 3).image(t)
	changed := good.bytes(t)
	changed[5000] ^= 1
	bad := good
	bad.Image = bytes.NewReader(changed)
	overlap := good
	overlap.Map = append(slices.Clone(good.Map), good.Map[0])
	short := good
	short.Image = bytes.NewReader(changed[:len(changed)-block])
	for name, c := range map[string]struct {
		old, new Source
		want     string
	}{
		"an old image":   {bad, good, "root hash"},
		"a new image":    {good, bad, "root hash"},
		"a short image":  {short, good, "EOF"},
		"a map":          {good, overlap, "not in order"},
		"a map (of old)": {overlap, good, "not in order"},
	} {
		folder := t.TempDir()
		_, err := Make(t.Context(), Making{Old: c.old, New: c.new, Path: filepath.Join(folder, "delta")})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v: want it to say %q", name, err, c.want)
		}
		if left, _ := os.ReadDir(folder); len(left) != 0 {
			t.Errorf("%s: %v is left", name, left)
		}
	}
}

func TestACancelledDeltaLeavesNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := rand.New(rand.NewPCG(9, 1))
	folder := t.TempDir()
	if _, err := Make(ctx, Making{Old: system(r, 3).image(t), New: system(r, 3).image(t), Path: filepath.Join(folder, "delta")}); err == nil {
		t.Error("is made")
	}
	if left, _ := os.ReadDir(folder); len(left) != 0 {
		t.Errorf("%v is left", left)
	}
}
