package appliance

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/proa-os/proa/machine/debian"
)

// write makes an appliance with a PID 1 that is only a text.
func write(t *testing.T) []byte {
	t.Helper()
	cache, err := debian.CheckoutDir()
	if err != nil {
		t.Fatal(err)
	}
	root, err := debian.Root(t.Context(), debian.Config{Dir: cache, Log: os.Stderr})
	if err != nil {
		t.Fatal(err)
	}
	init := filepath.Join(t.TempDir(), "init")
	if err := os.WriteFile(init, []byte("init"), 0o755); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := WriteRoot(&out, Config{Debian: root, Init: init}); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestTheSameInputsGiveTheSameRoot(t *testing.T) {
	t.Parallel()
	if !bytes.Equal(write(t), write(t)) {
		t.Error("two roots from the same inputs differ")
	}
}

func TestTheRootHasWhatABuildNeedsAndStaysSmall(t *testing.T) {
	t.Parallel()
	archive := write(t)
	if len(archive) > 40<<20 {
		t.Errorf("the root has %d bytes", len(archive))
	}
	names := map[string]bool{}
	for in := tar.NewReader(bytes.NewReader(archive)); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(h.Name, "/")
		if names[name] {
			t.Errorf("%s is there twice", name)
		}
		if dir := filepath.Dir(name); dir != "." && !names[dir] {
			t.Errorf("%s comes before its folder", name)
		}
		names[name] = true
	}
	for _, want := range []string{"kernel/drivers/block/virtio_blk.ko", "kernel/drivers/virtio/virtio_ring.ko", "modules.dep"} {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(names)), func(n string) bool {
			return strings.HasPrefix(n, "usr/lib/modules/") && strings.HasSuffix(n, want)
		}) {
			t.Errorf("no module file %s", want)
		}
	}
	for _, want := range []string{
		"usr/sbin/init", "usr/bin/busybox", "usr/sbin/mkfs.ext4", "usr/lib/x86_64-linux-gnu/libc.so.6",
		"usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", "usr/lib/systemd/boot/efi/linuxx64.efi.stub",
	} {
		if !names[want] {
			t.Errorf("no %s", want)
		}
	}
}

func TestADebianRootWithoutAPartIsRefusedByName(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, content := range map[string]string{"init": "init", "empty.tar": strings.Repeat("\x00", 1024)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	err := WriteRoot(io.Discard, Config{Debian: filepath.Join(dir, "empty.tar"), Init: filepath.Join(dir, "init")})
	if err == nil || !strings.Contains(err.Error(), "usr/bin/busybox") {
		t.Errorf("got %v, want an error that names usr/bin/busybox", err)
	}
}

func TestModulesComeWithWhatTheyDependOn(t *testing.T) {
	t.Parallel()
	dependencies, files := parseModulesDep("kernel/fs/fat/vfat.ko.xz: kernel/fs/fat/fat.ko.xz\nkernel/fs/fat/fat.ko.xz:\nkernel/x/other.ko: \nnonsense\n")
	got := closure(modules, dependencies, files)
	if want := []string{"kernel/fs/fat/fat.ko.xz", "kernel/fs/fat/vfat.ko.xz"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func FuzzParseModulesDep(f *testing.F) {
	f.Add("kernel/fs/fat/vfat.ko: kernel/fs/fat/fat.ko\n")
	f.Add(":\n::\na:b:c")
	f.Fuzz(func(t *testing.T, text string) {
		dependencies, files := parseModulesDep(text)
		closure(modules, dependencies, files)
	})
}
