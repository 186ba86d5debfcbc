package deb_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/proa-os/proa/builder/deb"
	"github.com/proa-os/proa/builder/openpgp"
	"github.com/proa-os/proa/builder/packages"
	"github.com/proa-os/proa/builder/tree"
	"github.com/proa-os/proa/manifests"
)

// mirror fetches from Debian, and keeps files by their digest.
type mirror struct{ dir string }

func newMirror(t testing.TB) mirror {
	t.Helper()
	dir, err := filepath.Abs("../../.build/debs")
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	return mirror{dir}
}

func (m mirror) Get(ctx context.Context, url string, most int64) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, errors.New(url + ": " + response.Status)
	}
	return io.ReadAll(io.LimitReader(response.Body, most))
}

func (m mirror) File(ctx context.Context, url string, size int64, want packages.Checksum) (string, manifests.Digest, error) {
	digest, err := manifests.ParseDigest(string(want))
	if err != nil {
		return "", digest, err
	}
	path := filepath.Join(m.dir, digest.Hex())
	data, err := os.ReadFile(path)
	if err != nil {
		if data, err = m.Get(ctx, url, size+1); err != nil {
			return "", digest, err
		}
	}
	if manifests.DigestOf(data) != digest || int64(len(data)) != size {
		return "", digest, fmt.Errorf("%s: %d bytes: want %d with %s", url, len(data), size, want)
	}
	temporary := fmt.Sprintf("%s.%d", path, os.Getpid())
	if err := os.WriteFile(temporary, data, 0o644); err != nil {
		return "", digest, err
	}
	return path, digest, os.Rename(temporary, path)
}

// loadDebian loads all that a Debian 12 installation may choose from.
func loadDebian(t *testing.T, m mirror) []packages.Package {
	t.Helper()
	keys, err := openpgp.Read("/usr/share/keyrings/debian-archive-keyring.gpg")
	if err != nil {
		t.Fatal(err)
	}
	var all []packages.Package
	for i, r := range []manifests.DebRepository{
		{URL: "http://deb.debian.org/debian", Suites: []string{"bookworm", "bookworm-updates"}},
		{URL: "http://deb.debian.org/debian-security", Suites: []string{"bookworm-security"}},
	} {
		suites, found, err := deb.Load(t.Context(), m, deb.Config{Repository: r, Keys: keys, Arch: manifests.AMD64, Index: i, Now: time.Now()})
		if err != nil {
			t.Fatal(err)
		}
		if len(suites) != len(r.Suites) || suites[0].Revision == "" {
			t.Errorf("suites %+v", suites)
		}
		all = append(all, found...)
	}
	return all
}

func TestDebianItselfIsLoadedReadAndVerified(t *testing.T) {
	t.Parallel()
	m := newMirror(t)
	all := loadDebian(t, m)
	runtime.GC()
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	if len(all) < 60_000 || memory.HeapAlloc > 600<<20 {
		t.Errorf("%d packages in %d MiB: want more than 60000 in at most 600 MiB", len(all), memory.HeapAlloc>>20)
	}
	wanted, err := deb.Wanted(all, []string{"libc6"}, nil)
	if err != nil || len(wanted) != 25 || wanted[0].Relation.Name != "base-files" || wanted[23].Relation.Name != "util-linux" {
		t.Errorf("wanted %v, %v: want Debian's 23 essential packages, usr-is-merged and libc6", wanted, err)
	}

	names := []string{"base-files", "dash", "libc6", "libpam-modules", "login"}
	var payloads []packages.Payload
	store := newStore(t)
	for _, p := range all {
		if !slices.Contains(names, p.Name) || slices.ContainsFunc(payloads, func(have packages.Payload) bool { return have.Name == p.Name }) {
			continue
		}
		path, _, err := m.File(t.Context(), p.URL, p.Size, p.Checksum)
		if err != nil {
			t.Fatal(err)
		}
		payload, err := deb.Read(t.Context(), store, path, "deb packages")
		if err != nil {
			t.Fatal(err)
		}
		payloads = append(payloads, payload)
	}
	if len(payloads) != len(names) {
		t.Fatalf("%d packages read: want %d", len(payloads), len(names))
	}
	into := tree.New()
	if err := deb.Prepare(into, manifests.AMD64); err != nil {
		t.Fatal(err)
	}
	for _, p := range payloads {
		for _, e := range p.Entries {
			if err := into.Apply(e); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := deb.WriteDatabase(into, payloads); err != nil {
		t.Fatal(err)
	}
	root := export(t, into)
	for _, check := range []string{"--audit", "--verify"} {
		if out := string(tool(t, nil, "dpkg", "--root="+root, check)); strings.Contains(out, "/") {
			t.Errorf("dpkg %s:\n%s", check, out)
		}
	}
	for _, name := range names {
		for path := range strings.Lines(string(tool(t, nil, "dpkg", "--root="+root, "-L", name))) {
			if path = strings.TrimSpace(path); !strings.HasPrefix(path, "/") {
				continue // "package diverts others to"
			}
			if _, there := into.Lookup(path); !there && path != "/." {
				t.Errorf("%s: %s is listed, but not there", name, path)
			}
		}
	}
}
