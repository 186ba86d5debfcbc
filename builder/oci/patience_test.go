package oci_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/compression"

	"github.com/proa-os/proa/builder/content"
	"github.com/proa-os/proa/builder/oci"
	"github.com/proa-os/proa/builder/tarball/tartest"
	"github.com/proa-os/proa/builder/tree"
	"github.com/proa-os/proa/fetch"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/progress"
)

// noise does not compress.
func noise(n int) []byte {
	data := make([]byte, n)
	random := rand.NewChaCha8([32]byte{1})
	_, _ = random.Read(data)
	return data
}

type answer = func(w http.ResponseWriter, r *http.Request, registry http.Handler)

// recorded is what the registry would answer.
func recorded(r *http.Request, registry http.Handler) (http.Header, []byte) {
	w := &memory{header: http.Header{}}
	registry.ServeHTTP(w, r)
	return w.header, w.Bytes()
}

type memory struct {
	bytes.Buffer
	header http.Header
}

func (m *memory) Header() http.Header { return m.header }
func (m *memory) WriteHeader(int)     {}

func isBlob(r *http.Request) bool { return strings.Contains(r.URL.Path, "/blobs/") }

func isManifest(r *http.Request) bool { return strings.Contains(r.URL.Path, "/manifests/") }

// first misbehaves the first n times that it applies, and for ever when n < 0.
func first(n int64, applies func(*http.Request) bool, how answer) answer {
	var count atomic.Int64
	return func(w http.ResponseWriter, r *http.Request, registry http.Handler) {
		if applies(r) && (n < 0 || count.Add(1) <= n) {
			how(w, r, registry)
			return
		}
		registry.ServeHTTP(w, r)
	}
}

func status(code int, header ...string) answer {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
	}
}

func reset(http.ResponseWriter, *http.Request, http.Handler) { panic(http.ErrAbortHandler) }

// cut breaks the connection after half of what there is to send.
func cut(w http.ResponseWriter, r *http.Request, registry http.Handler) {
	header, data := recorded(r, registry)
	for name, values := range header {
		w.Header()[name] = values
	}
	if r.Header.Get("Range") != "" {
		w.WriteHeader(http.StatusPartialContent)
	}
	_, _ = w.Write(data[:len(data)/2])
	w.(http.Flusher).Flush()
	panic(http.ErrAbortHandler)
}

// withoutRanges sends everything, whatever was asked for.
func withoutRanges(inner answer) answer {
	return func(w http.ResponseWriter, r *http.Request, registry http.Handler) {
		r.Header.Del("Range")
		inner(w, r, registry)
	}
}

func TestARegistryThatStumblesIsAskedAgain(t *testing.T) {
	s := openShop(t)
	big := tartest.Archive(tartest.File("a", string(noise(200_000))))
	reference := s.push(t, "a:1", compressed(t, "amd64", compression.None, big))
	want, err := pull(t, reference, nil)
	if err != nil {
		t.Fatal(err)
	}
	anything := func(*http.Request) bool { return true }
	for name, how := range map[string]answer{
		"429":                    first(2, anything, status(429, "Retry-After", "0")),
		"503 until a date":       first(2, anything, status(503, "Retry-After", time.Now().UTC().Format(http.TimeFormat))),
		"500":                    first(2, isBlob, status(500)),
		"502":                    first(2, isManifest, status(502)),
		"reset":                  first(2, isBlob, reset),
		"reset of manifests":     first(2, isManifest, reset),
		"cut":                    first(2, isBlob, cut),
		"cut manifests":          first(2, isManifest, cut),
		"cut, without ranges":    withoutRanges(first(2, isBlob, cut)),
		"cut at every beginning": first(-1, func(r *http.Request) bool { return isBlob(r) && r.Header.Get("Range") == "" }, cut),
	} {
		s.misbehave(how)
		for _, kept := range []oci.Cache{nil, openCache(t)} {
			got, err := pull(t, reference, kept)
			check(t, name, got, err, want...)
		}
	}
	for name, how := range map[string]answer{
		"500 for ever":   first(-1, isBlob, status(500)),
		"429 for ever":   first(-1, isManifest, status(429)),
		"429 for a year": first(-1, isManifest, status(429, "Retry-After", "31536000")),
		"reset for ever": first(-1, isBlob, reset),
		"half for ever":  withoutRanges(first(-1, isBlob, cut)),
	} {
		s.misbehave(how)
		before := s.requests.Load()
		if _, err := pull(t, reference, openCache(t)); err == nil || !strings.Contains(err.Error(), reference) && !strings.HasPrefix(err.Error(), "image: ") {
			t.Errorf("%s: error %v: want one that names the image", name, err)
		}
		if n := s.requests.Load() - before; n > 20 {
			t.Errorf("%s: asked %d times", name, n)
		}
	}
}

func TestARegistryThatLiesIsRefused(t *testing.T) {
	s := openShop(t)
	layer := tartest.Archive(tartest.File("a", string(noise(100_000))))
	reference := s.push(t, "a:1", compressed(t, "amd64", compression.None, layer))
	other := s.push(t, "other:1", compressed(t, "amd64", compression.None, tartest.Archive(tartest.File("a", string(noise(100_001))))))
	_, foreign, _ := strings.Cut(other, "/")
	rewritten := func(change func(header http.Header, data []byte) []byte) answer {
		return func(w http.ResponseWriter, r *http.Request, registry http.Handler) {
			r.Header.Del("Range")
			header, data := recorded(r, registry)
			data = change(header, data)
			for name, values := range header {
				w.Header()[name] = values
			}
			_, _ = w.Write(data)
		}
	}
	chunked := func(change func([]byte) []byte) answer {
		return rewritten(func(h http.Header, data []byte) []byte {
			h.Del("Content-Length")
			return change(data)
		})
	}
	anotherManifest := func(w http.ResponseWriter, r *http.Request, registry http.Handler) {
		r.URL.Path = "/v2/" + strings.Replace(foreign, ":", "/manifests/", 1)
		registry.ServeHTTP(w, r)
	}
	endless := func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		for piece := bytes.Repeat([]byte(" "), 1<<16); ; {
			if _, err := w.Write(piece); err != nil {
				return
			}
		}
	}
	locked := mustResolve(t, reference)
	isLayer := func(r *http.Request) bool { return strings.Contains(r.URL.Path, locked.Layers[0].Digest.Hex()) }
	isTag := func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/manifests/1") }
	replace := func(old, new string) answer {
		return rewritten(func(h http.Header, data []byte) []byte {
			h.Del("Content-Length")
			h.Del("Docker-Content-Digest")
			return bytes.ReplaceAll(data, []byte(old), []byte(new))
		})
	}
	for _, c := range []struct {
		name, message string
		applies       func(*http.Request) bool
		how           answer
	}{
		{"another layer", "want sha256:", isLayer, chunked(func(d []byte) []byte { d[len(d)/2]++; return d })},
		{"a shorter layer", "the connection broke after", isLayer, chunked(func(d []byte) []byte { return d[:len(d)-1] })},
		{"an empty layer", "the registry sends 0 bytes", isLayer, chunked(func([]byte) []byte { return nil })},
		{"a layer said to be longer", "the registry sends 101889 bytes: want 101888", isLayer, rewritten(func(h http.Header, d []byte) []byte {
			h.Set("Content-Length", strconv.Itoa(len(d)+1))
			return append(d, 0)
		})},
		{"an endless layer", "", isLayer, endless},
		{"an endless manifest", "more than 4194304 bytes", isTag, endless},
		{"another manifest", "its digest is", func(r *http.Request) bool { return strings.Contains(r.URL.Path, "/manifests/sha256:") }, anotherManifest},
		{"a manifest with another digest in the header", "the registry says that its digest", isTag, rewritten(func(h http.Header, d []byte) []byte {
			h.Set("Docker-Content-Digest", manifests.DigestOf(nil).String())
			return d
		})},
		{"a manifest that is cut", "parsing", isTag, replace("}]}", "")},
		{"schema 1", "schema 1", isTag, replace(`"schemaVersion":2`, `"schemaVersion":1`)},
		{"an index and an image", "an index and an image at once", isTag, replace(`"schemaVersion":2`, `"schemaVersion":2,"manifests":[]`)},
		{"two types", "it says itself", isTag, replace("vnd.oci.image.manifest.v1", "vnd.docker.distribution.manifest.v2")},
		{"a foreign layer", "foreign layer", isTag, replace("image.layer.v1.tar", "image.layer.nondistributable.v1.tar")},
		{"an encrypted layer", "layer of type", isTag, replace("image.layer.v1.tar", "image.layer.v1.tar+encrypted")},
		{"a layer with a digest of another kind", "", isTag, replace(`"layers":[{`, `"layers":[{"digest":"sha512:`+strings.Repeat("0", 128)+`"},{`)},
		{"2001 of them", "2001 layers: want at most 1024", isTag, replace(`"layers":[`, `"layers":[`+strings.Repeat(layerText(locked)+",", 2000))},
		{"100001 of them", "more than 4194304 bytes", isTag, replace(`"layers":[`, `"layers":[`+strings.Repeat(layerText(locked)+",", 100_000))},
		{"html", "neither an image nor an index", isTag, rewritten(func(h http.Header, _ []byte) []byte {
			h.Set("Content-Type", "text/html")
			h.Del("Content-Length")
			h.Del("Docker-Content-Digest")
			return []byte("{}")
		})},
		{"an endless greeting", "", func(r *http.Request) bool { return r.URL.Path == "/v2/" }, func(w http.ResponseWriter, r *http.Request, h http.Handler) { endless(w, r, h) }},
		{"endless redirects", "more than 5 redirects", isTag, func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
			http.Redirect(w, r, r.URL.Path, http.StatusFound)
		}},
		{"a redirect to plain http elsewhere", "want https", isTag, func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
			http.Redirect(w, r, "http://registry.example/", http.StatusFound)
		}},
		{"words for the terminal", `"\x1b[2J"`, isTag, func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprintf(w, `{"errors":[{"code":"X","message":"\u001b[2J"}]}`)
		}},
	} {
		s.misbehave(first(-1, c.applies, c.how))
		for _, kept := range []oci.Cache{nil, openCache(t)} {
			image := locked
			var err error
			if strings.Contains(c.name, "layer") && !strings.HasPrefix(c.message, "foreign") || c.name == "another manifest" {
				_, err = addLocked(t, image, kept)
			}
			if err == nil {
				_, err = pull(t, reference, kept)
			}
			if c.name == "an endless greeting" {
				if err != nil {
					t.Errorf("%s: %v", c.name, err)
				}
				continue
			}
			message := c.message
			if kept != nil && message == "want sha256:" {
				message = "content differs from its digest"
			}
			wantError(t, c.name, err, message)
		}
	}
}

// layerText is a layer as a manifest has it.
func layerText(image manifests.LockedImage) string {
	text, _ := json.Marshal(image.Layers[0])
	return string(text)
}

func TestARegistryThatStallsIsGivenUp(t *testing.T) {
	s := openShop(t)
	reference := s.push(t, "a:1", compressed(t, "amd64", compression.None, tartest.Archive(tartest.File("a", string(noise(100_000))))))
	locked := mustResolve(t, reference)
	done := make(chan struct{})
	defer close(done)
	stall := func(body int) answer {
		return func(w http.ResponseWriter, r *http.Request, registry http.Handler) {
			r.Header.Del("Range")
			header, data := recorded(r, registry)
			for name, values := range header {
				w.Header()[name] = values
			}
			if body >= 0 {
				_, _ = w.Write(data[:body])
				w.(http.Flusher).Flush()
			}
			select {
			case <-done:
			case <-r.Context().Done():
			}
		}
	}
	remote := impatient
	remote.Patience.Window, remote.Patience.Attempts = 200*time.Millisecond, 2
	store, err := content.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	for what, how := range map[string]answer{"no header": stall(-1), "no body": stall(0), "some body": stall(100)} {
		s.misbehave(first(-1, func(r *http.Request) bool { return isBlob(r) }, how))
		err = oci.AddLocked(t.Context(), store, tree.New(), oci.LockedConfig{Name: "image", Image: locked, Arch: manifests.AMD64, Remote: remote})
		if err == nil || !strings.Contains(err.Error(), "too slow") && !strings.Contains(err.Error(), "timeout") {
			t.Errorf("%s: %v", what, err)
		}
	}
	remote.Patience = fetch.Patience{Window: time.Hour}
	for what, how := range map[string]answer{"no header": stall(-1), "some body": stall(100), "later": status(503, "Retry-After", "59")} {
		ctx, cancel := context.WithCancel(t.Context())
		s.misbehave(first(-1, isBlob, func(w http.ResponseWriter, r *http.Request, registry http.Handler) {
			time.AfterFunc(50*time.Millisecond, cancel)
			how(w, r, registry)
		}))
		err = oci.AddLocked(ctx, store, tree.New(), oci.LockedConfig{Name: "image", Image: locked, Arch: manifests.AMD64, Remote: remote})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled, %s: %v", what, err)
		}
	}
}

// memoryWatch is a Reporter that looks at the heap as bytes come in.
type memoryWatch struct{ most, seen atomic.Int64 }

func (m *memoryWatch) Step(string, int64) progress.Step { return m }
func (m *memoryWatch) Done(error)                       {}
func (m *memoryWatch) Add(n int64) {
	if before := m.seen.Add(n) - n; before>>22 == (before+n)>>22 {
		return
	}
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	if now := int64(stats.HeapAlloc); now > m.most.Load() {
		m.most.Store(now)
	}
}

func TestLayersAreNotHeldInMemory(t *testing.T) {
	s := openShop(t)
	data := noise(48 << 20)
	reference := s.push(t, "a:1", compressed(t, "amd64", compression.None, tartest.Archive(tartest.File("a", string(data)))))
	data = nil
	locked := mustResolve(t, reference)
	for _, kept := range []oci.Cache{nil, openCache(t)} {
		runtime.GC()
		var before runtime.MemStats
		runtime.ReadMemStats(&before)
		watch := &memoryWatch{}
		remote := impatient
		remote.Progress = watch
		store, err := content.New(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		err = oci.AddLocked(t.Context(), store, tree.New(), oci.LockedConfig{Name: "image", Image: locked, Arch: manifests.AMD64, Cache: kept, Remote: remote})
		store.Close()
		if err != nil {
			t.Fatal(err)
		}
		if grown := watch.most.Load() - int64(before.HeapAlloc); grown > 24<<20 || watch.seen.Load() < 48<<20 {
			t.Errorf("%d bytes of heap for a layer of %d", grown, watch.seen.Load())
		}
	}
}

func TestAnInterruptedPullGoesOnWhereItWas(t *testing.T) {
	s := openShop(t)
	layer := tartest.Archive(tartest.File("a", string(noise(1<<20))))
	locked := mustResolve(t, s.push(t, "a:1", compressed(t, "amd64", compression.None, layer)))
	kept := openCache(t)
	isLayer := func(r *http.Request) bool { return strings.Contains(r.URL.Path, locked.Layers[0].Digest.Hex()) }
	s.misbehave(first(-1, isLayer, func(w http.ResponseWriter, r *http.Request, registry http.Handler) {
		if r.Header.Get("Range") == "" {
			cut(w, r, registry)
			return
		}
		reset(w, r, registry)
	}))
	if _, err := addLocked(t, locked, kept); err == nil {
		t.Fatal("half a layer accepted")
	}
	var asked atomic.Pointer[string]
	s.misbehave(first(-1, isLayer, func(w http.ResponseWriter, r *http.Request, registry http.Handler) {
		text := r.Header.Get("Range")
		asked.Store(&text)
		registry.ServeHTTP(w, r)
	}))
	if _, err := addLocked(t, locked, kept); err != nil {
		t.Fatal(err)
	}
	if text := asked.Load(); text == nil || *text == "" || strings.HasPrefix(*text, "bytes=0-") {
		t.Errorf("asked for the range %v: want what is missing", text)
	}
}

func TestABlobGoesWhereItIsTold(t *testing.T) {
	s := openShop(t)
	locked := mustResolve(t, s.push(t, "a:1", image(t, "amd64", tartest.Archive(tartest.File("a", "1")))))
	s.misbehave(first(-1, isBlob, func(w http.ResponseWriter, r *http.Request, registry http.Handler) {
		header, data := recorded(r, registry)
		w.Header()["Content-Length"] = header["Content-Length"]
		data[0] ^= 1
		_, _ = io.Copy(w, bytes.NewReader(data))
	}))
	path := filepath.Join(t.TempDir(), "blob")
	err := oci.FetchBlob(t.Context(), locked.Reference, locked.Layers[0], path, impatient)
	wantError(t, "another blob", err, "want sha256:")
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a wrong blob stays: %v", err)
	}
}
