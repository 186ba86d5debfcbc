// Package program runs the programs that the agent calls: those of a release
// (health checks, migrations) with Run, and those that know something about the
// machine (systemctl, journalctl) with Answer. They are bounded in time and in
// memory, and what they start goes with them.
package program

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// Program is what to run.
type Program struct {
	Path    string
	Args    []string
	Env     []string      // besides that of the agent
	Timeout time.Duration // 0 means that it may take as long as its context lasts
}

// Run runs it in the root folder, without input. The error of one that does not
// end with 0 is its last line of output, or else how it ended; that of one which
// is cut off says so.
func Run(ctx context.Context, p Program) error {
	output := &Tail{Most: linesMost}
	cut, err := p.run(ctx, output, output)
	line := output.LastLine()
	switch {
	case err == nil:
		return nil
	case cut && line != "":
		return fmt.Errorf("no answer within %s: %s", p.Timeout, line)
	case cut:
		return fmt.Errorf("no answer within %s", p.Timeout)
	case line != "":
		return errors.New(line)
	}
	return err
}

// Answer runs it as Run does and returns the end of what it prints, whole lines
// and at most most bytes. The error of one that does not end with 0 is the last
// line of its complaints, or else how it ended.
func Answer(ctx context.Context, p Program, most int64) ([]byte, error) {
	output, complaints := &Tail{Most: most}, &Tail{Most: linesMost}
	cut, err := p.run(ctx, output, complaints)
	switch {
	case err == nil:
		return output.Bytes(), nil
	case cut:
		return nil, errors.New("no answer in time")
	case complaints.LastLine() != "":
		return nil, errors.New(complaints.LastLine())
	}
	return nil, err
}

// linesMost is how many bytes the last line of output is looked for in.
const linesMost = 4096

// run reports besides whether the program was cut off.
func (p Program) run(ctx context.Context, output, complaints io.Writer) (cut bool, err error) {
	if p.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, p.Timeout)
		defer cancel()
	}
	cmd := exec.CommandContext(ctx, p.Path, p.Args...)
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), p.Env...)
	cmd.Stdout, cmd.Stderr = output, complaints
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	err = cmd.Run()
	return ctx.Err() != nil, err
}
