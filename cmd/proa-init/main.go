// Command proa-init is the first program of an image's initrd. It finds the
// slot whose root file system the kernel command line vouches for, opens it
// with dm-verity, mounts /var and /etc, and hands over to /sbin/init. When it
// cannot, it resets the machine: the boot loader then takes the committed
// slot.
//
// It trusts the command line, which is signed with the kernel, and nothing on
// the disk but what hashes to the root hash in it. It never writes to a slot,
// and to a partition table only to give var what the disk has grown by. It
// formats var only when that is blank, and makes it blank only when the agent was
// asked for a factory reset.
package main

import (
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// version is set by the linker, with -X main.version=.
var version = "unknown"

func main() {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "error: proa-init is the first program of an initrd and does nothing elsewhere")
		os.Exit(2)
	}
	log := &kernelLog{}
	// The kernel panics when its first program ends, and resets after panic=
	// seconds: say why before, and do not wait for that.
	defer func() {
		if p := recover(); p != nil {
			log.fault("bug: %v\n%s", p, debug.Stack())
			reset(log)
		}
	}()
	b := &boot{log: log}
	err := b.run()
	log.fault("%v", err)
	if next, ok := b.fallBack(); ok {
		log.fault("this slot cannot be booted: trying slot %s once", next)
	}
	reset(log)
}

// reset restarts the machine, after a moment for the console to show why.
func reset(log *kernelLog) {
	log.fault("resetting")
	synced := make(chan struct{})
	go func() {
		unix.Sync()
		close(synced)
	}()
	select {
	case <-synced:
	case <-time.After(10 * time.Second): // a disk that hangs may be why
	}
	time.Sleep(2 * time.Second)
	err := unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
	log.fault("resetting: %v", err)
	os.Exit(1) // which the kernel answers with a panic
}

// kernelLog writes to the kernel's log, and so to the console and, later, to
// the journal. Until the node is there, errors go to standard error, which is
// the console, and the rest waits.
type kernelLog struct {
	file    *os.File
	waiting []string
}

// The priorities of syslog; "quiet" lets only errors through to the console.
const (
	priorityError = 3
	priorityInfo  = 6
)

func (l *kernelLog) info(format string, args ...any)  { l.write(priorityInfo, format, args...) }
func (l *kernelLog) fault(format string, args ...any) { l.write(priorityError, format, args...) }

// A record of the kernel's log has one line and less than 1 KiB.
const mostLine = 900

func (l *kernelLog) write(priority int, format string, args ...any) {
	for line := range strings.SplitSeq(strings.TrimSpace(fmt.Sprintf(format, args...)), "\n") {
		line = "proa-init: " + line[:min(len(line), mostLine)]
		record := fmt.Sprintf("<%d>%s\n", priority, line)
		switch {
		case l.file != nil:
			_, _ = l.file.WriteString(record) // there is nowhere to tell of an error
		case priority == priorityError:
			fmt.Fprintln(os.Stderr, line)
		default:
			l.waiting = append(l.waiting, record)
		}
	}
}

// open switches to the kernel's log, and lifts its limit of ten lines in five
// seconds, which would swallow the ones that matter.
func (l *kernelLog) open() error {
	file, err := os.OpenFile("/dev/kmsg", os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	l.file = file
	for _, record := range l.waiting {
		_, _ = file.WriteString(record)
	}
	l.waiting = nil
	_ = os.WriteFile("/proc/sys/kernel/printk_devkmsg", []byte("on\n"), 0) // cosmetic
	return nil
}
