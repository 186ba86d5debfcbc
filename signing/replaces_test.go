package signing

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/proa-os/proa/manifests"
)

// How hosts follow to the other repository, a test of the how-to shows.
func TestAReplacedRootStaysForTheImageBefore(t *testing.T) {
	old := newRepository(t)
	h := old.newHost()
	h.mustRefresh(t)
	before := h.trusted(t)
	last, err := ReadRootDraft([]byte(before["root.json"]), nil)
	if err != nil {
		t.Fatal(err)
	}
	former, err := last.Digest()
	if err != nil {
		t.Fatal(err)
	}
	baked := replacing(t, former.String())
	c, err := OpenClient(Config{URL: old.server.URL, Dir: h.config.Dir, Root: baked})
	if err != nil {
		t.Fatal(err)
	}
	if string(c.start) != string(baked) {
		t.Errorf("it does not start from the image's root but from %.100s", c.start)
	}
	if err := c.Refresh(t.Context()); err == nil {
		t.Error("it takes what the replaced repository has signed")
	}
	if err := os.RemoveAll(c.store.folder); err != nil {
		t.Fatal(err)
	}
	if after := h.trusted(t); !maps.Equal(before, after) {
		t.Errorf("the image before finds %v, not %v", after, before)
	}
	h.mustRefresh(t)
}

// replacing is the first root of another repository that says what it replaces.
func replacing(t *testing.T, former string) []byte {
	t.Helper()
	keys := newKeys(t, 1)
	draft, err := FirstRoot(RootChange{Add: keys.public, Expires: time.Now().Add(365 * day)}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	draft.root.Signed.UnrecognizedFields = map[string]any{"x-proa-replaces": former}
	for _, key := range keys.private {
		if err := draft.Sign(key); err != nil && !IsNoRootKey(err) {
			t.Fatal(err)
		}
	}
	content, err := draft.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func TestWhatARootReplacesIsADigest(t *testing.T) {
	dir := t.TempDir()
	_, err := OpenClient(Config{URL: "http://localhost:1", Dir: dir, Root: replacing(t, "../../etc")})
	if !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), "x-proa-replaces") {
		t.Errorf("got %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left over: %v, %v", left, err)
	}
}

func TestOnlyAFirstRootReplaces(t *testing.T) {
	r := newRepository(t)
	first, err := os.ReadFile(filepath.Join(r.folder, "metadata", "1.root.json"))
	if err != nil {
		t.Fatal(err)
	}
	change := RootChange{Expires: r.now.Add(365 * day), Replaces: manifests.DigestOf([]byte("root"))}
	if _, err := NextRoot(first, change, r.now); err == nil || !strings.Contains(err.Error(), "want a first root") {
		t.Errorf("got %v", err)
	}
	change.Replaces = manifests.Digest{}
	// The next roots say what the first one said.
	next, err := NextRoot(replacing(t, manifests.DigestOf([]byte("root")).String()), change, r.now)
	if err != nil {
		t.Fatal(err)
	}
	if s, err := next.Summary(); err != nil || s.Replaces != manifests.DigestOf([]byte("root")) {
		t.Errorf("the next root replaces %s, %v", s.Replaces, err)
	}
}
