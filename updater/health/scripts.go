package health

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/proa-os/proa/updater/program"
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
			attempt: func(ctx context.Context) error {
				return program.Run(ctx, program.Program{Path: path, Timeout: c.Timeout})
			},
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
