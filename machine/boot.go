package machine

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
)

// Reason is why a boot ended.
type Reason string

// The reasons. A guest that panics resets itself after panic= seconds and is
// then ReasonReset, unless it has a pvpanic device.
const (
	ReasonReset    Reason = "guest-reset"
	ReasonShutdown Reason = "guest-shutdown"
	ReasonPanic    Reason = "guest-panic"
	ReasonPowerCut Reason = "power-cut" // PowerCut, or the end of the context
	ReasonCrashed  Reason = "crashed"   // QEMU ended by itself
)

// EndedError is what was waited for when the boot ended first.
type EndedError struct {
	Waiting string // such as "running true"
	Reason  Reason
}

func (e *EndedError) Error() string {
	return fmt.Sprintf("%s: the machine ended: %s", e.Waiting, e.Reason)
}

// Boot is one run of a machine, from power-on to power-off.
type Boot struct {
	Number int       // 1 for a machine's first
	Log    string    // path of the serial console's log
	Start  time.Time // of power-on

	// LastPicture is the path of a PNG picture of the display at the moment when the
	// guest ended by itself; "" without Config.Screen, and not there after a power cut.
	LastPicture string

	// The logs of Config.Record, else "": raw files in the format of the kernel's
	// dm-log-writes, with sectors of 512 bytes. They are sparse, and longer than
	// what is in them: the first entry that is all zero ends one.
	DiskWrites     string
	VariableWrites string // also "" in a direct boot

	process *os.Process
	cut     atomic.Bool
	ended   chan struct{} // closed when QEMU is gone; guards the next three
	reason  Reason
	failure error // of a crash
	memory  int64 // bytes

	channel *channel
	monitor *monitor
}

// start runs QEMU for boot number n.
func start(ctx context.Context, m *Machine, n int) (*Boot, error) {
	board, err := m.config.board()
	if err != nil {
		return nil, err
	}
	qemu, err := board.find()
	if err != nil {
		return nil, err
	}
	b := &Boot{
		Number: n,
		Log:    filepath.Join(m.config.Dir, fmt.Sprintf("boot-%d.log", n)),
		Start:  time.Now(),
		ended:  make(chan struct{}),
	}
	if m.config.Screen {
		b.LastPicture = filepath.Join(m.config.Dir, fmt.Sprintf("boot-%d.png", n))
	}
	if m.config.Record {
		if err := b.makeWriteLogs(m.config); err != nil {
			return nil, err
		}
	}
	guestHost, guestQEMU, err := socketPair("guest channel")
	if err != nil {
		return nil, err
	}
	defer guestQEMU.Close()
	qmpHost, qmpQEMU, err := socketPair("qmp")
	if err != nil {
		guestHost.Close()
		return nil, err
	}
	defer qmpQEMU.Close()
	inherited := []*os.File{guestQEMU, qmpQEMU}
	var chip *tpm
	if m.config.TPM {
		if chip, err = newTPM(m.tpmFolder()); err != nil {
			guestHost.Close()
			qmpHost.Close()
			return nil, err
		}
		inherited = append(inherited, chip.qemu)
	}

	var complaints bytes.Buffer
	cmd := exec.CommandContext(ctx, qemu, m.arguments(b, board)...)
	cmd.Stdout, cmd.Stderr = &complaints, &complaints
	cmd.ExtraFiles = inherited
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error {
		b.cut.Store(true)
		return cmd.Process.Kill()
	}

	started := make(chan error, 1)
	go func() {
		// Pdeathsig fires when the thread that forked ends, not the process: keep
		// that thread until QEMU is gone.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := chip.start(); err != nil {
			started <- err
			return
		}
		if err := cmd.Start(); err != nil {
			chip.wait()
			started <- err
			return
		}
		b.process = cmd.Process
		b.channel = newChannel(guestHost)
		b.monitor = watchQMP(qmpHost, b.LastPicture)
		started <- nil
		err := cmd.Wait()
		why := <-b.monitor.reason
		if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
			b.memory = usage.Maxrss << 10
		}
		b.end(why, err, complaints.String()+chip.wait())
	}()
	if err := <-started; err != nil {
		chip.close()
		guestHost.Close()
		qmpHost.Close()
		return nil, err
	}
	return b, nil
}

// end records how the boot ended and wakes whoever waits.
func (b *Boot) end(announced Reason, err error, complaints string) {
	switch {
	case b.cut.Load() && err != nil: // killed, not ended just before
		b.reason = ReasonPowerCut
	case announced != "" && err == nil:
		b.reason = announced
	default:
		b.reason = ReasonCrashed
		b.failure = fmt.Errorf("qemu ended by itself: %v: %s", err, bytes.TrimSpace([]byte(complaints)))
	}
	close(b.ended) // first: what fails from here on, fails because of it
	b.channel.close()
}

// Ended reports whether the boot is over.
func (b *Boot) Ended() bool {
	select {
	case <-b.ended:
		return true
	default:
		return false
	}
}

// ProcessID is that of QEMU.
func (b *Boot) ProcessID() int { return b.process.Pid }

// PeakMemory is the most memory that QEMU had, in bytes; 0 before the boot has
// ended.
func (b *Boot) PeakMemory() int64 {
	if !b.Ended() {
		return 0
	}
	return b.memory
}

// Wait waits until the boot has ended and says why. A crash of QEMU itself is
// an error, with what it printed.
func (b *Boot) Wait(ctx context.Context) (Reason, error) {
	select {
	case <-b.ended:
		return b.reason, b.failure
	case <-ctx.Done():
		return "", fmt.Errorf("waiting for boot %d to end: %w", b.Number, context.Cause(ctx))
	}
}

// PowerCut kills QEMU, as a pulled plug would end the guest, and waits until
// it is gone. It does nothing to a boot that has ended.
func (b *Boot) PowerCut() {
	b.cut.Store(true)
	// The only error is that it has ended already.
	_ = b.process.Kill()
	<-b.ended
}

// socketPair is a connected pair of sockets, the second one to be inherited.
func socketPair(name string) (ours, theirs *os.File, err error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("making a socket pair for the %s: %w", name, err)
	}
	// Without this, a read would hold a thread and Close would not wake it.
	if err := syscall.SetNonblock(fds[0], true); err != nil {
		return nil, nil, fmt.Errorf("making the socket of the %s non-blocking: %w", name, err)
	}
	return os.NewFile(uintptr(fds[0]), name), os.NewFile(uintptr(fds[1]), name), nil
}
