package download_test

import (
	"bytes"
	"context"
	"crypto/sha512"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/proa-os/proa/builder/cache"
	"github.com/proa-os/proa/builder/download"
	"github.com/proa-os/proa/builder/packages"
	"github.com/proa-os/proa/fetch"
	"github.com/proa-os/proa/manifests"
)

var file = bytes.Repeat([]byte("0123456789abcdef"), 40_000)

func sumOf(data []byte) packages.Checksum {
	return packages.Checksum(manifests.DigestOf(data).String())
}

func fetcher(t *testing.T, dir string, config download.Config) *download.Fetcher {
	t.Helper()
	c, err := cache.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	config.Patience = fetch.Patience{Pause: time.Millisecond}
	f := download.New(c, config)
	t.Cleanup(func() { f.Close(); c.Close() })
	return f
}

// server serves data under any name but /none, and counts what it sends.
func server(t *testing.T, data []byte) (url string, requests, sent *atomic.Int64) {
	t.Helper()
	requests, sent = new(atomic.Int64), new(atomic.Int64)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		if r.URL.Path == "/none" {
			http.NotFound(w, r)
			return
		}
		http.ServeContent(&counter{w, sent}, r, "", time.Time{}, bytes.NewReader(data))
	}))
	t.Cleanup(s.Close)
	return s.URL, requests, sent
}

type counter struct {
	http.ResponseWriter
	n *atomic.Int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.n.Add(int64(n))
	return n, err
}

func mustBring(t *testing.T, f *download.Fetcher, url string, want packages.Checksum) {
	t.Helper()
	path, d, err := f.File(t.Context(), url, int64(len(file)), want)
	if err != nil {
		t.Error(err)
		return
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, file) || d != manifests.DigestOf(file) {
		t.Errorf("%d bytes with %s, %v", len(got), d, err)
	}
}

func TestAFileIsDownloadedOnce(t *testing.T) {
	dir := t.TempDir()
	url, requests, _ := server(t, file)
	f := fetcher(t, dir, download.Config{})
	var wait sync.WaitGroup
	for range 20 {
		wait.Go(func() { mustBring(t, f, url+"/a.rpm", sumOf(file)) })
	}
	wait.Wait()
	mustBring(t, fetcher(t, dir, download.Config{Offline: true}), "http://elsewhere.invalid/b.rpm", sumOf(file))
	if requests.Load() != 1 {
		t.Errorf("%d requests", requests.Load())
	}
	long := packages.Checksum(fmt.Sprintf("sha512:%x", sha512.Sum512(file)))
	mustBring(t, f, url+"/a.rpm", long)
	mustBring(t, f, url+"/a.rpm", long)
	if requests.Load() != 2 {
		t.Errorf("%d requests", requests.Load())
	}
}

func TestOfflineNamesWhatIsMissing(t *testing.T) {
	url, requests, _ := server(t, file)
	f := fetcher(t, t.TempDir(), download.Config{Offline: true})
	_, _, fileErr := f.File(t.Context(), url+"/a.rpm", 10, sumOf(file))
	_, getErr := f.Get(t.Context(), url+"/a.rpm", 10)
	for _, err := range []error{fileErr, getErr} {
		if !errors.Is(err, cache.ErrOffline) || !strings.Contains(err.Error(), url+"/a.rpm") {
			t.Errorf("error %v", err)
		}
	}
	if requests.Load() > 0 {
		t.Error("there was a request")
	}
}

func TestMirrorsStandForWholeFolders(t *testing.T) {
	url, _, _ := server(t, file)
	f := fetcher(t, t.TempDir(), download.Config{Mirrors: map[string]string{
		"http://a.invalid/debian":  "http://b.invalid/",
		"http://a.invalid/debian/": url + "/", "http://c.invalid": url, "https://d.invalid/x": writeTree(t, "pool/y"),
	}})
	for _, from := range []string{"http://a.invalid/debian/pool/x", "http://c.invalid/x", "https://d.invalid/x/pool/y"} {
		if got, err := f.Get(t.Context(), from, 1<<20); err != nil || !bytes.Equal(got, file) {
			t.Errorf("%s: %d bytes, %v", from, len(got), err)
		}
	}
	for _, from := range []string{"http://a.invalid/debian-security/x", "http://c.invalid.org/x"} {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		if _, err := f.Get(ctx, from, 1<<20); err == nil {
			t.Errorf("%s was fetched from a mirror", from)
		}
		cancel()
	}
}

// writeTree makes a folder with the file under the given name.
func writeTree(t *testing.T, name string) string {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, file, 0o644)); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestFilesOfFoldersAreReadLikeThoseOfServers(t *testing.T) {
	dir := writeTree(t, "pool/a.deb")
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o644); err != nil {
		t.Fatal(err)
	}
	f := fetcher(t, t.TempDir(), download.Config{Offline: true})
	mustBring(t, f, dir+"/pool/a.deb", sumOf(file))
	mustBring(t, f, "file://"+dir+"/pool/a.deb", sumOf(file))
	if got, err := f.Get(t.Context(), dir+"/pool/a.deb", int64(len(file))); err != nil || !bytes.Equal(got, file) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if _, err := f.Get(t.Context(), dir+"/pool/a.deb", int64(len(file))-1); err == nil {
		t.Error("more than was allowed was read")
	}
	for name, absent := range map[string]bool{"none": true, "fifo": false, "pool": false} {
		_, err := f.Get(t.Context(), dir+"/"+name, 10)
		_, _, fileErr := f.File(t.Context(), dir+"/"+name, 10, sumOf([]byte(name)))
		if err == nil || fileErr == nil || errors.Is(err, fs.ErrNotExist) != absent || errors.Is(fileErr, fs.ErrNotExist) != absent {
			t.Errorf("%s: errors %v and %v: want fs.ErrNotExist: %t", name, err, fileErr, absent)
		}
	}
}

func TestLiesAboutSizeAndChecksumAreFound(t *testing.T) {
	url, _, _ := server(t, file)
	dir := writeTree(t, "a.deb")
	f := fetcher(t, t.TempDir(), download.Config{})
	for _, from := range []string{url, dir} {
		for _, size := range []int64{1, int64(len(file)) - 1, int64(len(file)) + 1, int64(len(file)), 1 << 50} {
			want := sumOf(file)
			if size == int64(len(file)) {
				want = sumOf([]byte("other"))
			}
			if _, _, err := f.File(t.Context(), from+"/a.deb", size, want); err == nil || !strings.Contains(err.Error(), from) && from == url {
				t.Errorf("%s of %d bytes: error %v", from, size, err)
			}
		}
	}
	if _, _, err := f.File(t.Context(), url+"/none", 5, sumOf(file)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v: want fs.ErrNotExist", err)
	}
	path, _, err := f.File(t.Context(), url+"/empty", 0, sumOf(nil))
	if info, statErr := os.Stat(path); err != nil || statErr != nil || info.Size() != 0 {
		t.Errorf("an empty file: %v, %v", err, statErr)
	}
}

// TestAKilledDownloadGoesOn kills this program, started again, in the middle.
func TestAKilledDownloadGoesOn(t *testing.T) {
	if dir := os.Getenv("CACHE_TO_DIE_IN"); dir != "" {
		mustBring(t, fetcher(t, dir, download.Config{}), os.Getenv("URL_TO_DIE_WITH"), sumOf(file))
		return
	}
	dir := t.TempDir()
	stalled := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(file)))
		w.Write(file[:400_000])
		w.(http.Flusher).Flush()
		close(stalled)
		<-r.Context().Done()
	}))
	defer slow.Close()
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), "CACHE_TO_DIE_IN="+dir, "URL_TO_DIE_WITH="+slow.URL+"/a.rpm")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-stalled
	partial := filepath.Join(dir, "partial", manifests.DigestOf(file).Hex())
	for info, err := os.Stat(partial); err != nil || info.Size() < 400_000; info, err = os.Stat(partial) {
		time.Sleep(time.Millisecond)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	url, requests, sent := server(t, file)
	mustBring(t, fetcher(t, dir, download.Config{}), url+"/a.rpm", sumOf(file))
	if requests.Load() != 1 || sent.Load() != int64(len(file))-400_000 {
		t.Errorf("%d requests and %d bytes: want 1 and %d", requests.Load(), sent.Load(), len(file)-400_000)
	}
}
