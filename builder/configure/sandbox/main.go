package sandbox

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Main returns at once in a program that its user called, and never in one
// that Run started. It is what main calls first, also that of a test.
func Main() {
	if len(os.Args) < 2 || os.Args[0] != arg0 {
		return
	}
	runtime.LockOSThread()
	var err error
	switch os.Args[1] {
	case stageWait, stageInside:
		if os.Getpid() != 1 { // on a host, nothing must be mounted
			return
		}
		if err = wait(os.Args[1]); err == nil {
			err = inside()
		}
	case stageScript:
		err = becomeScript(os.Args[2:])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(125)
	}
	os.Exit(0)
}

// wait waits until this process has its ids, and begins anew: only a program
// that root of the namespace begins has root's rights.
func wait(stage string) error {
	if stage == stageInside {
		return nil
	}
	ready := os.NewFile(fdReady, "ready")
	if _, err := ready.Read(make([]byte, 1)); err != nil {
		return fmt.Errorf("waiting for ids: %w", err)
	}
	ready.Close()
	return syscall.Exec(fmt.Sprintf("/proc/self/fd/%d", fdProgram), []string{arg0, stageInside}, nil)
}

// becomeScript gives up rights and becomes what args name: an interpreter's
// path and its arguments.
func becomeScript(args []string) error {
	if len(args) == 0 || !strings.HasPrefix(args[0], "/") {
		return fmt.Errorf("interpreter %q: want an absolute path", args)
	}
	if err := confine(); err != nil {
		return err
	}
	unix.Umask(0o022)
	return fmt.Errorf("starting %s: %w", args[0], syscall.Exec(args[0], args, os.Environ()))
}
