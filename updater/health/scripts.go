package health

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// all is every check that is configured: the executables in their order, and the others.
func (c *Checks) all() (scripts, probes []check, err error) {
	paths, err := executables(c.Folders)
	if err != nil {
		return nil, nil, err
	}
	for _, path := range paths {
		scripts = append(scripts, check{
			name: filepath.Base(path), timeout: c.Timeout, limit: c.Limit,
			attempt: func(ctx context.Context) error { return c.runScript(ctx, path) },
		})
	}
	for _, configured := range c.Checks {
		probe := check{name: configured.Title(), timeout: c.Timeout, limit: c.Limit, lasting: true}
		if configured.Timeout != 0 {
			probe.timeout = time.Duration(configured.Timeout)
		}
		if configured.Limit != 0 {
			probe.limit = time.Duration(configured.Limit)
		}
		if configured.Unit != "" {
			probe.attempt = c.unit(configured.Unit).mustBeActive
		} else {
			probe.attempt = func(ctx context.Context) error { return ask(ctx, configured) }
		}
		probes = append(probes, probe)
	}
	return scripts, probes, nil
}

// executables lists them folder by folder and by name. A folder may be missing; a file
// that is not executable is not a check. An executable, or a link to /dev/null, hides
// those of its name in earlier folders.
func executables(folders []string) ([]string, error) {
	found := make([][]string, len(folders))
	hidden := map[string]bool{}
	for i, folder := range slices.Backward(folders) {
		entries, err := os.ReadDir(folder)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("health checks: %w", err)
		}
		for _, entry := range entries {
			name, path := entry.Name(), filepath.Join(folder, entry.Name())
			if strings.HasPrefix(name, ".") || hidden[name] {
				continue
			}
			info, err := os.Stat(path)
			if err != nil {
				return nil, fmt.Errorf("health checks: %w", err)
			}
			target, err := filepath.EvalSymlinks(path)
			isCheck := info.Mode().IsRegular() && info.Mode()&0o111 != 0
			if isCheck {
				found[i] = append(found[i], path)
			}
			hidden[name] = isCheck || err == nil && target == os.DevNull
		}
	}
	return slices.Concat(found...), nil
}

func (c *Checks) runScript(ctx context.Context, path string) error {
	output := &tail{}
	cmd := exec.CommandContext(ctx, path)
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
	case ctx.Err() != nil && line != "":
		return fmt.Errorf("no answer within %s: %s", c.Timeout, line)
	case ctx.Err() != nil:
		return fmt.Errorf("no answer within %s", c.Timeout)
	case line != "":
		return errors.New(line)
	}
	return err
}

// tail keeps the end of what is written to it.
type tail struct {
	kept []byte
	most int // bytes; 4 KiB if 0
}

func (t *tail) Write(p []byte) (int, error) {
	t.kept = append(t.kept, p...)
	if most := cmp.Or(t.most, 4096); len(t.kept) > most {
		t.kept = append(t.kept[:0], t.kept[len(t.kept)-most:]...)
	}
	return len(p), nil
}

func (t *tail) lastLine() string {
	text := bytes.TrimSpace(t.kept)
	return string(bytes.TrimSpace(text[bytes.LastIndexByte(text, '\n')+1:]))
}
