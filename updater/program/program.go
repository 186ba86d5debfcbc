// Package program runs the programs of a release that the agent calls: health
// checks and migrations. They are bounded in time, and what they start goes
// with them.
package program

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// Program is what to run.
type Program struct {
	Path    string
	Args    []string
	Env     []string // besides that of the agent
	Timeout time.Duration
}

// Run runs it in the root folder, without input. The error of one that does not
// end with 0 is its last line of output, or else how it ended; that of one which
// is cut off says so.
func Run(ctx context.Context, p Program) error {
	attempt, cancel := context.WithTimeout(ctx, p.Timeout)
	defer cancel()
	output := &tail{}
	cmd := exec.CommandContext(attempt, p.Path, p.Args...)
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), p.Env...)
	cmd.Stdout, cmd.Stderr = output, output
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	line := output.lastLine()
	switch {
	case err == nil:
		return nil
	case attempt.Err() != nil && line != "":
		return fmt.Errorf("no answer within %s: %s", p.Timeout, line)
	case attempt.Err() != nil:
		return fmt.Errorf("no answer within %s", p.Timeout)
	case line != "":
		return errors.New(line)
	}
	return err
}

// tail keeps the end of what is written to it.
type tail struct{ kept []byte }

const tailMost = 4096

func (t *tail) Write(p []byte) (int, error) {
	t.kept = append(t.kept, p...)
	if len(t.kept) > tailMost {
		t.kept = append(t.kept[:0], t.kept[len(t.kept)-tailMost:]...)
	}
	return len(p), nil
}

func (t *tail) lastLine() string {
	text := bytes.TrimSpace(t.kept)
	return string(bytes.TrimSpace(text[bytes.LastIndexByte(text, '\n')+1:]))
}
