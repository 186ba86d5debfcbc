package main

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/proa-os/proa/partitions/esp"
)

// softdog is loaded only where it is wanted: it would take the place of a
// hardware watchdog that a later driver finds.
const softdog = "softdog"

// loadModules loads every module of the initrd, in the order of its list.
// Most are for hardware that is not here and say so; a module that is missed
// shows later, as a missing disk or file system.
func (b *boot) loadModules() error {
	list, err := os.ReadFile("/modules.list")
	if err != nil {
		return err
	}
	parameters := moduleParameters(b.line)
	for _, file := range strings.Fields(string(list)) {
		name := strings.TrimSuffix(path.Base(file), ".ko")
		if name == softdog {
			continue
		}
		if err := loadModule(file, parameters[name]); err != nil {
			b.log.info("%v", err)
		}
	}
	// Without UEFI there is no such folder.
	if _, err := os.Stat(efiVariables); err == nil {
		const flags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
		if err := mount("efivarfs", efiVariables, "efivarfs", flags, ""); err != nil {
			b.log.info("%v", err)
		}
	}
	if selected, err := variables(efiVariables).read(entrySelected, loaderVendor); err == nil {
		b.selected, _ = esp.SlotOfEntry(decodeUTF16(selected))
	}
	return nil
}

// moduleParameters are the words NAME.PARAMETER=VALUE of the command line, by
// module name. The kernel takes those of built-in modules itself.
func moduleParameters(line string) map[string]string {
	parameters := make(map[string]string)
	for _, word := range strings.Fields(line) {
		key, _, _ := strings.Cut(word, "=")
		name, parameter, ok := strings.Cut(key, ".")
		if !ok || name == "" || parameter == "" {
			continue
		}
		word = word[len(name)+1:]
		name = strings.ReplaceAll(name, "-", "_")
		if before := parameters[name]; before != "" {
			word = before + " " + word
		}
		parameters[name] = word
	}
	return parameters
}

// loadModule loads one module. That it is there already, that its hardware is
// not (ENODEV), or that of a module which it needs (ENOENT: unknown symbols),
// is no error.
func loadModule(file, parameters string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	err = unix.FinitModule(int(f.Fd()), parameters, 0)
	switch {
	case err == nil, errors.Is(err, unix.EEXIST), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENOENT):
		return nil
	}
	return fmt.Errorf("loading module %s: %w", file, err)
}

const watchdogPath = "/dev/watchdog0"

// armWatchdog starts the watchdog, if the command line asks for it. Closing
// the device does not stop it: from here on a hang resets the machine, and
// /sbin/init must take over (systemd: RuntimeWatchdogSec=). Without a
// watchdog the machine boots all the same.
func (b *boot) armWatchdog() error {
	if b.options.Watchdog == 0 {
		return nil
	}
	if _, err := os.Stat(watchdogPath); err != nil {
		if err := loadModule("/modules/"+softdog+".ko", moduleParameters(b.line)[softdog]); err != nil {
			b.log.fault("no watchdog: %v", err)
			return nil
		}
	}
	device, err := os.OpenFile(watchdogPath, os.O_WRONLY, 0)
	if err != nil {
		b.log.fault("no watchdog: %v", err)
		return nil
	}
	defer device.Close()
	seconds := int32(b.options.Watchdog / time.Second)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, device.Fd(), unix.WDIOC_SETTIMEOUT, uintptr(unsafe.Pointer(&seconds)))
	if errno != 0 {
		b.log.fault("setting the watchdog to %d s: %v; it runs with its own timeout", b.options.Watchdog/time.Second, errno)
		return nil
	}
	b.log.info("watchdog resets after %d s without a sign of life", seconds)
	return nil
}
