// Command init is the appliance's PID 1. It mounts what is not mounted, loads
// modules, configures the network of QEMU, starts the judge of a trial boot if
// the image has one, and answers package machine's commands. SIGTERM makes it
// reboot, SIGUSR1 and SIGUSR2 power off, which is what busybox sends.
//
// PID 1 itself only reaps and waits for signals; the work is done by a child,
// the same program again.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/proa-os/proa/machine/guest"
	"golang.org/x/sys/unix"
)

func main() {
	run := work
	if os.Getpid() == 1 {
		run = supervise
	}
	if err := run(); err != nil {
		// In PID 1 this panics the kernel, which resets the machine.
		fmt.Fprintln(os.Stderr, "appliance:", err)
		os.Exit(1)
	}
}

// supervise is PID 1.
func supervise() error {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, unix.SIGCHLD, unix.SIGTERM, unix.SIGINT, unix.SIGUSR1, unix.SIGUSR2)
	if err := mountAll(); err != nil {
		return err
	}
	os.Setenv("PATH", "/usr/sbin:/usr/bin")
	os.Setenv("HOME", "/root")
	child, err := os.StartProcess("/proc/self/exe", []string{"appliance"}, &os.ProcAttr{
		Env:   os.Environ(),
		Files: []*os.File{os.Stdin, os.Stdout, os.Stderr},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return err
	}
	for s := range signals {
		switch s {
		case unix.SIGCHLD:
			if reap(child.Pid) {
				return errors.New("the working process ended")
			}
		case unix.SIGTERM, unix.SIGINT:
			return stop(unix.LINUX_REBOOT_CMD_RESTART)
		default:
			return stop(unix.LINUX_REBOOT_CMD_POWER_OFF)
		}
	}
	return nil
}

// reap collects every ended child, and reports whether pid was one of them.
func reap(pid int) (found bool) {
	for {
		ended, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || ended <= 0 {
			return found
		}
		found = found || ended == pid
	}
}

// stop ends all processes, makes the file systems clean and resets or powers
// off the machine.
func stop(command int) error {
	_ = unix.Kill(-1, unix.SIGTERM)
	for range 20 {
		reap(0)
		if _, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); errors.Is(err, unix.ECHILD) {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	_ = unix.Kill(-1, unix.SIGKILL)
	unix.Sync()
	unmountAll()
	return unix.Reboot(command)
}

// work is the child: everything that is not PID 1's.
func work() error {
	for _, step := range []string{
		"modprobe -a -q virtio_pci virtio_console virtio_net vfat nls_cp437 nls_ascii nls_utf8",
		"hostname appliance; ip link set lo up; ip link set eth0 up",
		"ip address add 10.0.2.15/24 dev eth0; ip route add default via 10.0.2.2",
		"[ ! -d /sys/firmware/efi ] || { modprobe -q efivarfs; grep -q efivarfs /proc/mounts || mount -t efivarfs efivarfs /sys/firmware/efi/efivars; }",
	} {
		cmd := exec.Command("/bin/sh", "-c", step)
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		if err := cmd.Run(); err != nil {
			fmt.Fprintf(os.Stderr, "appliance: %s: %v\n", step, err)
		}
	}
	if err := startJudge(); err != nil {
		fmt.Fprintln(os.Stderr, "appliance: starting the judge:", err)
	}
	if err := startInstallation(); err != nil {
		fmt.Fprintln(os.Stderr, "appliance: starting the installation:", err)
	}
	if uptime, err := os.ReadFile("/proc/uptime"); err == nil {
		fmt.Printf("appliance: ready after %s s\n", strings.Fields(string(uptime))[0])
	}
	port, err := guest.OpenPort(context.Background())
	if err != nil {
		return err
	}
	return guest.Serve(context.Background(), port)
}
