package updater

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/proa-os/proa/progress"
)

// healthPause is between two attempts of one check.
const healthPause = time.Second

// runHealthChecks runs every executable of the health folders, folder by
// folder and by name. Each is tried again until it ends with 0 or until the
// limit for all of them is reached. The error names the check that did not
// pass, and its last line of output.
func (s *session) runHealthChecks(ctx context.Context) error {
	checks, err := healthChecks(s.host.HealthDirs)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(s.Settings.HealthLimit))
	defer cancel()
	for _, check := range checks {
		name := "health check " + filepath.Base(check)
		err := s.report(name, 0, func(progress.Step) error { return s.pass(ctx, check) })
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// healthChecks lists the executables. A folder may be missing; a file that is
// not executable is not a check.
func healthChecks(folders []string) ([]string, error) {
	var checks []string
	for _, folder := range folders {
		entries, err := os.ReadDir(folder)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("health checks: %w", err)
		}
		for _, entry := range entries {
			path := filepath.Join(folder, entry.Name())
			info, err := os.Stat(path)
			if err != nil {
				return nil, fmt.Errorf("health checks: %w", err)
			}
			if info.Mode().IsRegular() && info.Mode()&0o111 != 0 && !strings.HasPrefix(entry.Name(), ".") {
				checks = append(checks, path)
			}
		}
	}
	return checks, nil
}

// pass tries one check until it passes or ctx ends.
func (s *session) pass(ctx context.Context, check string) error {
	var last error
	for {
		err := s.attempt(ctx, check)
		if err == nil {
			return nil
		}
		// An attempt that the end of ctx cut short says less than the one before.
		if last == nil || ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return last
		case <-time.After(healthPause):
		}
	}
}

func (s *session) attempt(ctx context.Context, check string) error {
	timeout := time.Duration(s.Settings.HealthTimeout)
	attempt, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	output := &tail{}
	cmd := exec.CommandContext(attempt, check)
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = output, output
	// What a check starts goes with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	line := output.lastLine()
	switch {
	case err == nil:
		return nil
	case attempt.Err() != nil && line != "":
		return fmt.Errorf("no answer within %s: %s", timeout, line)
	case attempt.Err() != nil:
		return fmt.Errorf("no answer within %s", timeout)
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
