package updater_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/proa-os/proa/fetch"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/updater"
	"github.com/proa-os/proa/updater/hostfs"
	"github.com/proa-os/proa/updater/hostfs/powercut"
)

// What an update that ended early leaves to the next one.

// Several chunks are worked on at once, so a later one may be in place before an
// earlier one.
func TestKilledWithAnyChunksInPlaceFetchesOnlyTheOthers(t *testing.T) {
	f := newFleet(t)
	size := f.next.ChunkSize
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
	for n, chunk := range f.next.Chunks {
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
		if got := f.repository.Served(root); got != chunk.Encoded {
			t.Errorf("chunk %d of %d bytes was missing, and %d were fetched", n, chunk.Encoded, got)
		}
	}
}

// slotReads counts the bytes that are read of a part of the disk until it is
// written to for the first time.
type slotReads struct {
	hostfs.OS
	from, to int64
	written  atomic.Bool
	bytes    atomic.Int64
}

func (s *slotReads) OpenWritable(name string) (hostfs.File, error) {
	f, err := s.OS.OpenWritable(name)
	if err != nil || filepath.Base(name) != "disk.raw" {
		return f, err
	}
	return slotReader{f, s}, nil
}

type slotReader struct {
	hostfs.File
	seen *slotReads
}

func (r slotReader) ReadAt(p []byte, off int64) (int, error) {
	if off >= r.seen.from && off < r.seen.to && !r.seen.written.Load() {
		r.seen.bytes.Add(int64(len(p)))
	}
	return r.File.ReadAt(p, off)
}

func (r slotReader) WriteAt(p []byte, off int64) (int, error) {
	if off >= r.seen.from && off < r.seen.to {
		r.seen.written.Store(true)
	}
	return r.File.WriteAt(p, off)
}

func TestFirstDownloadReadsOneChunkOfWhatTheSlotHeld(t *testing.T) {
	f := newFleet(t)
	place := f.host.Offset(partitions.RoleRootB)
	reads := &slotReads{from: place, to: place + int64(len(f.next.Image))}
	_, err := f.host.Updater(t, reads).Update(context.Background(), updater.UpdateOptions{})
	check(t, err)
	if got, want := reads.bytes.Load(), f.next.ChunkSize; got != want || !reads.written.Load() {
		t.Errorf("%d bytes of slot b were read before it was written to, want %d", got, want)
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
		"in content":        {root, f.next.Frames[:f.next.Chunks[0].Encoded+10]},
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
				Patience: fetch.Patience{Window: time.Second, Attempts: 2, Pause: time.Millisecond}})
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
				want -= f.next.Chunks[0].Encoded
			}
			if got := f.repository.Served(root); got > want {
				t.Errorf("%d bytes were missing, and %d were fetched", want, got)
			}
		})
	}
}
