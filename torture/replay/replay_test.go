package replay

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	"github.com/proa-os/proa/torture/writelog"
)

// write is an entry that fills sectors with a letter.
func write(sector, sectors int64, letter byte) writelog.Entry {
	return writelog.Entry{Sector: sector, Sectors: sectors, Data: bytes.Repeat([]byte{letter}, int(sectors)*sectorSize)}
}

var flush = writelog.Entry{Flush: true}

// letters is the first byte of every sector.
func letters(t *testing.T, d *Disk) string {
	t.Helper()
	all, err := io.ReadAll(io.NewSectionReader(d, 0, d.Size()))
	if err != nil {
		t.Fatal(err)
	}
	var out []byte
	for at := 0; at < len(all); at += sectorSize {
		out = append(out, all[at])
	}
	return string(out)
}

func states(t *testing.T, bounds Bounds, writes ...writelog.Entry) (map[string]int, *Disk) {
	t.Helper()
	base := bytes.Repeat([]byte{'.'}, 4*sectorSize)
	d, err := NewDisk(bytes.NewReader(base), int64(len(base)), writes)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	if err := d.Each(0, bounds, 1, func(s State) error {
		seen[fmt.Sprintf("%s %s", s.Way, letters(t, d))]++
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return seen, d
}

func TestEveryWayOfLosingWritesIsVisited(t *testing.T) {
	seen, d := states(t, Bounds{Torn: 8, Each: 8, Reordered: 200},
		write(0, 1, 'a'), flush, write(0, 2, 'b'), write(1, 2, 'c'), write(3, 1, 'd'), flush, write(2, 1, 'e'))
	for _, want := range []string{
		"prefix ....", "prefix a...", "prefix bb..", "prefix bcc.", "prefix bccd", "prefix bced",
		"torn b...", "torn ab..", "torn bbc.", "torn bc..",
		"lost accd", "lost bb.d", "lost bcc.",
		"alone bb..", "alone acc.", "alone a..d",
		"reordered a...", "reordered bccd", "reordered ac.d", "reordered ab.d",
	} {
		if seen[want] == 0 {
			t.Errorf("never %q", want)
		}
		delete(seen, want)
	}
	for got := range seen {
		// What was flushed is there in every later state.
		if state := got[len(got)-4:]; state[0] == '.' {
			t.Errorf("%q has lost what was flushed", got)
		}
	}
	if got := letters(t, d); got != "bced" {
		t.Errorf("in the end: %q", got)
	}
}

func TestFingerprintsAreThoseOfThePartThatIsAskedFor(t *testing.T) {
	base := make([]byte, 4*sectorSize)
	d, err := NewDisk(bytes.NewReader(base), int64(len(base)), []writelog.Entry{write(2, 1, 'x')})
	if err != nil {
		t.Fatal(err)
	}
	left, right := d.Fingerprint(0, 1024), d.Fingerprint(1024, 1024)
	undo := d.apply(d.whole(0))
	if d.Fingerprint(0, 1024) != left || d.Fingerprint(1024, 1024) == right || d.Fingerprint(1500, 1) != d.Fingerprint(1024, 512) {
		t.Error("a write is not seen where it is, or seen where it is not")
	}
	undo()
	if d.Fingerprint(1024, 1024) != right {
		t.Error("a write that was undone is still seen")
	}
}

func TestReadsOfAnyLengthSeeBaseAndWrites(t *testing.T) {
	base := bytes.Repeat([]byte{'.'}, 4*sectorSize)
	d, err := NewDisk(bytes.NewReader(base), int64(len(base)), []writelog.Entry{write(1, 2, 'x'), {Sector: 2, Sectors: 1, Discard: true}})
	if err != nil {
		t.Fatal(err)
	}
	want := bytes.Clone(base)
	copy(want[sectorSize:], bytes.Repeat([]byte{'x'}, sectorSize))
	clear(want[2*sectorSize : 3*sectorSize])
	d.put(d.whole(0))
	d.put(d.whole(1))
	for from := 0; from < len(want); from += 37 {
		for till := from + 1; till <= len(want); till += 101 {
			got := make([]byte, till-from)
			if _, err := d.ReadAt(got, int64(from)); err != nil || !bytes.Equal(got, want[from:till]) {
				t.Fatalf("bytes %d to %d are wrong: %v", from, till, err)
			}
		}
	}
	if _, err := NewDisk(bytes.NewReader(base), int64(len(base)), []writelog.Entry{write(3, 2, 'x')}); err == nil {
		t.Error("a write beyond the end of the disk was taken")
	}
}
