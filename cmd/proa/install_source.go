package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/proa-os/proa/cmd/internal/cli"
	"github.com/proa-os/proa/fetch"
	"github.com/proa-os/proa/fetch/stick"
	"github.com/proa-os/proa/hostconfig"
	"github.com/proa-os/proa/installer"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/regular"
	"github.com/proa-os/proa/signing"
)

// sourceFlags say which release of a repository is meant.
type sourceFlags struct {
	channel      string
	version      string
	product      string
	arch         string
	trustRoot    string
	registryAuth string
}

func (f *sourceFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.channel, "channel", "stable", "of a repository: channel to follow")
	flags.StringVar(&f.version, "version", "", "of a repository: version to install, whatever the channel says")
	flags.StringVar(&f.product, "product", "", "of a repository: product, if it has several")
	flags.StringVar(&f.arch, "arch", string(manifests.HostArch()), "of a repository: architecture")
	flags.StringVar(&f.trustRoot, "trust-root", "", "of a repository: file with the root to trust (default, in a system of proa: its own)")
	flags.StringVar(&f.registryAuth, "registry-auth", "", "of a repository in a registry: file with credentials, as docker's config.json")
	cli.CompleteWords(cmd, "arch", string(manifests.AMD64), string(manifests.ARM64))
}

// open finds out what kind of source is meant.
func (f *sourceFlags) open(ctx context.Context, cmd *cobra.Command, source string) (installer.Source, error) {
	switch {
	case source == "running":
		return installer.OpenLive(ctx)
	case !strings.Contains(source, "://"):
		if _, err := os.Stat(filepath.Join(source, manifests.ReleaseFile)); err == nil {
			return installer.OpenFolder(ctx, source)
		}
		if info, err := os.Stat(source); err != nil {
			return nil, err
		} else if _, err := os.Stat(filepath.Join(source, "metadata")); info.IsDir() && err != nil {
			return nil, fmt.Errorf("%w, and no repository", installer.ErrNotRelease)
		}
	}
	arch, err := manifests.ParseArch(f.arch)
	if err != nil {
		return nil, cli.Usage(cmd, err)
	}
	var version manifests.Version
	if f.version != "" {
		if version, err = manifests.ParseVersion(f.version); err != nil {
			return nil, cli.Usage(cmd, err)
		}
	}
	if err := manifests.CheckName("channel", f.channel); err != nil {
		return nil, cli.Usage(cmd, err)
	}
	root, err := f.readTrustRoot()
	if err != nil {
		return nil, err
	}
	return installer.OpenRepository(ctx, installer.RepositoryConfig{
		URL: source, Root: root, Channel: f.channel, Version: version, Product: f.product, Arch: arch,
		Credentials: f.registryAuth, UserAgent: userAgent(),
	})
}

// readTrustRoot takes the root of the system that runs where none is named.
func (f *sourceFlags) readTrustRoot() ([]byte, error) {
	const most = 1 << 20
	path := f.trustRoot
	if path == "" {
		path = "/" + manifests.TrustRootPath
		if _, err := os.Stat(path); err != nil {
			return nil, cli.Hint(errors.New("a repository needs a root to trust"), "name its root.json with --trust-root; 'proa repo init' made it")
		}
	}
	root, err := regular.Read(path, most)
	if err != nil {
		return nil, fmt.Errorf("trust root: %w", err)
	}
	return root, signing.CheckTrustRoot(root)
}

// fetchMachineConfig reads a file, or what is at a URL, by the rules of machines that
// fetch it themselves.
func fetchMachineConfig(ctx context.Context, where, digest string) ([]byte, error) {
	if strings.HasPrefix(where, "http://") || strings.HasPrefix(where, "https://") {
		if _, err := manifests.ParseConfigURL(where, digest); err != nil {
			return nil, cli.Hint(err, "here the digest is --config-sha256, or proa.install.config.sha256=")
		}
		web := fetch.NewWeb(fetch.Config{UserAgent: userAgent()})
		defer web.Close()
		return web.Get(ctx, where, installer.SettingsMost)
	}
	return regular.Read(where, installer.SettingsMost)
}

func checkMachineConfig(where string, content []byte) error {
	_, err := hostconfig.Parse(filepath.Base(where), content)
	return err
}

// installHint says what can be done about an error.
func installHint(err error) error {
	var data *installer.DataError
	var used *installer.UsedError
	var arch *installer.ArchError
	var gone *installer.GoneError
	switch {
	case errors.As(err, &data):
		return cli.Hint(err, fmt.Sprintf("to lose all of it: --wipe %s", quoted(data.Name)))
	case errors.As(err, &used):
		return cli.Hint(err, "see what is used by what with --list")
	case errors.As(err, &arch):
		return cli.Hint(err, "for a disk that goes into another machine: --any-arch")
	case errors.As(err, &gone) && gone.Written:
		return cli.Hint(err, "is it still plugged in? It boots nothing now; run the same command again")
	case errors.As(err, &gone):
		return cli.Hint(err, "is it still plugged in? Nothing was written")
	case errors.Is(err, installer.ErrNotDisk):
		return cli.Hint(err, "see the disks with --list")
	case errors.Is(err, installer.ErrNotInstallable):
		return cli.Hint(err, "build it again; or write its disk.raw onto the disk")
	case errors.Is(err, installer.ErrNotLive):
		return cli.Hint(err, "name a release folder or a repository")
	case errors.Is(err, installer.ErrNotRelease), errors.Is(err, stick.ErrNotRepository):
		return cli.Hint(err, "name a folder that 'proa build' made, or a repository")
	case errors.Is(err, installer.ErrProduct):
		return cli.Hint(err, "with --product")
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return cli.Hint(err, "disks can be written by root alone")
	}
	return err
}

// quoted is a word for a shell.
func quoted(word string) string {
	if strings.ContainsFunc(word, func(r rune) bool {
		return !strings.ContainsRune("-_.:@%+/", r) && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	}) {
		return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
	}
	return word
}
