package cache_test

import (
	"bytes"
	"context"
	"crypto/sha512"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/proa-os/proa/builder/cache"
	"github.com/proa-os/proa/builder/packages"
	"github.com/proa-os/proa/manifests"
)

func open(t *testing.T, dir string) *cache.Cache {
	t.Helper()
	c, err := cache.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func wantOf(data []byte) manifests.FetchFile {
	return manifests.FetchFile{Size: int64(len(data)), Digest: manifests.DigestOf(data)}
}

// write is a Bring that counts, and goes on behind what is there.
func write(data []byte, times *atomic.Int32) cache.Bring {
	return func(_ context.Context, partial string) error {
		times.Add(1)
		f, err := os.OpenFile(partial, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
		if err != nil {
			return err
		}
		info, err := f.Stat()
		if err != nil {
			return err
		}
		_, err = f.Write(data[min(info.Size(), int64(len(data))):])
		return errors.Join(err, f.Close())
	}
}

func mustRead(t *testing.T, path string, want []byte) {
	t.Helper()
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, %v: want %d", len(got), err, len(want))
	}
}

func TestABlobIsBroughtOnceByMany(t *testing.T) {
	dir := t.TempDir()
	caches := []*cache.Cache{open(t, dir), open(t, dir)} // as two processes
	var times atomic.Int32
	var wait sync.WaitGroup
	for i := range 40 {
		data := []byte(fmt.Sprint("blob ", i%4))
		wait.Go(func() {
			path, err := caches[i%2].Fill(t.Context(), wantOf(data), write(data, &times))
			if err != nil {
				t.Error(err)
				return
			}
			mustRead(t, path, data)
		})
	}
	wait.Wait()
	if times.Load() != 4 {
		t.Errorf("4 blobs were brought %d times", times.Load())
	}
	if left, err := os.ReadDir(filepath.Join(dir, "locks")); err != nil || len(left) > 0 {
		t.Errorf("locks left: %v, %v", left, err)
	}
}

func TestASHA512IsEnoughToFindABlobAgain(t *testing.T) {
	c := open(t, t.TempDir())
	data := []byte("index")
	by := packages.Checksum(fmt.Sprintf("sha512:%x", sha512.Sum512(data)))
	var times atomic.Int32
	for range 3 {
		path, d, err := c.FillBy(t.Context(), by, int64(len(data)), write(data, &times))
		if err != nil || d != manifests.DigestOf(data) {
			t.Fatalf("%s, %v", d, err)
		}
		mustRead(t, path, data)
	}
	// The same blob under its other name, and after it was lost.
	if _, _, err := c.FillBy(t.Context(), packages.Checksum(manifests.DigestOf(data).String()), int64(len(data)), write(data, &times)); err != nil {
		t.Error(err)
	}
	path, _ := c.Blob(manifests.DigestOf(data))
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.FillBy(t.Context(), by, int64(len(data)), write(data, &times)); err != nil || times.Load() != 2 {
		t.Errorf("brought %d times, %v: want 2", times.Load(), err)
	}
	other := packages.Checksum(fmt.Sprintf("sha512:%x", sha512.Sum512([]byte("other"))))
	if _, _, err := c.FillBy(t.Context(), other, int64(len(data)), write(data, &times)); !errors.Is(err, cache.ErrContent) {
		t.Errorf("error %v: want one about the content", err)
	}
	for _, bad := range []packages.Checksum{"", "md5:00", "sha512:00", "sha256:", "sha512:" + packages.Checksum(strings.Repeat("A", 128))} {
		if _, _, err := c.FillBy(t.Context(), bad, 5, write(data, &times)); err == nil {
			t.Errorf("checksum %q is accepted", bad)
		}
	}
}

func TestWhatIsNotWholeOrOtherIsNeverTaken(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789"), 1000)
	other := bytes.Repeat([]byte("9876543210"), 1000)
	dir := t.TempDir()
	c := open(t, dir)
	want := wantOf(data)
	broken := errors.New("broken")
	var times atomic.Int32
	for name, bring := range map[string]cache.Bring{
		"another": write(other, &times), "shorter": write(data[:9999], &times), "longer": write(append(data[:10000:10000], 0), &times),
		"nothing": func(context.Context, string) error { return nil },
		"folder":  func(_ context.Context, path string) error { return os.Mkdir(path, 0o755) },
		"error":   func(_ context.Context, path string) error { return broken },
	} {
		if _, err := c.Fill(t.Context(), want, bring); err == nil {
			t.Errorf("%s: it was taken", name)
		}
		if _, ok := c.Blob(want.Digest); ok {
			t.Fatalf("%s: there is a blob", name)
		}
	}
	partial := filepath.Join(dir, "partial", want.Digest.Hex())
	for name, start := range map[string][]byte{"its start": data[:5000], "the start of another": other[:5000], "too much": append(data, 0)} {
		if err := errors.Join(os.RemoveAll(partial), os.WriteFile(partial, start, 0o644)); err != nil {
			t.Fatal(err)
		}
		path, err := c.Fill(t.Context(), want, write(data, &times))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		mustRead(t, path, data)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAFullDiskGetsItsSpaceBack(t *testing.T) {
	dir := t.TempDir()
	c := open(t, dir)
	_, err := c.Fill(t.Context(), wantOf([]byte("much")), func(_ context.Context, partial string) error {
		return errors.Join(os.WriteFile(partial, []byte("mu"), 0o644), &os.PathError{Op: "write", Path: partial, Err: syscall.ENOSPC})
	})
	if left := names(t, filepath.Join(dir, "partial")); !errors.Is(err, syscall.ENOSPC) || len(left) > 0 {
		t.Errorf("error %v, left %v", err, left)
	}
}

func TestABlobOfAnotherSizeIsBroughtAnew(t *testing.T) {
	dir := t.TempDir()
	c := open(t, dir)
	data := []byte("content")
	path := filepath.Join(dir, "blobs/sha256", manifests.DigestOf(data).Hex())
	if err := os.WriteFile(path, nil, 0o444); err != nil {
		t.Fatal(err)
	}
	var times atomic.Int32
	got, err := c.Fill(t.Context(), wantOf(data), write(data, &times))
	if err != nil || got != path {
		t.Fatal(got, err)
	}
	mustRead(t, path, data)
}

func TestForeignBlobsAreCheckedWhenTheyAreTaken(t *testing.T) {
	c := open(t, t.TempDir())
	vendor := t.TempDir()
	if err := c.AddReadOnly(vendor); err == nil {
		t.Error("a folder without blobs was added")
	}
	if err := os.MkdirAll(filepath.Join(vendor, "blobs/sha256"), 0o755); err != nil {
		t.Fatal(err)
	}
	good, bad := []byte("good"), []byte("bad")
	for _, data := range [][]byte{good, bad} {
		path := filepath.Join(vendor, "blobs/sha256", manifests.DigestOf(data).Hex())
		if err := os.WriteFile(path, good, 0o444); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.AddReadOnly(vendor); err != nil {
		t.Fatal(err)
	}
	var times atomic.Int32
	path, err := c.Fill(t.Context(), wantOf(good), write(good, &times))
	if err != nil || filepath.Dir(path) != filepath.Join(c.Dir(), "blobs/sha256") || times.Load() > 0 {
		t.Errorf("path %s, %v, brought %d times", path, err, times.Load())
	}
	if _, err := c.Fill(t.Context(), wantOf(bad), write(bad, &times)); !errors.Is(err, cache.ErrContent) || !strings.Contains(err.Error(), vendor) {
		t.Errorf("error %v: want one that names the blob", err)
	}
	if _, ok := c.Blob(manifests.DigestOf(bad)); ok {
		t.Error("a damaged blob was taken")
	}
	// What was taken stays what it was.
	if err := errors.Join(os.Remove(filepath.Join(vendor, "blobs/sha256", filepath.Base(path))), os.WriteFile(filepath.Join(vendor, "blobs/sha256", filepath.Base(path)), bad, 0o644)); err != nil {
		t.Fatal(err)
	}
	mustRead(t, path, good)
	again, ok := c.Blob(manifests.DigestOf(good))
	if !ok {
		t.Fatal("it is gone")
	}
	mustRead(t, again, good)
}

func TestAForeignPipeIsNotWaitedFor(t *testing.T) {
	c := open(t, t.TempDir())
	vendor, data := t.TempDir(), []byte("good")
	path := filepath.Join(vendor, "blobs/sha256", manifests.DigestOf(data).Hex())
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), syscall.Mkfifo(path, 0o644), c.AddReadOnly(vendor)); err != nil {
		t.Fatal(err)
	}
	var times atomic.Int32
	if _, err := c.Fill(t.Context(), wantOf(data), write(data, &times)); err == nil || !strings.Contains(err.Error(), path) || times.Load() != 0 {
		t.Errorf("error %v: want one that names the pipe", err)
	}
}

func TestAForeignBlobIsReadAsFarAsItShouldGo(t *testing.T) {
	c := open(t, t.TempDir())
	vendor, data := t.TempDir(), []byte("good")
	path := filepath.Join(vendor, "blobs/sha256", manifests.DigestOf(data).Hex())
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, data, 0o644), os.Truncate(path, 1<<40), c.AddReadOnly(vendor)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Fill(t.Context(), wantOf(data), nil); !errors.Is(err, cache.ErrContent) {
		t.Errorf("error %v", err)
	}
}

func TestWhoWaitsForAnotherCanGiveUp(t *testing.T) {
	dir := t.TempDir()
	data := []byte("slow")
	for name, second := range map[string]func(*cache.Cache) *cache.Cache{
		"goroutine": func(c *cache.Cache) *cache.Cache { return c },
		"process":   func(*cache.Cache) *cache.Cache { return open(t, dir) },
	} {
		first := open(t, dir)
		started, finish := make(chan struct{}), make(chan struct{})
		done := make(chan error)
		go func() {
			_, err := first.Fill(context.Background(), wantOf(data), func(context.Context, string) error {
				close(started)
				<-finish
				return errors.New("enough")
			})
			done <- err
		}()
		<-started
		ctx, cancel := context.WithCancel(t.Context())
		go cancel()
		if _, err := second(first).Fill(ctx, wantOf(data), nil); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: error %v: want context.Canceled", name, err)
		}
		close(finish)
		<-done
	}
}

func TestUnusableFoldersAreNamed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{file, filepath.Join(file, "below"), "/proc/none"} {
		if _, err := cache.Open(dir); err == nil || !strings.Contains(err.Error(), dir) && !strings.Contains(err.Error(), "/proc") {
			t.Errorf("%s: error %v: want one that names it", dir, err)
		}
	}
}

func TestTheDefaultFolderIsTheUsers(t *testing.T) {
	t.Setenv("HOME", "/home/u")
	for _, c := range []struct{ own, xdg, want string }{
		{"/own", "/xdg", "/own"}, {"", "/xdg", "/xdg/proa"}, {"", "", "/home/u/.cache/proa"}, {"", "relative", ""},
	} {
		t.Setenv("PROA_CACHE", c.own)
		t.Setenv("XDG_CACHE_HOME", c.xdg)
		if got, err := cache.DefaultDir(); got != c.want || (err != nil) != (c.want == "") {
			t.Errorf("%+v: %s, %v", c, got, err)
		}
	}
}
