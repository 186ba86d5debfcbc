package torture

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
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

	mu     sync.Mutex
	honest bool // from the last state alone
	random *rand.Rand
	swaps  int64
}

// answer is what is done to one request.
type answer struct {
	state, other string
	trick        int
	at           float64
}

func (s *swapper) choose() (answer, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := answer{state: s.newest}
	if s.honest {
		return a, false
	}
	s.swaps++
	// Mostly what is right, so that an update gets far.
	a.state, a.other = s.any(), s.any()
	a.trick, a.at = s.random.IntN(80), s.random.Float64()
	if a.trick > 24 {
		a.trick = -1 // none
	} else if a.trick > 10 {
		a.trick = 10 // more often than the others: it has the right form
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
	a, swapping := s.choose()
	name := filepath.Join(a.state, filepath.Clean("/"+r.URL.Path))
	if !swapping {
		http.ServeFile(w, r, name)
		return
	}
	if a.trick == 10 && strings.HasPrefix(r.URL.Path, "/artifacts/") {
		name = s.impostor(name)
	}
	content, err := os.ReadFile(name)
	if err != nil {
		http.Error(w, "no such file", http.StatusNotFound)
		return
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

// impostor is another artifact, as long as the one that was asked for if there
// is such a one.
func (s *swapper) impostor(name string) string {
	asked, err := os.Stat(name)
	if err != nil {
		return name
	}
	for _, other := range s.artifacts {
		if info, err := os.Stat(other); err == nil && info.Size() == asked.Size() && filepath.Base(other) != filepath.Base(name) {
			return other
		}
	}
	return s.artifacts[0]
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
	middle := testhost.NewRelease(t, testhost.Spec{Version: second})
	newest := testhost.NewRelease(t, testhost.Spec{Version: third}) // as long as the other: only digests tell them apart
	repository.Publish(t, middle)
	older := snapshot()
	repository.Publish(t, newest)
	foreign := testhost.NewRepository(t) // with keys of its own
	foreign.Publish(t, testhost.NewRelease(t, testhost.Spec{Version: third, Blocks: 120}))
	s := &swapper{newest: snapshot(), older: older, foreign: foreign.Dir, random: rand.New(rand.NewPCG(seed, 4))}
	var err error
	if s.artifacts, err = filepath.Glob(filepath.Join(s.newest, "artifacts/*/*")); err != nil || len(s.artifacts) < 4 {
		t.Fatalf("artifacts %q, %v", s.artifacts, err)
	}
	serving := newServer(t, s)
	host := testhost.NewSized(t, serving.url, repository.Root(t), ready.old, 1)
	host.Know(middle, newest)
	base := &fleet{agent: ready.agent, host: host, server: serving, old: ready.old, next: newest}

	for wanted := int64(sizeOf(300, 10_000)); s.swaps < wanted; {
		f := base.copy(t)
		s.setHonest(false)
		for range 8 {
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
