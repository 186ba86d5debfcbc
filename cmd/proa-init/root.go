package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/proa-os/proa/partitions/devmapper"
	"github.com/proa-os/proa/partitions/verity"
)

const (
	initPath = "/sbin/init"
	nodeWait = 10 * time.Second // for a partition's device after its disk's
)

// openRoot opens the slot with dm-verity and mounts it. Until the root has
// proven to be readable, a corrupt block is an error to us, so that we can try
// the other slot; from then on it resets the machine.
func (b *boot) openRoot() error {
	data, err := nodeOf(b.found.disk, b.found.root, "/sys/block", nodeWait)
	if err != nil {
		return err
	}
	hashes, err := nodeOf(b.found.disk, b.found.verity, "/sys/block", nodeWait)
	if err != nil {
		return err
	}
	if err := b.openVerity(data, hashes); err != nil {
		return err
	}
	b.rootOpen = true
	b.forgetFallbacks()
	return nil
}

// openVerity opens a root and its hash tree, and mounts it.
func (b *boot) openVerity(data, hashes string) error {
	target := devmapper.Verity{
		DataDevice:     data,
		HashDevice:     hashes,
		Blocks:         b.options.Root.Blocks,
		RootHash:       b.options.Root.Hash[:],
		Salt:           b.options.Root.Salt,
		HashStartBlock: verity.HashStartBlock,
	}
	device, err := devmapper.CreateVerity(devmapper.RootName, target)
	if err != nil {
		return err
	}
	if err := mount(device, sysroot, "erofs", unix.MS_RDONLY, ""); err != nil {
		return err
	}
	for _, name := range append([]string{"var", "etc"}, moved...) {
		if st, err := os.Lstat(filepath.Join(sysroot, name)); err != nil || !st.IsDir() {
			return fmt.Errorf("the image has no folder /%s to mount on", name)
		}
	}
	if err := readInit(); err != nil {
		return err
	}
	target.OnCorruption = devmapper.Restart
	return devmapper.Replace(devmapper.RootName, target)
}

// readInit reads the program that we are going to become.
func readInit() error {
	path, err := resolve(sysroot, initPath)
	if err != nil {
		return fmt.Errorf("the image's %s: %w", initPath, err)
	}
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("the image's %s: %w", initPath, err)
	}
	defer file.Close()
	if _, err := io.Copy(io.Discard, file); err != nil {
		return fmt.Errorf("reading the image's %s: %w", initPath, err)
	}
	return nil
}

const mostLinks = 40 // the kernel's own limit

// resolve returns where a path inside root really is, following symbolic links
// as if root were "/". The file at its end must exist.
func resolve(root, path string) (string, error) {
	rest := strings.Split(path, "/")
	at := "/" // inside root
	for links := 0; len(rest) > 0; {
		name := rest[0]
		rest = rest[1:]
		next := filepath.Join(at, name) // which keeps ".." at the root
		target, err := os.Readlink(filepath.Join(root, next))
		if err != nil {
			at = next
			continue
		}
		if links++; links > mostLinks {
			return "", fmt.Errorf("resolving %s: %w", path, syscall.ELOOP)
		}
		if filepath.IsAbs(target) {
			at = "/"
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	full := filepath.Join(root, at)
	_, err := os.Lstat(full)
	return full, err
}
