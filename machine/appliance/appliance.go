// Package appliance makes the root file system of a guest that boots in
// seconds: busybox, a PID 1 of its own that answers package machine's commands,
// mkfs.ext4, a kernel and a few modules, all but PID 1 taken from a Debian root.
//
// The result is a tar archive with the paths of Debian, for a recipe's sources.
package appliance

import (
	"archive/tar"
	"debug/elf"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"time"
)

// Config says what goes in.
type Config struct {
	Debian string // path of a plain tar archive: see package machine/debian
	Init   string // path of a static build of machine/appliance/init

	// Encryption adds what makes and opens an encrypted /var; Debian must have
	// PackagesOfEncryption.
	Encryption bool
}

// programs are the binaries taken from Debian; the libraries that they need
// come with them.
var programs = []string{"usr/bin/busybox", "usr/bin/chattr", "usr/sbin/mke2fs"}

// links are the names that are symbolic links in the appliance.
var links = map[string]string{
	"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64",
	"usr/lib64/ld-linux-x86-64.so.2": "../lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
	"usr/sbin/mkfs.ext4":             "mke2fs",
	"etc/os-release":                 "../usr/lib/os-release",
	"etc/mtab":                       "/proc/self/mounts",
	"var/run":                        "/run",
}

var folders = []string{
	"boot", "dev", "efi", "etc", "mnt", "proc", "root", "run", "sys", "tmp",
	"usr", "usr/bin", "usr/lib", "usr/lib64", "usr/sbin", "var", "var/lib", "var/log", "var/tmp",
}

// small are the small files that are the appliance's own.
var small = map[string]string{
	"etc/passwd":      "root:x:0:0:root:/root:/bin/sh\n",
	"etc/group":       "root:x:0:\n",
	"etc/hosts":       "127.0.0.1 localhost\n",
	"etc/hostname":    "appliance\n",
	"etc/resolv.conf": "nameserver 10.0.2.3\n",
	"etc/machine-id":  "",
}

// systemctl is what the agent asks for an orderly reboot where systemd runs.
const systemctl = `#!/bin/sh
case "$1" in
reboot | poweroff) exec "$1" ;;
esac
echo "systemctl: the appliance has no $1" >&2
exit 1
`

// applets are the names under which busybox is found.
var applets = strings.Fields(`ash awk base64 basename blockdev cat chmod chown chroot cmp cp cut date dd df
	dirname dmesg du echo egrep env expr false fgrep find free grep gunzip gzip head hexdump hostname id ip kill
	killall less ln logger losetup ls lsmod md5sum mkdir mkfifo mknod mktemp modprobe more mount mv nc nproc od
	pidof printf ps pwd readlink realpath rm rmdir rmmod sed seq sh sha256sum sleep sort stat stty sync tail tar
	tee test time timeout touch tr true truncate umount uname uniq uptime usleep vi wc wget which xargs xxd yes
	zcat`)

var systemApplets = strings.Fields("halt insmod poweroff reboot swapoff sysctl switch_root watchdog")

// WriteRoot writes the appliance's root as a tar archive. The same inputs give
// the same bytes.
func WriteRoot(w io.Writer, config Config) error {
	file, err := os.Open(config.Debian)
	if err != nil {
		return err
	}
	defer file.Close()
	debian, err := readArchive(file)
	if err != nil {
		return fmt.Errorf("reading %s: %w", config.Debian, err)
	}
	init, err := os.ReadFile(config.Init)
	if err != nil {
		return err
	}
	root := &root{out: map[string]entry{}, programs: programs, modules: modules}
	if config.Encryption {
		root.programs = slices.Concat(programs, programsOfEncryption)
		root.modules = slices.Concat(modules, modulesOfEncryption)
	}
	for _, name := range folders {
		root.folder(name)
	}
	for name, target := range links {
		root.link(name, target)
	}
	for name, content := range small {
		root.file(name, 0o644, []byte(content))
	}
	root.file("usr/sbin/init", 0o755, init)
	root.file("usr/bin/systemctl", 0o755, []byte(systemctl))
	for _, name := range applets {
		root.link("usr/bin/"+name, "busybox")
	}
	for _, name := range systemApplets {
		root.link("usr/sbin/"+name, "../bin/busybox")
	}
	for _, step := range []func(*archive) error{root.addPrograms, root.addBoot, root.addModules} {
		if err := step(debian); err != nil {
			return fmt.Errorf("taking files from %s: %w", config.Debian, err)
		}
	}
	return root.write(w)
}

// root is the tree being made.
type root struct {
	out               map[string]entry
	programs, modules []string // wanted of Debian
}

type entry struct {
	header  tar.Header
	content []byte
}

func (r *root) folder(name string) {
	mode := int64(0o755)
	switch name {
	case "tmp", "var/tmp":
		mode = 0o1777
	case "root":
		mode = 0o700
	}
	r.out[name] = entry{header: tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: mode}}
}

func (r *root) link(name, target string) {
	r.parents(name)
	r.out[name] = entry{header: tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777}}
}

func (r *root) file(name string, mode int64, content []byte) {
	r.parents(name)
	r.out[name] = entry{
		header:  tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(content))},
		content: content,
	}
}

func (r *root) parents(name string) {
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if _, ok := r.out[dir]; !ok {
			r.folder(dir)
		}
	}
}

// addPrograms adds the programs and, transitively, the libraries they name.
func (r *root) addPrograms(debian *archive) error {
	const libraries, systemd = "usr/lib/x86_64-linux-gnu/", "usr/lib/x86_64-linux-gnu/systemd/"
	todo := slices.Clone(r.programs)
	for len(todo) > 0 {
		name := todo[0]
		todo = todo[1:]
		if _, ok := r.out[name]; ok {
			continue
		}
		content, err := debian.read(name)
		if err != nil {
			return err
		}
		r.file(name, 0o755, content)
		needed, err := neededLibraries(content)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		for _, library := range needed {
			folder := libraries
			if len(debian.match(systemd+library)) > 0 { // systemd's own
				folder = systemd
			}
			todo = append(todo, folder+library)
		}
	}
	for name, mode := range map[string]int64{"etc/mke2fs.conf": 0o644, "usr/lib/os-release": 0o644} {
		content, err := debian.read(name)
		if err != nil {
			return err
		}
		r.file(name, mode, content)
	}
	return nil
}

// neededLibraries are the file names of the libraries that a program or library
// is linked with.
func neededLibraries(content []byte) ([]string, error) {
	f, err := elf.NewFile(strings.NewReader(string(content)))
	if err != nil {
		return nil, err
	}
	if f.Section(".dynamic") == nil {
		return nil, nil
	}
	return f.ImportedLibraries()
}

// addBoot adds the kernel, and systemd's loader and stub.
func (r *root) addBoot(debian *archive) error {
	kernels := debian.match("boot/vmlinuz-*")
	if len(kernels) != 1 {
		return fmt.Errorf("kernels %q: want exactly one boot/vmlinuz-*", kernels)
	}
	for _, name := range append(kernels,
		"usr/lib/systemd/boot/efi/linuxx64.efi.stub", "usr/lib/systemd/boot/efi/systemd-bootx64.efi") {
		content, err := debian.read(name)
		if err != nil {
			return err
		}
		r.file(name, 0o644, content)
	}
	return nil
}

// write writes the tree in the order of the names, so that folders come before
// what is in them.
func (r *root) write(w io.Writer) error {
	out := tar.NewWriter(w)
	for _, name := range slices.Sorted(maps.Keys(r.out)) {
		e := r.out[name]
		e.header.ModTime = time.Unix(0, 0)
		e.header.Format = tar.FormatPAX
		if err := out.WriteHeader(&e.header); err != nil {
			return err
		}
		if _, err := out.Write(e.content); err != nil {
			return err
		}
	}
	return out.Close()
}
