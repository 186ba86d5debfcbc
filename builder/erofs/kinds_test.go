package erofs

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/proa-os/proa/builder/tree"
)

// everything is a tree with every kind of node and their extremes.
func everything(t *testing.T) *tree.Tree {
	all := tree.New()
	put(t, all, ".", &tree.Node{Kind: tree.Directory, Mode: 0o711, UID: 3, GID: 4, Xattrs: map[string]string{"user.root": "yes"}})
	for _, size := range []int{0, 1, 2047, 2048, 4000, 4031, 4032, 4033, 4063, 4064, 4065, 4095, 4096, 4097, 8192, 1 << 20, 1<<20 + 1} {
		put(t, all, fmt.Sprintf("sizes/%d", size), file(noise(size, size)))
	}
	for i, mode := range []uint32{0, 0o755, 0o4755, 0o2755, 0o1777, 0o7777} {
		n := file(noise(i, 100))
		n.Mode = mode
		put(t, all, fmt.Sprintf("modes/file-%04o", mode), n)
		put(t, all, fmt.Sprintf("modes/dir-%04o", mode), &tree.Node{Kind: tree.Directory, Mode: mode})
	}
	for i, id := range []uint32{0, 65535, 65536, 4294967294} {
		n := file(noise(i, 5000))
		n.UID, n.GID = id, 4294967294-id
		put(t, all, fmt.Sprintf("owners/%d", id), n)
		put(t, all, fmt.Sprintf("owners/d%d", id), &tree.Node{Kind: tree.Directory, Mode: 0o700, UID: id})
	}
	for _, d := range []tree.Device{{}, {Major: 1, Minor: 3}, {Major: 8, Minor: 255}, {Major: 8, Minor: 256}, {Major: 4095, Minor: 1048575}} {
		name := fmt.Sprintf("dev/%d:%d", d.Major, d.Minor)
		put(t, all, name+"c", &tree.Node{Kind: tree.CharDevice, Mode: 0o666, Device: d})
		put(t, all, name+"b", &tree.Node{Kind: tree.BlockDevice, Mode: 0o660, GID: 6, Device: d})
	}
	put(t, all, "dev/fifo", &tree.Node{Kind: tree.FIFO, Mode: 0o600})
	put(t, all, "dev/socket", &tree.Node{Kind: tree.Socket, Mode: 0o777, Xattrs: map[string]string{"security.selinux": "system_u\x00"}})
	for _, size := range []int{1, 59, 60, 4000, 4063, 4064, 4065, 4095} {
		put(t, all, fmt.Sprintf("links/%d", size), &tree.Node{Kind: tree.Symlink, Mode: 0o777, Target: strings.Repeat("t", size)})
	}
	put(t, all, "names/"+strings.Repeat("n", 255), file([]byte("long")))
	for _, name := range []string{"!before-dot", "-dash", "...", "..x", ".wh.whiteout", ".wh..wh..opq", "new\nline", "\xff\xfe", "ünï", " "} {
		put(t, all, "names/"+name, file([]byte(name)))
	}
	addXattrs(t, all)
	addHardLinks(t, all)
	return all
}

// acl is u::rw-,g::r--,o::r-- as in acl(5)'s extended attributes.
var acl = string([]byte{2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 4, 0, 4, 0, 255, 255, 255, 255, 32, 0, 4, 0, 255, 255, 255, 255})

func addXattrs(t *testing.T, all *tree.Tree) {
	for name, xattrs := range map[string]map[string]string{
		"capability": {"security.capability": "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"},
		"acl":        {"system.posix_acl_access": acl},
		"kinds":      {"user.a": "", "user.b": "1", "trusted.c": "12", "security.ima": "123", "user." + strings.Repeat("n", 250): "1234"},
		"large":      {"user.large": strings.Repeat("v", 60000)},
		"block":      {"user.block": strings.Repeat("v", 4096)},
	} {
		n := file(noise(len(name), 700))
		n.Xattrs = xattrs
		put(t, all, "xattrs/"+name, n)
	}
	put(t, all, "xattrs/d", &tree.Node{Kind: tree.Directory, Mode: 0o755, Xattrs: map[string]string{
		"system.posix_acl_default": acl, "system.posix_acl_access": acl, "user.x": strings.Repeat("y", 5000),
	}})
	put(t, all, "xattrs/d/in", file([]byte("it")))
	put(t, all, "xattrs/l", &tree.Node{Kind: tree.Symlink, Mode: 0o777, Target: "d", Xattrs: map[string]string{"security.selinux": "x"}})
}

// addHardLinks adds links that come before and after their file in the order
// of paths, in the same and in other directories, and to every kind.
func addHardLinks(t *testing.T, all *tree.Tree) {
	n := file(noise(77, 9000))
	n.Mode, n.UID, n.Xattrs = 0o4711, 100000, map[string]string{"user.shared": "yes"}
	put(t, all, "hard/m/file", n)
	link(t, all, "hard/a", "hard/m/file")
	link(t, all, "hard/z/deep/er", "hard/m/file")
	link(t, all, "a-first", "hard/m/file")
	put(t, all, "hard/small", file([]byte("inline")))
	link(t, all, "hard/small2", "hard/small")
	put(t, all, "hard/empty", file(nil))
	link(t, all, "hard/empty2", "hard/empty")
	link(t, all, "hard/symlink", "links/4095")
	link(t, all, "hard/device", "dev/4095:1048575b")
	link(t, all, "hard/fifo", "dev/fifo")
	link(t, all, "hard/socket", "dev/socket")
}

func TestEveryKindOfNodeArrives(t *testing.T) {
	all := everything(t)
	name, _ := writeImage(t, all)
	checkReadBack(t, name, all)

	// The same again with the eyes of erofs-utils.
	words := map[tree.Kind]string{
		tree.File: "regular file", tree.Directory: "directory", tree.Symlink: "symlink file",
		tree.CharDevice: "char dev", tree.BlockDevice: "block dev", tree.FIFO: "FIFO file", tree.Socket: "SOCK file",
	}
	links, directories, nids := map[*tree.Node]int{}, map[string]int{}, map[*tree.Node]string{}
	walk(t, all, func(path string, n *tree.Node) {
		links[n]++
		if n.Kind == tree.Directory {
			directories[filepath.Dir(path)]++
		}
	})
	walk(t, all, func(path string, n *tree.Node) {
		got := dumped(t, name, "/"+path)
		want := fmt.Sprintf("%d %d %d %04o", links[n], n.UID, n.GID, n.Mode&0o777) // it shows no set-user-ID
		if n.Kind == tree.Directory {
			sub := directories[path]
			if path == "." {
				sub-- // "." is its own parent here
			}
			want = fmt.Sprintf("%d %d %d %04o", 2+sub, n.UID, n.GID, n.Mode&0o777)
		}
		if text := strings.Join(got[2:], " "); text != want || strings.TrimSpace(got[0]) != words[n.Kind] {
			t.Errorf("dump.erofs of %.80q: %s %s: want %s %s", path, got[0], text, words[n.Kind], want)
		}
		if nid, seen := nids[n]; seen && nid != got[1] {
			t.Errorf("dump.erofs of %.80q: nid %s: want its other name's, %s", path, got[1], nid)
		}
		nids[n] = got[1]
	})
}

func TestACLsAreStoredWhereLinuxLooks(t *testing.T) {
	name, _ := writeImage(t, everything(t))
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for index := range 2 {
		// struct erofs_xattr_entry: no name but an index, 2 for access and 3 for default.
		entry := append([]byte{0, byte(2 + index), byte(len(acl)), 0}, acl...)
		if !bytes.Contains(content, entry) {
			t.Errorf("no ACL under index %d", 2+index)
		}
	}
	if bytes.Contains(content, []byte("posix_acl")) {
		t.Error("an ACL is stored under its name")
	}
}

// TestDeviceNumbersAreAsTheKernelEncodes has pairs from new_encode_dev in the
// kernel's include/linux/kdev_t.h.
func TestDeviceNumbersAreAsTheKernelEncodes(t *testing.T) {
	for device, want := range map[tree.Device]uint32{
		{Major: 1, Minor: 3}:          0x103,
		{Major: 8, Minor: 255}:        0x8ff,
		{Major: 8, Minor: 256}:        0x100800,
		{Major: 259, Minor: 0x12345}:  0x12310345,
		{Major: 4095, Minor: 1048575}: 0xffffffff,
	} {
		if got := encodeDevice(device); got != want {
			t.Errorf("%d:%d is %#x: want %#x", device.Major, device.Minor, got, want)
		}
	}
}

func TestExtractedImageIsTheTree(t *testing.T) {
	all := everything(t)
	name, _ := writeImage(t, all)
	dir := filepath.Join(t.TempDir(), "out")
	run(t, "fsck.erofs", "--extract="+dir, "--no-preserve-owner", "--preserve-perms", name)
	// Undo what would keep the folder from being read and removed.
	defer func() {
		walk(t, all, func(path string, n *tree.Node) {
			if n.Kind == tree.Directory {
				os.Chmod(filepath.Join(dir, path), 0o700)
			}
		})
	}()
	checked := 0
	walk(t, all, func(path string, n *tree.Node) {
		at := filepath.Join(dir, path)
		info, err := os.Lstat(at)
		switch {
		case err != nil && (os.Geteuid() == 0 || n.Kind != tree.CharDevice && n.Kind != tree.BlockDevice && !strings.HasPrefix(path, "modes/")):
			t.Errorf("extracted: %v", err)
		case err != nil:
		case modeText(info.Mode()) != nodeModeText(n):
			t.Errorf("extracted %.80q: %s: want %s", path, modeText(info.Mode()), nodeModeText(n))
		case n.Kind == tree.Symlink:
			if got, err := os.Readlink(at); err != nil || got != n.Target {
				t.Errorf("extracted %.80q: link to %.80q, %v", path, got, err)
			}
		case n.Kind == tree.File && n.Mode&0o400 != 0:
			got, err := os.ReadFile(at)
			want := make([]byte, n.Content.Size)
			n.Content.Open().Read(want)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("extracted %.80q: other content (%d bytes), %v", path, len(got), err)
			}
			checked++
		}
	})
	if checked < 40 {
		t.Errorf("compared the contents of %d files: want at least 40", checked)
	}
}

func TestSuperblockIsComplete(t *testing.T) {
	all := everything(t)
	name, image := writeImage(t, all)
	unique := map[*tree.Node]bool{}
	walk(t, all, func(_ string, n *tree.Node) { unique[n] = true })
	if image.Inodes != uint64(len(unique)) {
		t.Errorf("%d inodes: want %d", image.Inodes, len(unique))
	}
	fields := strings.Fields(run(t, "dump.erofs", "-s", name))
	for _, want := range []string{
		"11223344-5566-7788-99aa-bbccddeeff01", "sb_csum", "mtime", fmt.Sprint(image.Inodes), fmt.Sprint(image.Blocks), "2023",
	} {
		if !slices.Contains(fields, want) {
			t.Errorf("dump.erofs -s: no %q in %v", want, fields)
		}
	}
	if nid := dumped(t, name, "/")[1]; nid == "0" {
		t.Error("the root directory has inode number 0")
	}

	// The checksum is the tool's as well: it notices a change of the volume name.
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	content[sbUUID+16] ^= 1
	changed := filepath.Join(t.TempDir(), "changed.erofs")
	if err := os.WriteFile(changed, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := tool("fsck.erofs", changed); err == nil {
		t.Error("fsck.erofs accepts a changed superblock")
	}
	binary.LittleEndian.PutUint32(content[sbChecksum:], superblockChecksum(content[:BlockSize]))
	if err := os.WriteFile(changed, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := tool("fsck.erofs", changed); err != nil {
		t.Errorf("fsck.erofs refuses the new checksum: %v", err)
	}
}
