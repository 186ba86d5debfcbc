package erofs

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/proa-os/proa/builder/tree"
)

func create(t *testing.T) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "image.erofs"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestContentThatEndsEarlyNamesThePath(t *testing.T) {
	for _, size := range []int64{100, 100_000} { // inside the metadata, and in blocks of its own
		all := tree.New()
		short := &tree.Node{Kind: tree.File, Mode: 0o644, Content: tree.Content{At: strings.NewReader("short"), Size: size}}
		put(t, all, "usr/bin/short", short)
		_, err := Write(context.Background(), create(t), all, testConfig)
		if !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(err.Error(), "usr/bin/short") {
			t.Errorf("content of %d bytes: error %v: want one that names the path", size, err)
		}
	}
}

func TestWhatLinuxWouldNotShowIsRefused(t *testing.T) {
	for _, name := range []string{"system.nfs4_acl", "system.posix_acl_access.x", "btrfs.compression", "lustre.lov"} {
		all := tree.New()
		n := file([]byte("x"))
		n.Xattrs = map[string]string{name: "v"}
		put(t, all, "etc/x", n)
		_, err := Write(context.Background(), create(t), all, testConfig)
		if err == nil || !strings.Contains(err.Error(), "etc/x") || !strings.Contains(err.Error(), name) {
			t.Errorf("extended attribute %s: error %v: want one with path and name", name, err)
		}
	}
	if _, err := Write(context.Background(), create(t), tree.New(), Config{Epoch: -1}); err == nil {
		t.Error("epoch -1: want an error")
	}
}

func TestCancelledWriteEnds(t *testing.T) {
	all := tree.New()
	ctx, cancel := context.WithCancel(context.Background())
	put(t, all, "big", &tree.Node{Kind: tree.File, Mode: 0o644, Content: tree.Content{At: endless{cancel}, Size: 1 << 35}})
	if _, err := Write(ctx, create(t), all, testConfig); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v: want context.Canceled", err)
	}
}

// endless is a content that cancels the work when it is read.
type endless struct{ cancel func() }

func (e endless) ReadAt(p []byte, _ int64) (int, error) {
	e.cancel()
	return len(p), nil
}

func TestFullDiskIsAnErrorWhereverItStrikes(t *testing.T) {
	all := everything(t)
	whole := create(t)
	image, err := Write(context.Background(), whole, all, testConfig)
	if err != nil {
		t.Fatal(err)
	}
	for room := int64(0); room < image.Size; room += image.Size / 50 {
		if _, err := Write(context.Background(), &full{create(t), room}, all, testConfig); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("with room for %d of %d bytes: error %v: want ENOSPC", room, image.Size, err)
		}
	}
}

// full is a file on a disk that has room for some bytes of it.
type full struct {
	*os.File
	room int64
}

func (f *full) Write(p []byte) (int, error) {
	at, err := f.Seek(0, io.SeekCurrent)
	if err != nil {
		return 0, err
	}
	if at+int64(len(p)) > f.room {
		n, _ := f.File.Write(p[:max(0, f.room-at)])
		return n, syscall.ENOSPC
	}
	return f.File.Write(p)
}

func (f *full) WriteAt(p []byte, at int64) (int, error) {
	if at+int64(len(p)) > f.room {
		return 0, syscall.ENOSPC
	}
	return f.File.WriteAt(p, at)
}
