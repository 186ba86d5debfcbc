package installer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/proa-os/proa/fetch"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/signing"
	"github.com/proa-os/proa/updater/testhost"
)

// published is a repository with a release on channel stable.
func published(t *testing.T, r *testhost.Release) (*testhost.Repository, RepositoryConfig) {
	t.Helper()
	repository := testhost.NewRepository(t)
	repository.Publish(t, r)
	return repository, RepositoryConfig{URL: repository.URL, Root: repository.Root(t), Channel: "stable", Arch: manifests.AMD64}
}

func TestReleasesAreInstalledFromRepositories(t *testing.T) {
	temporary := t.TempDir() // nobody else's
	t.Setenv("TMPDIR", temporary)
	r := newRelease(t, "1.0.0")
	repository, config := published(t, r)
	folder := config
	folder.URL = repository.Dir
	named := config
	named.Product, named.Version, named.Channel = testhost.Product, "1.0.0", ""
	for name, c := range map[string]RepositoryConfig{"web": config, "folder": folder, "by version": named} {
		source, err := OpenRepository(t.Context(), c)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		path := blankFile(t, 128*mib)
		done, err := Install(t.Context(), Config{Source: source, Disk: path})
		if err != nil || done.Version != "1.0.0" {
			t.Errorf("%s: %+v, %v", name, done, err)
		}
		check(t, judge(t, path, r))
		clean(t, path)
		check(t, source.Close())
	}
	left, err := filepath.Glob(filepath.Join(temporary, "proa-install-*"))
	check(t, err)
	if len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestInterruptedDownloadsGoOn has the network fail in the middle of the root image, and
// wants only the rest to be fetched.
func TestInterruptedDownloadsGoOn(t *testing.T) {
	r := newRelease(t, "1.0.0")
	repository, config := published(t, r)
	frames := manifests.ArtifactPath(r.Transport.Root.Digest)
	path := blankFile(t, 128*mib)
	install := func() (Result, error) {
		source, err := OpenRepository(t.Context(), config)
		check(t, err)
		defer source.Close()
		return Install(t.Context(), Config{Source: source, Disk: path})
	}
	broken := false
	repository.Intercept = func(w http.ResponseWriter, request *http.Request) bool {
		switch {
		case !strings.HasSuffix(request.URL.Path, frames):
			return false
		case broken:
			http.Error(w, "gone", http.StatusGone)
			return true
		}
		broken = true
		w.Header().Set("Content-Range", fmt.Sprintf("bytes 0-%d/%d", len(r.Frames)-1, len(r.Frames)))
		w.Header().Set("Content-Length", fmt.Sprint(len(r.Frames)))
		w.WriteHeader(http.StatusPartialContent)
		w.Write(r.Frames[:len(r.Frames)/2])
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	var network *fetch.Error
	if _, err := install(); !errors.As(err, &network) {
		t.Fatalf("error %v", err)
	}
	repository.Intercept = nil
	before := repository.Served(frames)
	done, err := install()
	rest := repository.Served(frames)
	if err != nil || !done.Resumed || before == 0 || rest == 0 || before+rest > int64(len(r.Frames))*5/4 {
		t.Errorf("%d bytes, then %d of %d: %+v, %v", before, rest, len(r.Frames), done, err)
	}
	check(t, judge(t, path, r))
}

func TestOnlyWhatTheRepositoryVouchesForIsInstalled(t *testing.T) {
	r := newRelease(t, "1.0.0")
	repository, config := published(t, r)
	_, stranger := published(t, r)
	other := config
	other.Root = stranger.Root
	if _, err := OpenRepository(t.Context(), other); !errors.Is(err, signing.ErrSignature) && !errors.Is(err, signing.ErrRootChain) {
		t.Errorf("another's root: %v", err)
	}
	for says, change := range map[string]func(*RepositoryConfig){
		"no channel beta for amd64":   func(c *RepositoryConfig) { c.Channel = "beta" },
		"no channel stable for arm64": func(c *RepositoryConfig) { c.Arch = manifests.ARM64 },
		"no version 2.0.0 for amd64":  func(c *RepositoryConfig) { c.Version = "2.0.0" },
		"no such target":              func(c *RepositoryConfig) { c.Product = "ship" },
		"product \"../x\"":            func(c *RepositoryConfig) { c.Product = "../x" },
		"it holds no repository":      func(c *RepositoryConfig) { c.URL = t.TempDir() },
	} {
		c := config
		change(&c)
		if _, err := OpenRepository(t.Context(), c); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("error %v: want one that says %q", err, says)
		}
	}
	for name, digest := range map[string]manifests.Digest{
		"loader": manifests.DigestOf(loader), "kernel": r.Transport.UKI.Digest, "frames": r.Transport.Root.Digest,
	} {
		file := filepath.Join(repository.Dir, manifests.ArtifactPath(digest))
		whole, err := os.ReadFile(file)
		check(t, err)
		writeAt(t, file, int64(len(whole)/2), "changed")
		source, err := OpenRepository(t.Context(), config)
		check(t, err)
		path := blankFile(t, 128*mib)
		if _, err := Install(t.Context(), Config{Source: source, Disk: path}); err == nil {
			t.Errorf("a changed %s is installed", name)
		}
		if judge(t, path, r) == nil {
			t.Errorf("with a changed %s: it boots", name)
		}
		check(t, source.Close())
		check(t, os.WriteFile(file, whole, 0o644))
	}
}

func TestRetractedReleaseIsNotInstalled(t *testing.T) {
	r := newRelease(t, "1.0.0")
	repository, config := published(t, r)
	text, err := json.Marshal(manifests.Notice{
		Schema: 1, Product: testhost.Product, Arch: manifests.AMD64, Version: "1.0.0", Release: manifests.DigestOf(r.Text(t)),
		Retracted: &manifests.Retraction{When: time.Unix(1700000000, 0).UTC(), Reason: "loses /var on NVMe"},
	})
	check(t, err)
	named := config
	named.Product, named.Version, named.Channel = testhost.Product, "1.0.0", ""
	for want, text := range map[string][]byte{
		"loses /var on NVMe":            text,
		"its notice is of release.json": bytes.Replace(text, []byte(manifests.DigestOf(r.Text(t)).Hex()), []byte(manifests.DigestOf(nil).Hex()), 1),
	} {
		repository.SetTarget(t, manifests.NoticeTarget(testhost.Product, manifests.AMD64, "1.0.0"), text)
		for _, config := range []RepositoryConfig{config, named} {
			if _, err := OpenRepository(t.Context(), config); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error %v, want %q", err, want)
			}
		}
	}
}

func TestRepositoriesWithSeveralProductsWantOneNamed(t *testing.T) {
	repository, config := published(t, newRelease(t, "1.0.0"))
	text, err := os.ReadFile(filepath.Join(repository.Dir, "metadata", "1.root.json"))
	check(t, err)
	repository.SetTarget(t, manifests.ChannelTarget("ship", manifests.AMD64, "stable"), text)
	if _, err := OpenRepository(t.Context(), config); !errors.Is(err, ErrProduct) || !strings.Contains(err.Error(), "boat, ship") {
		t.Errorf("error %v", err)
	}
}
