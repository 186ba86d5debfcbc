package updater_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/proa-os/proa/fetch"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/partitions/verity"
	"github.com/proa-os/proa/updater"
	"github.com/proa-os/proa/updater/testhost"
)

// newNeighbourly is a host on 1.0.0 and a 1.1.0 that has most of its blocks, at
// other places; with a delta if that is asked for.
func newNeighbourly(t testing.TB, delta bool) *fleet {
	t.Helper()
	const block = verity.BlockSize
	old := testhost.Content("1.0.0", 150*block)
	news := testhost.Content("1.1.0", 40*block)
	next := slices.Concat(old[:16*block], news[:10*block], old[20*block:60*block], news[10*block:20*block], old[60*block:90*block], news[20*block:30*block], old[90*block:])
	copy(next[150*block+100:], "a word in another block") // and one that is much as it was
	f := &fleet{
		repository: testhost.NewRepository(t),
		old:        testhost.FromImage(t, testhost.Spec{Version: "1.0.0", ChunkSize: 4 * block}, old),
		next:       testhost.FromImage(t, testhost.Spec{Version: "1.1.0", ChunkSize: 4 * block}, next),
	}
	if delta {
		content, header := f.next.Delta(t, f.old)
		f.next.AddDelta(f.old, content, header)
	}
	f.host = testhost.New(t, f.repository, f.old)
	f.host.Know(f.next)
	f.repository.Publish(t, f.next)
	return f
}

// rootFile, indexFile and deltaFile are where the repository has the next release.
func (f *fleet) rootFile() string  { return manifests.ArtifactPath(f.next.Transport.Root.Digest) }
func (f *fleet) indexFile() string { return manifests.ArtifactPath(f.next.Transport.Index.Digest) }
func (f *fleet) deltaFile() string { return manifests.ArtifactPath(f.next.Transport.Deltas[0].Digest) }

// differing is the encoded bytes of the chunks whose blocks the old image does not
// have anywhere.
func (f *fleet) differing() (size int64, frames []int64) {
	for _, c := range f.next.Chunks {
		found := false
		for at := int64(0); at+c.Size <= int64(len(f.old.Image)); at += verity.BlockSize {
			found = found || bytes.Equal(f.old.Image[at:at+c.Size], f.next.Image[c.Offset:c.Offset+c.Size])
		}
		if !found {
			size, frames = size+c.Encoded, append(frames, c.Frame)
		}
	}
	return size, frames
}

// installed is an update that must come to the next release.
func (f *fleet) installed(t testing.TB) updater.Updated {
	t.Helper()
	done := f.update(t)
	f.boot(t, partitions.SlotB)
	return done
}

// bridged is the most bytes that requests for a few chunks bring along.
const bridged = 20 * 4 << 10

func TestByIndexOnlyChunksThatTheRunningSlotHasNowhereAreFetched(t *testing.T) {
	f := newNeighbourly(t, false)
	planned, err := f.host.Updater(t, nil).Plan(t.Context())
	check(t, err)
	want, frames := f.differing()
	if len(frames) < 3 || want > int64(len(f.next.Frames)/2) {
		t.Fatalf("%d of %d bytes differ, in %d chunks", want, len(f.next.Frames), len(frames))
	}
	if planned.Path != updater.PathIndex || planned.Download.Root != want || planned.Download.List != f.next.Transport.Index.Size {
		t.Errorf("planned %+v: want %d bytes by the index", planned, want)
	}
	f.repository.Served(f.rootFile())
	done := f.installed(t)
	if got := f.repository.Served(f.rootFile()); got < want || got > want+bridged {
		t.Errorf("%d bytes were fetched: want %d", got, want)
	}
	copied := int64(0)
	for _, part := range planned.Parts {
		if part.From == updater.PartCopied {
			copied = part.Bytes
		}
	}
	if done.Path != updater.PathIndex || done.Copied != copied || copied == 0 || len(done.Notes) > 0 {
		t.Errorf("done %+v: want %d bytes copied", done, copied)
	}
}

func TestByDeltaNothingButTheDeltaIsFetched(t *testing.T) {
	f := newNeighbourly(t, true)
	planned, err := f.host.Updater(t, nil).Plan(t.Context())
	check(t, err)
	for _, name := range []string{f.rootFile(), f.indexFile(), f.deltaFile()} {
		f.repository.Served(name)
	}
	done := f.installed(t)
	if root, index := f.repository.Served(f.rootFile()), f.repository.Served(f.indexFile()); root+index > 0 {
		t.Errorf("%d bytes of the root image and %d of the index were fetched", root, index)
	}
	size := f.next.Transport.Deltas[0].Size
	if got := f.repository.Served(f.deltaFile()); got != size || planned.Download.Root+planned.Download.List != size {
		t.Errorf("%d bytes of the delta were fetched, %d planned: want %d", got, planned.Download.Root+planned.Download.List, size)
	}
	if done.Path != updater.PathDelta || done.Copied == 0 || done.Patched == 0 || done.Copied+done.Patched != f.next.Root.Size() || len(done.Notes) > 0 {
		t.Errorf("done %+v", done)
	}
	if planned.Path != updater.PathDelta || size > int64(len(f.next.Frames)/2) {
		t.Errorf("planned %+v", planned)
	}
}

func TestAPlanWritesNothingThatBoots(t *testing.T) {
	f := newNeighbourly(t, true)
	before := f.host.Bootable(t)
	_, err := f.host.Updater(t, nil).Plan(t.Context())
	check(t, err)
	if !bytes.Equal(f.host.Bootable(t), before) {
		t.Error("the host is not as it was")
	}
	f.installed(t)
	f.judge(t)
	if p, err := f.host.Updater(t, nil).Plan(t.Context()); err != nil || p.News || p.Path != "" {
		t.Errorf("on the newest release: %+v, %v", p, err)
	}
}

func TestDamageOfTheRunningSlotUnderTheCopyCostsOnlyWhatIsDamaged(t *testing.T) {
	for _, delta := range []bool{false, true} {
		f := newNeighbourly(t, delta)
		damage(t, f.host, f.host.Offset(partitions.RoleRootA)+40*verity.BlockSize+7)
		f.repository.Served(f.rootFile())
		done := f.installed(t)
		limit := int64(len(f.next.Frames) / 10) // of its chunk, and those that are partly of what was copied with it
		if !delta {
			limit, _ = f.differing()
			limit += int64(len(f.next.Frames)/10) + bridged
		}
		if got := f.repository.Served(f.rootFile()); got == 0 || got > limit {
			t.Errorf("delta %t: %d bytes of %d were fetched: want at most %d", delta, got, len(f.next.Frames), limit)
		}
		if done.Path != updater.PathIndex || len(done.Notes) == 0 || !strings.Contains(done.Notes[0], "slot a does not hold") {
			t.Errorf("delta %t: %+v", delta, done)
		}
	}
}

func TestADamagedHashTreeOfTheRunningSlotLeadsToTheIndex(t *testing.T) {
	f := newNeighbourly(t, true)
	damage(t, f.host, f.host.Offset(partitions.RoleVerityA)+verity.LeafOffset(f.old.Root.Blocks)+100*verity.HashSize)
	if done := f.installed(t); done.Path != updater.PathIndex || done.Copied == 0 || len(done.Notes) != 1 || !strings.Contains(done.Notes[0], "the delta from 1.0.0 is not used: slot a") {
		t.Errorf("done %+v", done)
	}
}

// A delta that is damaged anywhere costs its bytes, and no more.
func TestADamagedDeltaLeadsToTheSameRelease(t *testing.T) {
	f := newNeighbourly(t, true)
	good, header := f.next.Delta(t, f.old)
	bad := map[string][]byte{"empty payloads": append(bytes.Clone(good[:header]), make([]byte, len(good)-int(header))...), "of noise": testhost.Content("noise", len(good))}
	for at := 0; at < len(good); at += max(1, len(good)/12) {
		flipped := bytes.Clone(good)
		flipped[at] ^= 0x10
		bad["bit at "+string(rune('a'+at*12/len(good)))] = flipped
	}
	for name, content := range bad {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newNeighbourly(t, false)
			f.next.AddDelta(f.old, content, header)
			f.repository.Publish(t, f.next)
			if done := f.installed(t); done.Path != updater.PathIndex || len(done.Notes) == 0 {
				t.Errorf("done %+v", done)
			}
		})
	}
	t.Run("cut", func(t *testing.T) {
		f.repository.Write(t, f.deltaFile(), good[:len(good)-1])
		if done := f.installed(t); done.Path != updater.PathIndex || len(done.Notes) == 0 {
			t.Errorf("done %+v", done)
		}
	})
}

// neighbour is another server, which the host is told of.
func (f *fleet) neighbour(t testing.TB, handler http.HandlerFunc) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	f.host.Configure(t, "neighbours: ["+server.URL+"]\n")
}

func TestANeighbourIsAskedFirstAndNeedsNoTrust(t *testing.T) {
	for name, test := range map[string]struct {
		answer func(f *fleet, w http.ResponseWriter, r *http.Request)
		good   bool
	}{
		"good": {func(f *fleet, w http.ResponseWriter, r *http.Request) {
			http.FileServer(http.Dir(f.repository.Dir)).ServeHTTP(w, r)
		}, true},
		"missing": {func(_ *fleet, w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) }, false},
		"another version": {func(f *fleet, w http.ResponseWriter, r *http.Request) {
			content := bytes.Repeat(f.old.Frames, 2)[:len(f.next.Frames)]
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
		}, false},
		"lying": {func(f *fleet, w http.ResponseWriter, r *http.Request) {
			content, err := os.ReadFile(filepath.Join(f.repository.Dir, filepath.FromSlash(r.URL.Path)))
			if err != nil {
				http.NotFound(w, r)
				return
			}
			for at := 9; at < len(content); at += 1000 {
				content[at] ^= 1
			}
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
		}, false},
		"stalling": {func(_ *fleet, _ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, false},
		"breaking off": {func(f *fleet, w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "100000")
			w.Write(make([]byte, 5))
		}, false},
	} {
		for _, delta := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				f := newNeighbourly(t, delta)
				f.neighbour(t, func(w http.ResponseWriter, r *http.Request) { test.answer(f, w, r) })
				f.repository.Served(f.rootFile())
				settings, err := updater.LoadSettings(f.host.Path("agent.yaml"))
				check(t, err)
				u, err := updater.New(updater.Config{Host: f.host.Host(), Settings: settings,
					Patience: fetch.Patience{Window: time.Second, Attempts: 2, Pause: time.Millisecond}})
				check(t, err)
				done, err := u.Update(t.Context(), updater.UpdateOptions{})
				check(t, err)
				f.boot(t, partitions.SlotB)
				if want := updater.PathIndex; !delta && done.Path != want {
					t.Errorf("done %+v", done)
				}
				served := f.repository.Served(f.rootFile())
				if delta {
					served += f.repository.Served(f.deltaFile())
				}
				if (served == 0) != test.good {
					t.Errorf("delta %t: the repository sent %d bytes", delta, served)
				}
			})
		}
	}
}

func TestAFolderWithTheReleaseSparesTheNetwork(t *testing.T) {
	f := newNeighbourly(t, true)
	f.host.Configure(t, "folders: ["+f.repository.Dir+", /nowhere]\n")
	done := f.installed(t)
	if served := f.repository.Served(f.deltaFile()) + f.repository.Served(f.rootFile()) + f.repository.Served(f.indexFile()); served > 0 || done.Path != updater.PathDelta {
		t.Errorf("the repository sent %d bytes; %+v", served, done)
	}
	// With the frames at hand and the delta far away, the frames are cheaper.
	f = newNeighbourly(t, true)
	shelf := t.TempDir()
	check(t, os.CopyFS(shelf, os.DirFS(f.repository.Dir)))
	check(t, os.Remove(filepath.Join(shelf, filepath.FromSlash(f.deltaFile()))))
	f.host.Configure(t, "folders: ["+shelf+"]\n")
	if done := f.installed(t); done.Path != updater.PathIndex || f.repository.Served(f.rootFile()) > 0 {
		t.Errorf("done %+v", done)
	}
}

// A stick that was not copied in full is noted, and one that is not there is not.
func TestAFolderThatIsDamagedIsNoted(t *testing.T) {
	f := newNeighbourly(t, true)
	damaged, empty := filepath.Join(t.TempDir(), "stick.tar"), t.TempDir()
	check(t, os.WriteFile(damaged, make([]byte, 100), 0o600))
	f.host.Configure(t, "folders: ["+damaged+", "+empty+", /nowhere]\n")
	planned, err := f.host.Updater(t, nil).Plan(t.Context())
	check(t, err)
	if done := f.installed(t); len(done.Notes) != 1 || !slices.Equal(done.Notes, planned.Notes) || !strings.Contains(done.Notes[0], "stick.tar is not used") {
		t.Errorf("notes %q, planned %q", done.Notes, planned.Notes)
	}
}
