package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/proa-os/proa/machine/workshop"
)

// lab is what all tests share: programs, releases, the repository.
type lab struct {
	dir   string
	front *front
	stop  func() // ends proa serve

	changing sync.Mutex // of the repository, which takes one change at a time

	making   sync.Mutex      // of the next
	releases map[string]bool // versions that are built and published, or could not be

	arming sync.Once
	armed  bool // armed.raw and armed.fd are there: see armedHost
}

var shared lab

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "proa-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	shared.dir = dir
	defer shared.close()
	if err := shared.prepare(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "e2e: preparing:", err)
		return 1
	}
	return m.Run()
}

func (l *lab) path(elem ...string) string { return filepath.Join(append([]string{l.dir}, elem...)...) }

func (l *lab) prepare(ctx context.Context) error {
	for _, step := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"build programs", l.buildPrograms},
		{"make appliance", l.makeAppliance},
		{"start repository", l.startRepository},
	} {
		if err := step.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	return nil
}

func (l *lab) close() {
	if l.stop != nil {
		l.stop()
	}
}

func (l *lab) buildPrograms(ctx context.Context) error {
	return workshop.Compile(ctx, l.path("bin"), "cmd/proa", "cmd/proa-agent", "cmd/proa-init")
}

func (l *lab) makeAppliance(ctx context.Context) error {
	_, err := workshop.Appliance(ctx, l.dir)
	return err
}

// startRepository makes an empty repository, and serves it by proa serve behind
// a front.
func (l *lab) startRepository(ctx context.Context) error {
	if err := l.proaRun(ctx, "key", "new", "--role", "root,targets,snapshot,timestamp", "-o", "keys"); err != nil {
		return err
	}
	if err := l.proaRun(ctx, "repo", "init", "repo", "--keys", "keys"); err != nil {
		return err
	}
	backend, stop, err := workshop.Serve(l.path("bin", "proa"), l.path("repo"))
	if err != nil {
		return err
	}
	l.stop = stop
	l.front, err = newFront(backend)
	return err
}

// proaRun runs proa in the lab's folder.
func (l *lab) proaRun(ctx context.Context, args ...string) error {
	if args[0] == "repo" {
		l.changing.Lock()
		defer l.changing.Unlock()
	}
	cmd := exec.CommandContext(ctx, l.path("bin", "proa"), args...)
	cmd.Dir = l.dir
	return output(cmd)
}

// output runs a command; the error has everything that it printed.
func output(cmd *exec.Cmd) error {
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w:\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	return nil
}
