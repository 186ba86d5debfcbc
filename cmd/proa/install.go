package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/proa-os/proa/cmd/internal/cli"
	"github.com/proa-os/proa/installer"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/updater/hostfs"
)

// installFlags are the flags of proa install.
type installFlags struct {
	source sourceFlags

	disk       string
	wipe       string
	settings   string
	digest     string // of settings
	enroll     string
	size       string
	sectorSize int64
	register   bool
	anyArch    bool

	list       bool
	unattended bool
}

func newInstallCommand() *cobra.Command {
	var f installFlags
	cmd := &cobra.Command{
		Use:   "install SOURCE --disk DISK",
		Short: "Install a release onto a disk",
		Long: `Install a release onto a disk, or into the file of one: partition table, boot
partition, slot a. /var gets the rest of the disk, and is made by the first boot.

SOURCE is a folder that 'proa build' made; a repository, as a URL (http, https or
oci), a folder or a tar file; or 'running', the live system that was started from an
installation medium. Of a repository, --channel or --version says which release,
and --trust-root whom to believe.

A disk with anything on it is left as it is, unless --wipe gives its name, which
--list shows: its serial number, or without one its name in /dev. The file of a
disk is named as the file is. A disk that is in use is never written.

The power may fail at any time: the disk then boots nothing, or the system as a
whole. The same command goes on where it was. On a disk that is installed already, it
changes nothing.

Exit codes: 0 the release is on the disk; 1 it is not; 2 the command line is wrong.`,
		Example: `  proa install --list
  proa install out/1.0.0 --disk /dev/nvme0n1
  proa install https://os.example.org --channel stable --trust-root root.json --disk /dev/sda --wipe S3Z8NB0K
  proa install out/1.0.0 --disk edge-17.raw --size 16GiB --config edge-17.ign
  /run/proa/live/proa install running --disk /dev/sda`,
		Args: cli.MaximumArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, args) },
	}
	flags := cmd.Flags()
	flags.StringVarP(&f.disk, "disk", "d", "", "whole disk, or file, to install onto")
	flags.StringVar(&f.wipe, "wipe", "", "`name` of the disk, if it may lose what is on it")
	flags.StringVar(&f.settings, "config", "", "file or URL of the machine's configuration (Ignition or cloud-config)")
	flags.StringVar(&f.digest, "config-sha256", "", "SHA-256 of --config, in hex digits; required for what comes over plain http")
	flags.StringVar(&f.enroll, "enroll", "", "folder of the Secure Boot keys that the firmware is to be offered, as 'proa key new --secure-boot' made it")
	flags.StringVar(&f.size, "size", "", "make the file of --disk anew, with so many bytes, such as 16GiB")
	flags.Int64Var(&f.sectorSize, "sector-size", 0, "of the disk that a file stands for: 512 or 4096 bytes (default 512)")
	flags.BoolVar(&f.register, "register", false, "have this machine's firmware start the disk first (in a live system it is told in any case)")
	flags.BoolVar(&f.anyArch, "any-arch", false, "allow a release for another architecture than this machine's")
	flags.BoolVar(&f.list, "list", false, "list this machine's disks, and what is on them")
	flags.BoolVar(&f.unattended, "unattended", false, "do what proa.install on the kernel's command line says")
	f.source.add(cmd)
	return cmd
}

func (f *installFlags) run(cmd *cobra.Command, args []string) error {
	source := "running"
	if len(args) == 1 {
		source = args[0]
	}
	switch {
	case f.list:
		return listDisks(cmd, installer.Machine{})
	case f.unattended:
		if err := f.obey(); err != nil {
			return err
		}
	case len(args) == 0:
		return cli.Usage(cmd, errors.New("no source: want a release folder, a repository, or 'running'"))
	}
	if f.disk == "" {
		return cli.Usage(cmd, errors.New("no disk: name one with --disk, see them with --list"))
	}
	if f.register && isFile(f.disk) {
		return cli.Usage(cmd, errors.New("--register: the firmware boots disks, not the file of one"))
	}
	if f.digest != "" && f.settings == "" {
		return cli.Usage(cmd, errors.New("--config-sha256 without --config: want both, or neither"))
	}
	settings, err := readMachineConfig(cmd.Context(), f.settings, f.digest)
	if err != nil {
		return err
	}
	var enroll map[string][]byte
	if f.enroll != "" {
		if enroll, err = enrollment(f.enroll); err != nil {
			return keyHint(err)
		}
	}
	release, err := f.source.open(cmd.Context(), cmd, source)
	if err != nil {
		return installHint(fmt.Errorf("opening %s: %w", source, err))
	}
	defer release.Close()
	created, err := f.create(cmd)
	if err != nil {
		return err
	}
	done, err := installer.Install(cmd.Context(), installer.Config{
		Source: release, Disk: f.disk, Wipe: f.wipe, Settings: settings, BootFiles: enroll,
		SectorSize: f.sectorSize, AnyArch: f.anyArch, Progress: cli.Progress(cmd),
	})
	if err != nil {
		if created {
			os.Remove(f.disk)
		}
		err = fmt.Errorf("installing onto %s: %w", f.disk, err)
		// A disk that was pulled out has no node any more, but it had one.
		if _, statErr := os.Stat(f.disk); errors.Is(err, os.ErrNotExist) && errors.Is(statErr, os.ErrNotExist) && !created {
			return cli.Hint(err, "--size makes the file of a disk; --list shows the disks")
		}
		return installHint(err)
	}
	return report(cmd, f.afterwards(done))
}

// create makes the file that --size is about.
func (f *installFlags) create(cmd *cobra.Command) (created bool, err error) {
	if f.size == "" {
		return false, nil
	}
	size, err := manifests.ParseSize(f.size)
	if err != nil {
		return false, cli.Usage(cmd, err)
	}
	file, err := os.OpenFile(f.disk, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) // a configuration may have secrets
	if errors.Is(err, os.ErrExist) {
		return false, cli.Hint(err, "without --size, what is there is installed onto")
	}
	if err != nil {
		return false, err
	}
	if err = file.Truncate(int64(size)); err == nil {
		err = file.Close()
	}
	if err != nil {
		os.Remove(f.disk)
	}
	return true, err
}

// afterwards tells the kernel and the firmware, which an installation does not depend on.
func (f *installFlags) afterwards(done installer.Result) installed {
	out := installed{Result: done}
	if err := installer.Reread(done.Disk); err != nil {
		out.note("%v: reboot before its partitions are used", err)
	}
	if !f.register && (!installer.IsLive() || isFile(done.Disk)) {
		return out
	}
	var err error
	if out.BootOption, err = installer.Register(hostfs.OS{}, installer.VariablesFolder, done); err != nil {
		out.note("%v. The firmware finds the disk by itself, or in its boot menu; but if it does not keep variables, updates need 'proa-agent boot-control use counted'", err)
	}
	return out
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// installed is what is reported.
type installed struct {
	installer.Result
	BootOption string   `json:"bootOption"` // of this machine's firmware; "" if it was not told
	Notes      []string `json:"notes"`
}

func (i *installed) note(format string, args ...any) {
	i.Notes = append(i.Notes, fmt.Sprintf(format, args...))
}

func report(cmd *cobra.Command, i installed) error {
	if cli.JSON(cmd) {
		i.Notes = append([]string{}, i.Notes...)
		return cli.PrintJSON(cmd.OutOrStdout(), i)
	}
	return printInstalled(cmd.OutOrStdout(), i)
}

func printInstalled(w io.Writer, i installed) error {
	out := &linePrinter{w: w}
	how := ""
	switch {
	case i.Already:
		how = ", as it was"
	case i.Resumed:
		how = ", after an installation that was cut"
	}
	out.print("%s %s (%s) is on %s%s", i.Product, i.Version, i.Arch, i.Disk, how)
	out.print("disk      %s, sectors of %d bytes", manifests.Size(i.Size), i.SectorSize)
	out.print("slots     %s each", manifests.Size(i.Slot))
	out.print("/var      %s", manifests.Size(i.Var))
	out.print("written   %d bytes", i.Written)
	if i.BootOption != "" {
		out.print("firmware  starts it first, by %s", i.BootOption)
	}
	for _, note := range i.Notes {
		out.print("note      %s", note)
	}
	return out.err
}

// readMachineConfig reads the machine's configuration and checks it, as the machine will.
func readMachineConfig(ctx context.Context, where, digest string) ([]byte, error) {
	if where == "" {
		return nil, nil
	}
	content, err := fetchMachineConfig(ctx, where, digest)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	if got := manifests.DigestOf(content); digest != "" && got.String() != "sha256:"+digest {
		return nil, fmt.Errorf("configuration: %s has %s: want sha256:%s", where, got, digest)
	}
	return content, checkMachineConfig(where, content)
}
