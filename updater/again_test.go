package updater_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/proa-os/proa/fetch"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/updater"
	"github.com/proa-os/proa/updater/hostfs/powercut"
)

// What an update that ended early leaves to the next one.

// Several chunks are worked on at once, so a later one may be in place before an
// earlier one.
func TestKilledWithAnyChunksInPlaceFetchesOnlyTheOthers(t *testing.T) {
	f := newFleet(t)
	size := f.next.Transport.Root.ChunkSize
	begun := &powercut.Recorder{Dir: f.host.Dir, Before: func(_ int, op powercut.Op) error {
		if op.Kind == powercut.Write && int64(len(op.Data)) == size { // the first of them
			return powercut.ErrCut
		}
		return nil
	}}
	if _, err := f.host.Updater(t, begun).Update(context.Background(), updater.UpdateOptions{}); !errors.Is(err, powercut.ErrCut) {
		t.Fatalf("error %v, want it cut", err)
	}
	root := manifests.ArtifactPath(f.next.Transport.Root.Digest)
	for n, chunk := range f.next.Transport.Root.Chunks {
		h := f.host.Copy(t, t.TempDir())
		f.repository.Served(root)
		disk, err := os.OpenFile(h.Path("disk.raw"), os.O_WRONLY, 0)
		check(t, err)
		place := h.Offset(partitions.RoleRootB)
		_, err = disk.WriteAt(f.next.Image, place)
		check(t, err)
		_, err = disk.WriteAt(make([]byte, 4096), place+int64(n)*size)
		check(t, errors.Join(err, disk.Close()))
		_, err = h.Updater(t, quick(h)).Update(context.Background(), updater.UpdateOptions{})
		check(t, err)
		if got := f.repository.Served(root); got != chunk.Size {
			t.Errorf("chunk %d of %d bytes was missing, and %d were fetched", n, chunk.Size, got)
		}
	}
}

// A server that takes requests and says no more holds nobody up for good.
func TestServerThatStallsIsGivenUpAndTheNextUpdateGoesOn(t *testing.T) {
	f := newFleet(t)
	root := manifests.ArtifactPath(f.next.Transport.Root.Digest)
	for name, test := range map[string]struct {
		path string
		sent []byte
	}{
		"before it answers": {"metadata/timestamp.json", nil},
		"in metadata":       {"metadata/timestamp.json", []byte("{")},
		"in content":        {root, f.next.Frames[:f.next.Transport.Root.Chunks[0].Size+10]},
	} {
		t.Run(name, func(t *testing.T) {
			h := f.host.Copy(t, t.TempDir())
			f.repository.Intercept = func(w http.ResponseWriter, r *http.Request) bool {
				if strings.TrimPrefix(r.URL.Path, "/") != test.path {
					return false
				}
				if test.sent != nil {
					w.Write(test.sent)
					http.NewResponseController(w).Flush()
				}
				<-r.Context().Done()
				return true
			}
			settings, err := updater.LoadSettings(h.Path("agent.yaml"))
			check(t, err)
			u, err := updater.New(updater.Config{Host: h.Host(), Settings: settings,
				Patience: fetch.Patience{Window: 100 * time.Millisecond, Attempts: 2, Pause: time.Millisecond}})
			check(t, err)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			_, err = u.Update(ctx, updater.UpdateOptions{})
			var network *updater.NetworkError
			if !errors.As(err, &network) {
				t.Errorf("error %v, want one of the network", err)
			}
			f.repository.Intercept = nil
			f.repository.Served(root)
			_, err = h.Updater(t, quick(h)).Update(context.Background(), updater.UpdateOptions{})
			check(t, err)
			want := f.next.Transport.Root.Size
			if test.path == root {
				want -= f.next.Transport.Root.Chunks[0].Size
			}
			if got := f.repository.Served(root); got > want {
				t.Errorf("%d bytes were missing, and %d were fetched", want, got)
			}
		})
	}
}
