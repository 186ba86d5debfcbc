package signing

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/signing/forge"
)

var start = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// testRepository is a real repository folder behind a real server.
type testRepository struct {
	*forge.Repository // in other hands, with the keys that it began with
	t                 *testing.T
	folder            string
	keys              Keys
	meta              *Metadata
	now               time.Time
	server            *httptest.Server
	// answer, when set, may answer a request in the server's place.
	answer func(w http.ResponseWriter, r *http.Request) bool
}

func newKeys(t *testing.T, roots int) Keys {
	t.Helper()
	folder := t.TempDir()
	for _, role := range Roles() {
		n := 1
		if role == RoleRoot {
			n = roots
		}
		for i := range n {
			if _, err := CreateKeyFile(filepath.Join(folder, KeyFileName(role, i+1))); err != nil {
				t.Fatal(err)
			}
		}
	}
	keys, err := LoadKeys(folder)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func newRepository(t *testing.T) *testRepository {
	t.Helper()
	return newRepositoryWith(t, newKeys(t, 1), 1)
}

func newRepositoryWith(t *testing.T, keys Keys, threshold int) *testRepository {
	t.Helper()
	return newRepositoryAt(t, keys, threshold, start)
}

func newRepositoryAt(t *testing.T, keys Keys, threshold int, now time.Time) *testRepository {
	t.Helper()
	meta, err := NewMetadata(keys, threshold)
	if err != nil {
		t.Fatal(err)
	}
	r := &testRepository{t: t, folder: t.TempDir(), keys: keys, meta: meta, now: now}
	r.sign()
	r.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if r.answer == nil || !r.answer(w, req) {
			http.FileServer(http.Dir(r.folder)).ServeHTTP(w, req)
		}
	}))
	t.Cleanup(r.server.Close)
	r.Repository = forge.Open(t, r.folder, keys.folder)
	return r
}

func (r *testRepository) sign() {
	r.t.Helper()
	files, err := r.meta.Sign(r.now, nil, r.keys)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range files {
		r.write("metadata/"+f.Name, f.Content)
	}
}

func (r *testRepository) write(name string, content []byte) {
	r.t.Helper()
	path := filepath.Join(r.folder, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o644); err != nil {
		r.t.Fatal(err)
	}
}

func (r *testRepository) read(name string) []byte {
	r.t.Helper()
	content, err := os.ReadFile(filepath.Join(r.folder, name))
	if err != nil {
		r.t.Fatal(err)
	}
	return content
}

// publish adds one target and signs.
func (r *testRepository) publish(name, content string) {
	r.t.Helper()
	if err := r.meta.SetTarget(name, []byte(content)); err != nil {
		r.t.Fatal(err)
	}
	digest := manifests.DigestOf([]byte(content))
	r.write(TargetPath(name, digest[:]), []byte(content))
	r.sign()
}

// host is a client with a folder of its own, which outlives it.
type host struct {
	config Config
}

func (r *testRepository) newHost() *host {
	return &host{Config{
		URL:  r.server.URL,
		Dir:  filepath.Join(r.t.TempDir(), "trusted"),
		Root: r.read("metadata/1.root.json"),
		Now:  func() time.Time { return r.now },
	}}
}

// refresh is one run of a host: open, refresh.
func (h *host) refresh(t *testing.T) (*Client, error) {
	t.Helper()
	c, err := OpenClient(h.config)
	if err != nil {
		return nil, err
	}
	return c, c.Refresh(t.Context())
}

func (h *host) mustRefresh(t *testing.T) *Client {
	t.Helper()
	c, err := h.refresh(t)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// trusted is every file in the host's folder.
func (h *host) trusted(t *testing.T) map[string]string {
	t.Helper()
	state := map[string]string{}
	entries, err := os.ReadDir(h.config.Dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		content, err := os.ReadFile(filepath.Join(h.config.Dir, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		state[entry.Name()] = string(content)
	}
	return state
}

func mustFetch(t *testing.T, c *Client, name, want string) {
	t.Helper()
	got, err := c.Fetch(context.Background(), name)
	if err != nil {
		t.Fatal(err)
	}
	if got.Name() != name || string(got.Bytes()) != want {
		t.Fatalf("fetched %q %q, want %q %q", got.Name(), got.Bytes(), name, want)
	}
}

func wantError(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error %v, want %v", err, want)
	}
	t.Logf("refused: %v", err)
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("error of several lines: %q", err)
	}
}
