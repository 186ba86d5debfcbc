package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Where the changes to /etc are kept: on the var partition, or in memory.
const (
	persistentEtc = sysroot + "/var/lib/proa/etc"
	transientEtc  = "/run/proa/etc"
)

// mountEtc puts a writable layer over the image's /etc. If the layer on var
// cannot be used, one in memory makes the machine reachable, and the console
// says so.
func (b *boot) mountEtc() error {
	if b.varKeeps && !b.options.EtcLost {
		if err := takeBack(persistentEtc); err != nil {
			b.log.fault("taking back changes to /etc: %v", err)
		}
		err := overlay(sysroot+"/etc", persistentEtc)
		if err == nil {
			b.etcKeeps = true
			return nil
		}
		b.log.fault("%v; CHANGES TO /etc WILL BE LOST", err)
	}
	return overlay(sysroot+"/etc", transientEtc)
}

// overlay mounts a writable layer over a folder of the image. The layer is in
// upper and work inside the given folder.
//
// The image below the layer changes with each release, which overlayfs allows
// as long as the layer has no references into it: hence the options.
func overlay(target, folder string) error {
	upper, work := filepath.Join(folder, "upper"), filepath.Join(folder, "work")
	fresh := errors.Is(unix.Access(upper, unix.F_OK), unix.ENOENT)
	if err := os.MkdirAll(upper, 0o755); err != nil {
		return err
	}
	if fresh {
		if err := likeFolder(upper, target); err != nil {
			return err
		}
	}
	// What an interrupted copy left in it; overlayfs wants it empty.
	if err := os.RemoveAll(work); err != nil {
		return err
	}
	if err := os.MkdirAll(work, 0o700); err != nil {
		return err
	}
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s,index=off,metacopy=off,redirect_dir=nofollow", target, upper, work)
	return mount("overlay", target, "overlay", 0, options)
}

// likeFolder gives a folder the owner and mode of another: the mounted
// overlay's root has those of its upper layer.
func likeFolder(folder, model string) error {
	var st unix.Stat_t
	if err := unix.Stat(model, &st); err != nil {
		return fmt.Errorf("looking at %s: %w", model, err)
	}
	if err := os.Chown(folder, int(st.Uid), int(st.Gid)); err != nil {
		return err
	}
	if err := unix.Chmod(folder, st.Mode&0o7777); err != nil {
		return fmt.Errorf("changing mode of %s: %w", folder, err)
	}
	return nil
}
