package slots_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/proa-os/proa/partitions/verity"
	"github.com/proa-os/proa/updater/slots"
	"github.com/proa-os/proa/updater/testhost"
)

func TestAnOriginThatFailsCostsTheNextOneOnlyWhatItDidNotGive(t *testing.T) {
	r := testhost.NewRelease(t, testhost.Spec{Version: "1", ChunkSize: 16 << 10})
	frames := int64(len(r.Frames))
	upTo := func(n int) int64 { return r.Chunks[n].Frame }
	for name, test := range map[string]struct {
		first slots.Origin
		want  int64 // bytes from the second
	}{
		"one wrong frame":  {&origin{content: r.Frames, lies: 1}, upTo(1)},
		"two wrong frames": {&origin{content: r.Frames, lies: 2}, upTo(2)},
		"wrong frames":     {&origin{content: r.Frames, lies: 99}, frames},
		"no answer":        {&origin{err: errors.New("nobody there")}, frames},
		"nothing wrong":    {&origin{content: r.Frames}, 0},
	} {
		s := newSlot(t)
		second := &origin{content: r.Frames}
		f := filling(r, nil)
		f.Origins = []slots.Origin{test.first, second}
		fill(t, s, f)
		if got := second.served.Load(); got != test.want {
			t.Errorf("%s: %d bytes of %d came from the second origin: want %d", name, got, frames, test.want)
		}
		if first := test.first.(*origin); first.served.Load() > upTo(3) && first.lies > 3 {
			t.Errorf("%s: %d bytes came from the first", name, first.served.Load())
		}
	}
}

func TestWhatTheLastOriginDoesNotGiveEndsItUnlessItMayBePartial(t *testing.T) {
	r := testhost.NewRelease(t, testhost.Spec{Version: "1", ChunkSize: 16 << 10})
	gone := errors.New("nobody there")
	for name, test := range map[string]struct {
		last *origin
		want error
	}{"no answer": {&origin{err: gone}, gone}, "wrong frames": {&origin{content: r.Frames, lies: 1}, slots.ErrContent}} {
		f := filling(r, nil)
		f.Origins = []slots.Origin{test.last}
		if _, err := newSlot(t).Fill(t.Context(), f); !errors.Is(err, test.want) {
			t.Errorf("%s: error %v: want %v", name, err, test.want)
		}
		f.Partial = true
		f.Origins = []slots.Origin{&origin{content: r.Frames, err: test.last.err, lies: test.last.lies}}
		s := newSlot(t)
		filled, err := s.Fill(t.Context(), f)
		want := r.Root.Size()
		if test.last.lies > 0 {
			want = r.Chunks[0].Size
		}
		if err != nil || filled.Missing != want || !errors.Is(filled.Why, test.want) {
			t.Errorf("%s, partial: %+v, %v: want %d bytes missing", name, filled, err, want)
		}
		// What was left out is all that a second round fetches.
		f.Partial, f.Resume = false, true
		whole := &origin{content: r.Frames}
		f.Origins = []slots.Origin{whole}
		fill(t, s, f)
		if got := whole.served.Load(); test.last.lies > 0 && got != r.Chunks[0].Encoded {
			t.Errorf("%s: %d bytes were fetched", name, got)
		}
	}
}

func TestCopiesComeFromTheActiveSlotWhereItHoldsThem(t *testing.T) {
	r := testhost.NewRelease(t, testhost.Spec{Version: "1", ChunkSize: 16 << 10})
	const shift = 5 * verity.BlockSize
	active := append(make([]byte, shift), r.Image...)
	active[shift+r.Chunks[4].Offset] ^= 1
	f := filling(r, r.Frames)
	f.Active = bytes.NewReader(active[:len(active)-1]) // the last chunk cannot be read
	for _, c := range r.Chunks {
		f.Old = append(f.Old, c.Offset+shift)
	}
	f.Old[2] = -1
	s := newSlot(t)
	filled := fill(t, s, f)
	check(t, s.VerifyFilled(t.Context(), f.Image))
	last := r.Chunks[len(r.Chunks)-1]
	damaged := r.Chunks[4].Size + last.Size
	if filled.Damaged != damaged || filled.Copied != r.Root.Size()-damaged-r.Chunks[2].Size || filled.Decoded != damaged+r.Chunks[2].Size {
		t.Errorf("filled %+v: want %d bytes damaged", filled, damaged)
	}
	if want := r.Chunks[2].Encoded + r.Chunks[4].Encoded + last.Encoded; filled.Fetched != want {
		t.Errorf("%d bytes were fetched: want %d", filled.Fetched, want)
	}
}
