package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// programTime is more than checking the largest file system takes.
const programTime = 24 * time.Hour

// runInImage runs a program of the image, by the first of the names that it
// has, with the root file system as its root, and returns its standard output.
// The watchdog is fed as long as the program gets ahead: a check of a large
// file system lasts, and is not to begin anew with each reset.
func (b *boot) runInImage(names []string, args ...string) ([]byte, error) {
	program := ""
	for _, name := range names {
		for _, folder := range []string{"/usr/sbin/", "/sbin/", "/usr/bin/", "/bin/", "/usr/lib/systemd/"} {
			if _, err := resolve(sysroot, folder+name); err == nil && program == "" {
				program = folder + name
			}
		}
	}
	if program == "" {
		return nil, fmt.Errorf("the image has no %s", strings.Join(names, " or "))
	}
	for _, name := range moved {
		target := filepath.Join(sysroot, name)
		if err := mount("/"+name, target, "", unix.MS_BIND, ""); err != nil {
			return nil, err
		}
		defer unix.Unmount(target, unix.MNT_DETACH)
	}
	command := exec.Cmd{
		Path:        program,
		Args:        append([]string{program}, args...),
		Env:         []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"},
		Dir:         "/",
		SysProcAttr: &syscall.SysProcAttr{Chroot: sysroot},
	}
	var said, complaints bytes.Buffer
	command.Stdout, command.Stderr = &said, &complaints
	err := command.Start()
	if err == nil {
		err = await(&command, programTime, time.Second/4, whileAhead(command.Process.Pid, b.feedWatchdog()))
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", program, err, bytes.TrimSpace(append(complaints.Bytes(), said.Bytes()...)))
	}
	return said.Bytes(), nil
}

// whileAhead returns what calls progress if a process has done anything since it was
// called last: the kernel then says more of its processor time (proc_pid_stat(5)), or
// of how often it slept and was woken (proc_pid_status(5)). Of one that hangs in the
// kernel, and of one that has ended, it says the same.
func whileAhead(pid int, progress func()) func() {
	var before []byte
	return func() {
		stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		// Others send signals, which are counted before this.
		_, switches, _ := bytes.Cut(status, []byte("\nvoluntary_ctxt_switches:"))
		now := append(stat, switches...)
		if !bytes.Equal(now, before) {
			progress()
		}
		before = now
	}
}

// await waits for a program that was started, and kills it after a limit. Until then it
// calls progress now and again: what cannot even be killed is left to the watchdog.
func await(command *exec.Cmd, limit, pause time.Duration, progress func()) error {
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	ticks := time.NewTicker(pause)
	defer ticks.Stop()
	late := time.After(limit)
	for {
		select {
		case err := <-ended:
			return err
		case <-ticks.C:
			progress()
		case <-late:
			command.Process.Kill()
			return <-ended
		}
	}
}
