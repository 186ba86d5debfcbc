package initrd

import (
	"bytes"
	"compress/gzip"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// files is a tree in memory, by path.
type files map[string]string

func (f files) ReadFile(p string) ([]byte, error) {
	content, ok := f[p]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: p, Err: fs.ErrNotExist}
	}
	return []byte(content), nil
}

func (f files) List(p string) ([]string, error) {
	var names []string
	for name := range f {
		if rest, ok := strings.CutPrefix(name, p+"/"); ok {
			first, _, _ := strings.Cut(rest, "/")
			if !slices.Contains(names, first) {
				names = append(names, first)
			}
		}
	}
	if names == nil {
		return nil, &fs.PathError{Op: "open", Path: p, Err: fs.ErrNotExist}
	}
	return names, nil
}

const release = "6.1.0-test"

// kernel is a tree with a kernel whose modules are those that "qemu" needs.
func kernel() files {
	f := files{
		"boot/vmlinuz-" + release: "MZ kernel",
		folder("modules.dep"): `kernel/drivers/md/dm-mod.ko:
kernel/drivers/md/dm-bufio.ko: kernel/drivers/md/dm-mod.ko
kernel/drivers/md/dm-verity.ko: kernel/drivers/md/dm-bufio.ko kernel/drivers/md/dm-mod.ko
kernel/fs/erofs/erofs.ko.xz: kernel/lib/libcrc32c.ko
kernel/lib/libcrc32c.ko:
kernel/arch/crc-soft.ko:
kernel/fs/overlayfs/overlay.ko.zst:
kernel/drivers/virtio/virtio_pci.ko: kernel/drivers/virtio/virtio_ring.ko kernel/drivers/virtio/virtio.ko
kernel/drivers/virtio/virtio_ring.ko:
kernel/drivers/virtio/virtio.ko: kernel/drivers/virtio/virtio_ring.ko
kernel/drivers/block/virtio_blk.ko.gz: kernel/drivers/virtio/virtio.ko kernel/drivers/virtio/virtio_ring.ko
kernel/drivers/net/unwanted.ko:
`,
		folder("modules.builtin"): "kernel/crypto/sha256_generic.ko\nkernel/fs/ext4/ext4.ko\n",
		folder("modules.softdep"): "# Soft dependencies\nsoftdep libcrc32c pre: crc32c nothing\nsoftdep dm_mod post: dm_after\n",
		folder("modules.alias"):   "alias crc32c crc_soft\nalias pci:v*d* unwanted\n",
	}
	for _, line := range strings.Split(f[folder("modules.dep")], "\n") {
		if file, _, ok := strings.Cut(line, ":"); ok {
			f[folder(file)] = pack(path.Ext(file), contentOf(moduleName(file)))
		}
	}
	return f
}

func folder(name string) string { return "usr/lib/modules/" + release + "/" + name }

func contentOf(module string) string {
	return "\x7fELF " + module + strings.Repeat(" code", 200) + "~Module signature appended~\n"
}

func pack(suffix, content string) string {
	var b bytes.Buffer
	switch suffix {
	case ".gz":
		w := gzip.NewWriter(&b)
		w.Write([]byte(content))
		w.Close()
	case ".xz":
		w, _ := xz.NewWriter(&b)
		w.Write([]byte(content))
		w.Close()
	case ".zst":
		w, _ := zstd.NewWriter(&b)
		w.Write([]byte(content))
		w.Close()
	default:
		return content
	}
	return b.String()
}
