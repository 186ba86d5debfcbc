package torture

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/updater/testhost"
)

// swapper serves a repository whose state, and whose honesty, changes between
// any two reads.
type swapper struct {
	newest, older, foreign string   // folders: the repository, at two times, and another one
	artifacts              []string // files of both releases, which are sent in place of each other
	forged                 [][]byte // root files with frames of other content, each as long as the true one
	frame                  int      // the length of each frame but the last

	mu     sync.Mutex
	honest bool // from the last state alone
	random *rand.Rand
	swaps  int64
}

// Tricks that are named; those from 0 to other are in ServeHTTP.
const (
	none  = -1
	other = 10 // other content of the right form
)

// answer is what is done to one request.
type answer struct {
	state, other string  // folders
	trick        int     // none, or which
	at           float64 // where, of the whole
	forged       []byte  // a root file
	one          bool    // forge one frame alone
}

func (s *swapper) choose(path string) (answer, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := answer{state: s.newest}
	if s.honest {
		return a, false
	}
	s.swaps++
	a.state, a.other = s.any(), s.any()
	a.trick, a.at = s.random.IntN(other), s.random.Float64()
	a.forged, a.one = s.forged[s.random.IntN(len(s.forged))], s.random.IntN(2) == 0
	// Mostly what is right, so that an update gets far; and where it has got to
	// content, mostly what has the right form.
	switch n := s.random.IntN(10); {
	case strings.HasPrefix(path, "/artifacts/") && n < 6:
		a.trick = other
	case n > 1:
		a.trick = none
	}
	return a, true
}

func (s *swapper) any() string {
	switch n := s.random.IntN(40); {
	case n == 0:
		return s.foreign
	case n < 4:
		return s.older
	}
	return s.newest
}

// ServeHTTP implements http.Handler.
func (s *swapper) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a, swapping := s.choose(r.URL.Path)
	name := filepath.Join(a.state, filepath.Clean("/"+r.URL.Path))
	if !swapping {
		http.ServeFile(w, r, name)
		return
	}
	content, err := os.ReadFile(name)
	if err != nil {
		http.Error(w, "no such file", http.StatusNotFound)
		return
	}
	if a.trick == other && strings.HasPrefix(r.URL.Path, "/artifacts/") {
		content = s.impostor(name, content, a)
	}
	first, last, ranged := byteRange(r.Header.Get("Range"), len(content))
	body := content[first:last]
	status := http.StatusOK
	if ranged {
		status = http.StatusPartialContent
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", first, last-1, len(content)))
	}
	at := int(a.at * float64(len(body)))
	switch a.trick {
	case 0: // one bit
		body = bytes.Clone(body)
		if at < len(body) {
			body[at] ^= 1 << (len(body) % 8)
		}
	case 1: // the rest comes from another state
		other, err := os.ReadFile(filepath.Join(a.other, filepath.Clean("/"+r.URL.Path)))
		if err == nil && len(other) == len(content) {
			body = append(bytes.Clone(body[:at]), other[first+at:last]...)
		}
	case 2: // it ends early, and says so
		body = body[:at]
	case 3: // it ends early, and says something else
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		body = body[:at]
	case 4: // it does not end
		body = append(bytes.Clone(body), make([]byte, 1<<20)...)
	case 5: // the wrong range
		if ranged && first > 0 {
			body = content[:len(body)]
		}
	case 6: // no range
		if ranged {
			w.Header().Del("Content-Range")
			status, body = http.StatusOK, content
		}
	case 7:
		status, body = http.StatusInternalServerError, nil
	case 8:
		status, body = http.StatusNotFound, nil
	case 9: // no file at all
		body = bytes.Repeat([]byte(strings.Repeat("{", 64)), 64)
	}
	w.WriteHeader(status)
	_, _ = w.Write(body) // the agent may have gone
}

// impostor is other content in place of an artifact. All of it has the right
// form and the right length: only digests can tell it from the true one.
func (s *swapper) impostor(name string, content []byte, a answer) []byte {
	if len(content) == len(a.forged) {
		report.add(forgedFigure, 1)
		if !a.one {
			return a.forged
		}
		start := int(a.at*float64(len(content)/s.frame)) * s.frame
		end := min(start+s.frame, len(content))
		return slices.Concat(content[:start], a.forged[start:end], content[end:])
	}
	for _, other := range s.artifacts {
		read, err := os.ReadFile(other)
		if err == nil && len(read) == len(content) && filepath.Base(other) != filepath.Base(name) {
			return read
		}
	}
	return content
}

const forgedFigure = "swaps: root files forged, of the right form"

// noise is what no compression makes shorter: frames of it have one length.
func noise(name string, size int) []byte {
	out := make([]byte, size)
	rand.NewChaCha8(sha256.Sum256([]byte(name))).Read(out)
	return out
}

// forgeries are root files that decode to something else than the release's
// image: to another release, to its own chunks in another order, to an image with
// one wrong bit in each chunk.
func forgeries(t *testing.T, release, other *testhost.Release) [][]byte {
	t.Helper()
	chunk := int(release.ChunkSize)
	turned, flipped := bytes.Clone(release.Image), bytes.Clone(release.Image)
	copy(turned, release.Image[chunk:2*chunk])
	copy(turned[chunk:], release.Image[:chunk])
	for at := 0; at < len(flipped); at += chunk {
		flipped[at+(at/chunk*4099)%4096] ^= 1 << (at / chunk % 8)
	}
	var all [][]byte
	for _, image := range [][]byte{other.Image, turned, flipped} {
		forged := testhost.FromImage(t, testhost.Spec{Version: third}, image)
		for i, c := range forged.Chunks {
			if c.Encoded != release.Chunks[i].Encoded {
				t.Fatalf("frame %d has %d bytes, and %d in the forgery", i, release.Chunks[i].Encoded, c.Encoded)
			}
		}
		all = append(all, forged.Frames)
	}
	return all
}

// byteRange reads "bytes=5-" and "bytes=5-9".
func byteRange(header string, size int) (first, end int, ok bool) {
	text, ok := strings.CutPrefix(header, "bytes=")
	from, till, cut := strings.Cut(text, "-")
	start, err := strconv.Atoi(from)
	if !ok || !cut || err != nil || start >= size {
		return 0, size, false
	}
	end = size
	if n, err := strconv.Atoi(till); err == nil {
		end = min(size, n+1)
	}
	return start, max(start, end), true
}

// TestAServerThatSwapsWhatItServesGetsNothingUnverifiedIn runs the real
// program against a server that changes metadata, artifacts and ranges between
// any two reads. Every run ends in an error or with a release that is whole, and
// once the server is honest the newest one comes.
func TestAServerThatSwapsWhatItServesGetsNothingUnverifiedIn(t *testing.T) {
	t.Parallel()
	ready := newFleet(t)
	repository := testhost.NewRepository(t)
	snapshot := func() string {
		dir := filepath.Join(t.TempDir(), "state")
		if err := os.CopyFS(dir, os.DirFS(repository.Dir)); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	const size = 150 * 4096
	middle := testhost.FromImage(t, testhost.Spec{Version: second}, noise(second, size))
	newest := testhost.FromImage(t, testhost.Spec{Version: third}, noise(third, size))
	repository.Publish(t, middle)
	older := snapshot()
	repository.Publish(t, newest)
	foreign := testhost.NewRepository(t) // with keys of its own
	foreign.Publish(t, testhost.NewRelease(t, testhost.Spec{Version: third, Blocks: 120}))
	s := &swapper{newest: snapshot(), older: older, foreign: foreign.Dir, random: rand.New(rand.NewPCG(seed, 4)),
		forged: forgeries(t, newest, middle), frame: int(newest.Chunks[0].Encoded)}
	var err error
	if s.artifacts, err = filepath.Glob(filepath.Join(s.newest, "artifacts/*/*")); err != nil || len(s.artifacts) < 4 {
		t.Fatalf("artifacts %q, %v", s.artifacts, err)
	}
	serving := newServer(t, s)
	host := testhost.NewSized(t, serving.url, repository.Root(t), ready.old, 1)
	host.Know(middle, newest)
	base := &fleet{agent: ready.agent, host: host, server: serving, old: ready.old, next: newest}

	// An update asks for many other things before it comes to the root file.
	wanted, forged := int64(sizeOf(300, 10_000)), int64(sizeOf(4, 150))
	for s.swaps < wanted || report.get(forgedFigure) < forged {
		f := base.copy(t)
		s.setHonest(false)
		for n := range 8 {
			r := f.run(t, "update", "--json")
			report.add("swaps: runs", 1)
			if err := oldWhole(t, f); err != nil {
				t.Fatal(err)
			}
			if r.code != 0 {
				report.add("swaps: runs refused", 1)
			}
			after := f.copy(t)
			booted, err := after.host.TryBoot(t)
			switch {
			case err != nil:
				t.Fatalf("after %d swaps: %v\n%s", s.swaps, err, r.output)
			case r.code == 0 && booted.Slot != partitions.SlotB:
				t.Fatalf("an update that ended well boots slot %s\n%s", booted.Slot, r.output)
			case booted.Slot == partitions.SlotB:
				if err := f.whole(t, partitions.SlotB, booted.Release); err != nil {
					t.Fatalf("after %d swaps: armed, and not verified: %v\n%s", s.swaps, err, r.output)
				}
				report.add("swaps: runs that armed what is whole", 1)
			}
			if r.code == 0 && n%2 == 0 {
				break // nothing more is fetched
			}
		}
		s.setHonest(true)
		if r := f.run(t, "update"); r.code != 0 {
			t.Fatalf("after %d swaps, from an honest server: exit code %d\n%s", s.swaps, r.code, r.output)
		}
		if err := f.boots(t, partitions.SlotB, newest); err != nil {
			t.Fatalf("after %d swaps, from an honest server: %v", s.swaps, err)
		}
		report.add("swaps: hosts converged with an honest server", 1)
	}
	report.add("swaps", s.swaps)
}

func (s *swapper) setHonest(honest bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.honest = honest
}
