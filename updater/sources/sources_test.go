package sources

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/proa-os/proa/fetch"
	"github.com/proa-os/proa/manifests"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var (
	content = bytes.Repeat([]byte("0123456789"), 1000)
	file    = manifests.FetchFile{Size: int64(len(content)), Digest: manifests.DigestOf(content)}
	part    = manifests.FetchFile{Size: 500, Digest: manifests.DigestOf(content[100:600])}
)

// serve is a source that answers with handler, and counts.
func serve(t testing.TB, s *Set, kind Kind, handler http.HandlerFunc) *int {
	t.Helper()
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		handler(w, r)
	}))
	t.Cleanup(server.Close)
	client, err := fetch.New(fetch.Config{Base: server.URL, Patience: fetch.Patience{Window: time.Second, Attempts: 1}})
	check(t, err)
	s.Add(kind, server.URL, client)
	return &asked
}

func good(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/"+manifests.ArtifactPath(file.Digest) {
		http.NotFound(w, r)
		return
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}

func lying(w http.ResponseWriter, r *http.Request) {
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(bytes.ToUpper(bytes.ReplaceAll(content, []byte("5"), []byte("x")))))
}

func otherVersion(w http.ResponseWriter, r *http.Request) {
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content[1:]))
}

func stalling(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

func broken(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }

func TestWhatANeighbourDoesWrongCostsOnlyTheNextSource(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{
		"missing": http.NotFound, "lying": lying, "other version": otherVersion, "stalling": stalling, "broken": broken,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var set Set
			asked := serve(t, &set, Neighbour, handler)
			serve(t, &set, Repository, good)
			for range 10 {
				got, err := set.Bytes(t.Context(), file, 100, part)
				check(t, err)
				if !bytes.Equal(got, content[100:600]) {
					t.Fatal("other bytes")
				}
			}
			if name == "missing" {
				if *asked != 10 || len(set.Notes()) != 0 {
					t.Errorf("asked %d times; notes %q", *asked, set.Notes())
				}
				return
			}
			if *asked > weightMost || len(set.Notes()) != 1 || !strings.Contains(set.Notes()[0], "neighbour http://127.0.0.1:") {
				t.Errorf("asked %d times; notes %q", *asked, set.Notes())
			}
			if set.Received(Repository) != 10*part.Size {
				t.Errorf("%d bytes came from the repository", set.Received(Repository))
			}
		})
	}
}

func TestTheFirstSourceThatHasItIsTheOnlyOneThatIsAsked(t *testing.T) {
	var set Set
	serve(t, &set, Folder, http.NotFound)
	serve(t, &set, Neighbour, good)
	asked := serve(t, &set, Repository, good)
	_, err := set.Bytes(t.Context(), file, 100, part)
	check(t, err)
	if holder := set.Holder(t.Context(), file); holder != set[1] {
		t.Errorf("holder %+v", holder)
	}
	if *asked != 0 || set.Received(Neighbour) != part.Size+1 {
		t.Errorf("repository asked %d times, %d bytes from the neighbour", *asked, set.Received(Neighbour))
	}
	if holder := set.Holder(t.Context(), manifests.FetchFile{Size: 5, Digest: part.Digest}); holder != nil {
		t.Errorf("%+v holds what nobody has", holder)
	}
}

func TestTheRepositorysErrorIsTheOneThatCounts(t *testing.T) {
	for name, test := range map[string]struct {
		handler http.HandlerFunc
		content bool
	}{"lying": {lying, true}, "broken": {broken, false}, "missing": {http.NotFound, false}} {
		var set Set
		serve(t, &set, Neighbour, otherVersion)
		serve(t, &set, Repository, test.handler)
		for range 3 { // it is asked however often it failed
			_, err := set.Bytes(t.Context(), file, 100, part)
			var network *fetch.Error
			if errors.Is(err, fetch.ErrContent) != test.content || errors.As(err, &network) == test.content {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	var set Set
	serve(t, &set, Repository, good)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := set.Bytes(ctx, file, 100, part); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// A neighbour that is off costs the time of an attempt to connect, which is long.
func TestANeighbourThatIsOffIsAskedOnce(t *testing.T) {
	var set Set
	client, err := fetch.New(fetch.Config{Base: "http://127.0.0.1:1", Patience: fetch.Patience{Attempts: 1}})
	check(t, err)
	set.Add(Neighbour, "http://127.0.0.1:1", client)
	serve(t, &set, Repository, good)
	_, err = set.Bytes(t.Context(), file, 100, part)
	check(t, err)
	if notes := set.Notes(); len(notes) != 1 || !strings.Contains(notes[0], "was given up") {
		t.Errorf("notes %q after it was asked once", notes)
	}
}
