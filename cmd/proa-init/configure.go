package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	configureProgram = "/usr/bin/proa-agent"
	configureTime    = 2 * time.Minute // far more than it takes: a hang must not keep a machine down
	configureEnd     = 5 * time.Second // for what it started and left behind
)

// configure lets the image's own agent configure the machine before anything
// else of the image runs, unless that was done in an earlier boot. What goes
// wrong with it is told, and the machine boots all the same.
func (b *boot) configure() error {
	if b.options.Live || b.etcKeeps && isConfigured(varTarget+"/lib/proa") {
		return nil
	}
	if _, err := resolve(sysroot, configureProgram); err != nil {
		return nil // an image without an agent is configured by whoever made it
	}
	if err := b.runConfigure(); err != nil {
		b.log.fault("configuring the machine: %v", err)
	}
	return nil
}

// isConfigured reports whether the agent's folder on var says that there is
// nothing to do.
func isConfigured(folder string) bool {
	there := func(name string) bool {
		_, err := os.Lstat(filepath.Join(folder, name))
		return !errors.Is(err, fs.ErrNotExist)
	}
	return there("configured.json") && !there("configure/again") && !there("configure/pending.json")
}

func (b *boot) runConfigure() error {
	for _, name := range moved {
		target := filepath.Join(sysroot, name)
		if err := mount("/"+name, target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
			return err
		}
		defer unix.Unmount(target, unix.MNT_DETACH)
	}
	var out bytes.Buffer
	command := exec.Cmd{
		Path:        configureProgram,
		Args:        []string{configureProgram, "configure", "--at-boot"},
		Env:         []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"},
		Dir:         "/",
		Stdout:      &out,
		Stderr:      &out,
		SysProcAttr: &syscall.SysProcAttr{Chroot: sysroot},
		WaitDelay:   configureEnd,
	}
	if err := command.Start(); err != nil {
		return err
	}
	err := await(&command, configureTime, time.Second/4, b.feedWatchdog())
	said := strings.TrimSpace(out.String())
	if err != nil {
		return fmt.Errorf("%w: %s", err, said)
	}
	if said != "" {
		b.log.info("%s", said)
	}
	return nil
}
