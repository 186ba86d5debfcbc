// Package debian makes the Debian root file systems, as tar archives, that
// test and demo images are built from, and keeps them so that each is made
// once.
package debian

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/proa-os/proa/machine"
)

// Config says which root to make.
type Config struct {
	Suite    string    // such as "bookworm"; "" means DefaultSuite
	Packages []string  // beyond the essential ones and apt; nil means DefaultPackages
	Dir      string    // where roots are kept; required
	Log      io.Writer // what mmdebstrap says; nil means nowhere
}

// DefaultSuite is Debian 12.
const DefaultSuite = "bookworm"

// DefaultPackages are a system that boots with systemd, can be logged into, and
// has what the appliance takes from it.
func DefaultPackages() []string {
	return []string{
		"linux-image-cloud-amd64", "kmod", "systemd", "systemd-sysv", "systemd-boot-efi",
		"udev", "dbus", "e2fsprogs", "iproute2", "procps", "openssh-server", "ca-certificates",
		"busybox-static",
	}
}

// epoch is the newest time stamp that files of a root get, in seconds since
// 1970: 1 January 2026.
const epoch = "1767225600"

// Root returns the path of a plain tar archive with the root that config
// describes. The first call makes it with mmdebstrap, as root or as an
// ordinary user, in about a minute; the next ones find it. Calls in several
// processes wait for each other. To have newer packages, remove the file.
func Root(ctx context.Context, config Config) (string, error) {
	if config.Suite == "" {
		config.Suite = DefaultSuite
	}
	if config.Packages == nil {
		config.Packages = DefaultPackages()
	}
	if err := os.MkdirAll(config.Dir, 0o755); err != nil {
		return "", err
	}
	path := filepath.Join(config.Dir, config.name())
	unlock, err := lock(ctx, path+".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	switch _, err := os.Stat(path); {
	case err == nil:
		return path, nil
	case !errors.Is(err, os.ErrNotExist):
		return "", err
	}
	if err := bootstrap(ctx, config, path); err != nil {
		return "", fmt.Errorf("making a Debian %s root: %w", config.Suite, err)
	}
	return path, nil
}

// name is the file name for what is in config.
func (c Config) name() string {
	content, err := json.Marshal([]any{epoch, arguments(c.Suite, c.Packages, "")})
	if err != nil {
		panic(err) // strings always marshal
	}
	sum := sha256.Sum256(content)
	return fmt.Sprintf("debian-%s-%x.tar", c.Suite, sum[:6])
}

func bootstrap(ctx context.Context, config Config, path string) error {
	program, err := exec.LookPath("mmdebstrap")
	if err != nil {
		return &machine.MissingError{What: "mmdebstrap", Looked: []string{"$PATH"}, Package: "mmdebstrap"}
	}
	partial := path + ".partial"
	defer os.Remove(partial)
	cmd := exec.CommandContext(ctx, program, arguments(config.Suite, config.Packages, partial)...)
	// INITRD=No keeps the kernel's package from making an initrd: our build does.
	cmd.Env = append(os.Environ(), "SOURCE_DATE_EPOCH="+epoch, "INITRD=No")
	tail := &tailWriter{}
	cmd.Stderr = tail
	if config.Log != nil {
		cmd.Stderr = io.MultiWriter(tail, config.Log)
	}
	// mmdebstrap removes its folders when asked to end, not when killed.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("mmdebstrap: %w; it ended with: %s", err, tail.last)
	}
	return os.Rename(partial, path)
}

func arguments(suite string, packages []string, out string) []string {
	args := []string{
		"--mode=auto", "--variant=minbase", "--format=tar", "--architectures=amd64",
		// Every machine makes its own: the root is the same for all of them, and
		// from run to run.
		`--customize-hook=rm -f "$1"/etc/ssh/ssh_host_*`,
	}
	for _, p := range packages {
		args = append(args, "--include="+p)
	}
	return append(args, suite, out)
}

// lock takes an exclusive lock on the file at path, and waits for it until ctx
// ends.
func lock(ctx context.Context, path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	locked := make(chan error, 1)
	go func() { locked <- syscall.Flock(int(f.Fd()), syscall.LOCK_EX) }()
	select {
	case err := <-locked:
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("locking %s: %w", path, err)
		}
		return func() { f.Close() }, nil
	case <-ctx.Done():
		go func() {
			<-locked
			f.Close()
		}()
		return nil, fmt.Errorf("waiting for the lock of %s: %w", path, context.Cause(ctx))
	}
}

// tailWriter keeps the last of what is written to it, for an error message.
type tailWriter struct{ last []byte }

func (t *tailWriter) Write(p []byte) (int, error) {
	t.last = append(t.last, p...)
	t.last = t.last[max(0, len(t.last)-1000):]
	return len(p), nil
}
