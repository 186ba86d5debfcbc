package updater_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"testing"

	"github.com/proa-os/proa/deltas"
	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/updater"
	"github.com/proa-os/proa/updater/hostfs/powercut"
	"github.com/proa-os/proa/updater/testhost"
)

// What a cut in an update by delta leaves to the next one.

// missing is the bytes of the delta that bring what the slot to write does not hold:
// payloads, and gaps between them that are not worth another request.
func (f *fleet) missing(t testing.TB, h *testhost.Host) (size int64) {
	t.Helper()
	const bridge = 4 << 10
	disk, err := os.ReadFile(h.Path("disk.raw"))
	check(t, err)
	slot := disk[h.Offset(partitions.RoleRootB):]
	d := f.next.Transport.Deltas[0]
	header, err := deltas.ParseHeader(f.next.More[0][:d.Header.Size],
		deltas.Image{RootHash: f.old.Root.Hash, Blocks: f.old.Root.Blocks}, deltas.Image{RootHash: f.next.Root.Hash, Blocks: f.next.Root.Blocks}, d.Size)
	check(t, err)
	end := int64(0) // of the last missing payload
	for _, s := range header.Segments {
		if s.Payload.Size == 0 || bytes.Equal(slot[s.Offset:s.Offset+s.Size], f.next.Image[s.Offset:s.Offset+s.Size]) {
			continue
		}
		if gap := s.Payload.Offset - end; end > 0 && gap <= bridge {
			size += gap
		}
		size += s.Payload.Size
		end = s.Payload.Offset + s.Payload.Size
	}
	return size
}

func TestOfADeltaNothingIsFetchedThatIsInTheSlot(t *testing.T) {
	f := newNeighbourly(t, true)
	some := false
	for n := 0; ; n++ {
		h := f.host.Copy(t, t.TempDir())
		_, err := h.Updater(t, &powercut.Recorder{Dir: h.Dir, Before: powercut.CutAfter(n)}).Update(context.Background(), updater.UpdateOptions{})
		if err == nil {
			break
		}
		if !errors.Is(err, powercut.ErrCut) {
			t.Fatalf("operation %d: %v", n, err)
		}
		missing := f.missing(t, h)
		if missing > 0 && missing < f.next.Transport.Deltas[0].Size/2 {
			some = true
		}
		f.repository.Served(f.deltaFile())
		done, err := h.Updater(t, quick(h)).Update(context.Background(), updater.UpdateOptions{})
		check(t, err)
		if done.Result != updater.ResultArmed || done.Path == updater.PathIndex {
			t.Fatalf("killed at operation %d, the rerun: %+v", n, done)
		}
		if got, most := f.repository.Served(f.deltaFile()), f.next.Transport.Deltas[0].Header.Size+missing; got > most {
			t.Errorf("killed at operation %d: %d bytes of the delta were fetched: want %d", n, got, most)
		}
		if booted := h.Boot(t); booted.Release != f.next {
			t.Fatalf("killed at operation %d: booted %s", n, booted.Release.Release.Version)
		}
		check(t, os.RemoveAll(h.Dir))
	}
	if !some {
		t.Error("no cut left a part of it")
	}
}

func TestPowerCutAnywhereInAnUpdateByDeltaConverges(t *testing.T) {
	f := newNeighbourly(t, true)
	cutEverywhere(t, f, func(h *testhost.Host, fs *powercut.Recorder) {
		done, err := h.Updater(t, fs).Update(context.Background(), updater.UpdateOptions{})
		check(t, err)
		if done.Path != updater.PathDelta {
			t.Errorf("done %+v", done)
		}
	}, f.converge)
}
