package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"
)

const liveInstaller = "/run/proa/live/proa"

// startInstallation does what proa-install.service does under systemd, in a live
// system that was told to install itself: when it is done, the machine powers off.
func startInstallation() error {
	line, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return err
	}
	if _, err := os.Stat(liveInstaller); errors.Is(err, os.ErrNotExist) || !strings.Contains(string(line), " proa.install=") {
		return nil
	}
	cmd := exec.Command(liveInstaller, "install", "--unattended")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() {
		if err := cmd.Wait(); err != nil {
			fmt.Fprintln(os.Stderr, "appliance: installing:", err)
			return
		}
		_ = unix.Kill(1, unix.SIGUSR2)
	}()
	return nil
}
