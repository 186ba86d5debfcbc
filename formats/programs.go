package formats

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/proa-os/proa/progress"
)

// program is one of others that writes formats.
type program struct {
	name    string
	brings  string // the Debian package
	percent string // what follows a number in the output that says how far it is
}

var (
	qemuImg = program{name: "qemu-img", brings: "qemu-utils", percent: "/100%"}
	xorriso = program{name: "xorriso", brings: "xorriso", percent: "% done"}
)

// MissingError is a program that a format needs and this machine does not have.
type MissingError struct {
	Program string
	Package string // the Debian package that brings it
}

func (e *MissingError) Error() string {
	return fmt.Sprintf("%s is not installed, and the format is written by it", e.Program)
}

// find is the program's path.
func (p program) find() (string, error) {
	path, err := exec.LookPath(p.name)
	if err != nil {
		return "", &MissingError{Program: p.name, Package: p.brings}
	}
	return path, nil
}

// Check says whether this machine has what the format is written by; if not, the
// error is a *MissingError.
func (f Format) Check() error {
	var err error
	switch f {
	case QCOW2, VHD, VMDK, OVA:
		_, err = qemuImg.find()
	case ISO:
		_, err = xorriso.find()
	}
	return err
}

// runProgram runs a program in the working folder, and reports how far it is. With
// what it printed last in the error.
func (c *conversion) runProgram(ctx context.Context, p program, args ...string) error {
	path, err := p.find()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir = c.work
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + c.work, "TMPDIR=" + c.work,
		"LC_ALL=C", "TZ=UTC", "SOURCE_DATE_EPOCH=" + strconv.FormatInt(c.release.Epoch, 10),
	}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	const percent = 100
	step := c.Progress.Step(p.name, percent)
	out := &follower{marker: []byte(p.percent), step: step}
	cmd.Stdout, cmd.Stderr = out, out
	err = cmd.Run()
	step.Done(err)
	if err != nil {
		return fmt.Errorf("%s: %w: %s", p.name, err, out.last())
	}
	return nil
}

// follower looks for percents in what a program prints, and keeps its end.
type follower struct {
	marker []byte
	step   progress.Step
	done   int64 // percents told to step
	tail   []byte
}

var _ io.Writer = (*follower)(nil)

func (f *follower) Write(p []byte) (int, error) {
	const most = 2000
	f.tail = append(f.tail, p...)
	if at := bytes.LastIndex(f.tail, f.marker); at >= 0 && len(f.marker) > 0 {
		begin := bytes.LastIndexAny(f.tail[:at], " (\r\n") + 1
		if value, err := strconv.ParseFloat(string(f.tail[begin:at]), 64); err == nil && value >= 0 && value <= 100 {
			f.step.Add(int64(value) - f.done)
			f.done = int64(value)
		}
	}
	f.tail = f.tail[max(0, len(f.tail)-most):]
	return len(p), nil
}

// last are the last lines that say something, for an error.
func (f *follower) last() string {
	var said []string
	for _, line := range strings.FieldsFunc(string(f.tail), func(r rune) bool { return r == '\n' || r == '\r' }) {
		if line = strings.TrimSpace(line); line != "" && !strings.Contains(line, string(f.marker)) {
			said = append(said, line)
		}
	}
	return strings.Join(said[max(0, len(said)-4):], "; ")
}
