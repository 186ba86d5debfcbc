// Package rpmrepository makes a signed repository of RPM packages, for tests
// where none can be reached: real packages, whose files, names, versions and
// relations are those of Debian packages in a root that package debian made,
// and one of its own, "appliance", which makes a guest of them that boots in
// seconds.
//
// rpmbuild, rpmsign, createrepo_c and gpg do the work.
package rpmrepository

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sync/errgroup"
)

// Config says what the repository is made from.
type Config struct {
	Debian    string // path of a plain tar archive: see package machine/debian
	Appliance string // path of the tar archive of machine/appliance
	Dir       string // where repositories are kept
}

// Key is the file with the public key, in the repository's folder.
const Key = "key.asc"

// debianNames are the packages that come from Debian.
var debianNames = []string{
	"busybox-static", "e2fsprogs", "libblkid1", "libc6", "libcom-err2", "libext2fs2", "libgcc-s1", "libss2", "libuuid1",
	"logsave", "systemd-boot-efi",
}

// kernelName is what the name of the kernel's package begins with.
const kernelName = "linux-image-6"

// Make returns the folder of the repository. The first call makes it in less
// than a minute, as root or as an ordinary user; the next ones find it.
func Make(ctx context.Context, config Config) (string, error) {
	name, err := config.name()
	if err != nil {
		return "", err
	}
	path := filepath.Join(config.Dir, name)
	if _, err := os.Stat(path); err == nil || !errors.Is(err, os.ErrNotExist) {
		return path, err
	}
	// A short path: that of gpg's socket is bounded.
	work, err := os.MkdirTemp("", "rpm")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	w := workshop{dir: work}
	if err := w.make(ctx, config); err != nil {
		return "", fmt.Errorf("making a repository of RPM packages: %w", err)
	}
	partial, err := os.MkdirTemp(config.Dir, name+"-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(partial)
	if err := errors.Join(os.Chmod(partial, 0o755), os.CopyFS(partial, os.DirFS(w.path("repository")))); err != nil {
		return "", err
	}
	// Somebody else may have been faster.
	if err := os.Rename(partial, path); err != nil && !errors.Is(err, os.ErrExist) {
		return "", err
	}
	return path, nil
}

// format changes when the same sources become other packages.
const format = "1"

// name is the folder's name for what is in config.
func (c Config) name() (string, error) {
	sum := sha256.New()
	fmt.Fprintln(sum, format, filepath.Base(c.Debian))
	file, err := os.Open(c.Appliance)
	if err != nil {
		return "", err
	}
	defer file.Close()
	if _, err := io.Copy(sum, file); err != nil {
		return "", err
	}
	return fmt.Sprintf("rpm-%x", sum.Sum(nil)[:6]), nil
}

// workshop is a folder in which packages are made.
type workshop struct{ dir string }

func (w workshop) path(elem ...string) string {
	return filepath.Join(append([]string{w.dir}, elem...)...)
}

func (w workshop) make(ctx context.Context, config Config) error {
	for _, archive := range []struct{ path, into string }{{config.Debian, "debian"}, {config.Appliance, "appliance"}} {
		if err := os.Mkdir(w.path(archive.into), 0o755); err != nil {
			return err
		}
		// What stays behind is much, and of no use in a small guest.
		if err := w.run(ctx, "tar", "-xf", archive.path, "-C", w.path(archive.into), "--no-same-owner",
			"--exclude=./dev/*", "--exclude=./usr/share", "--exclude=./usr/lib/x86_64-linux-gnu/gconv"); err != nil {
			return err
		}
	}
	all, err := w.describe()
	if err != nil {
		return err
	}
	// rpmbuild would make it, and stumble when another does so at the same time.
	if err := os.MkdirAll(w.path("repository", "Packages", "x86_64"), 0o755); err != nil {
		return err
	}
	if err := w.addGateway(); err != nil {
		return err
	}
	group, groupContext := errgroup.WithContext(ctx)
	group.SetLimit(runtime.NumCPU())
	for _, p := range all {
		group.Go(func() error {
			if err := w.build(groupContext, p); err != nil {
				return fmt.Errorf("package %s: %w", p.name, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return w.sign(ctx)
}

// sign signs the packages, and makes and signs the repository's metadata.
func (w workshop) sign(ctx context.Context) error {
	home := w.path("gpg")
	if err := os.Mkdir(home, 0o700); err != nil {
		return err
	}
	defer exec.CommandContext(ctx, "gpgconf", "--homedir", home, "--kill", "all").Run()
	const who = "Appliance <appliance@example.org>"
	gpg := []string{"gpg", "--homedir", home, "--batch", "--no-tty", "--quiet", "--pinentry-mode", "loopback", "--passphrase", "", "--armor"}
	with := func(base []string, more ...string) []string { return append(append([]string{}, base...), more...) }
	packages, err := filepath.Glob(w.path("repository", "Packages", "*", "*.rpm"))
	if err != nil {
		return err
	}
	for _, command := range [][]string{
		with(gpg, "--quick-generate-key", who, "rsa2048", "sign", "never"),
		with(gpg, "--output", w.path("repository", Key), "--export"),
		with([]string{"rpmsign", "--define", "__gpg /usr/bin/gpg", "--define", "_gpg_path " + home, "--define", "_gpg_name " + who, "--addsign"}, packages...),
		{"createrepo_c", "--quiet", w.path("repository")},
		with(gpg, "--detach-sign", w.path("repository", "repodata", "repomd.xml")),
	} {
		if err := w.run(ctx, command[0], command[1:]...); err != nil {
			return err
		}
	}
	return nil
}

// run runs a program; the error has what it printed.
func (w workshop) run(ctx context.Context, program string, args ...string) error {
	if out, err := exec.CommandContext(ctx, program, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", program, err, strings.TrimSpace(string(out)))
	}
	return nil
}
