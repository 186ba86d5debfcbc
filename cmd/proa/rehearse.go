package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/proa-os/proa/cmd/internal/cli"
	"github.com/proa-os/proa/durable"
	"github.com/proa-os/proa/machine"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/rehearsal"
	"github.com/proa-os/proa/signing"
)

// rehearseFlags are the flags of proa rehearse.
type rehearseFlags struct {
	config rehearsal.Config

	from                []string
	to, product, arch   string
	settings            string
	checks              []string
	memory, disk, accel string
	junit, attest, key  string
	passphrase          passphraseFlag
	private             []signing.PrivateKey // of key
}

func newRehearseCommand() *cobra.Command {
	var f rehearseFlags
	cmd := &cobra.Command{
		Use:   "rehearse --from VERSION,... --to VERSION",
		Short: "Try an update on virtual machines before anybody gets it",
		Long: `Try an update on virtual machines before anybody gets it. Machines run the releases
of --from, as 'proa install' would install them, update themselves to that of --to
from the repository, which a channel must offer them, and have this done to them:

  power cut in the download      they come back, and go on with it
  power cut right after arming   the next boot is the trial
  update                         the new release proves healthy, and leads
  power cut in the trial         they come back on the old release
  failing health check           they come back by themselves, and refuse the new one

The images are those that hosts get, with nothing put into them. Machines need what
they need anyway: DHCP on the network of QEMU, an agent that runs as a service, and,
for --check, /bin/sh. --config is their configuration, as for 'proa install'. A
--check is a command that must succeed in the new release, beside the health checks
that it has.

It needs QEMU and UEFI firmware (on Debian: qemu-system-x86 and ovmf), and no
privileges. KVM is used where it works; emulation takes minutes. The folder -o gets
the serial log of each boot, and a picture of the display where something failed.

With --attest and --key, a rehearsal that passed is written down and signed, for
'proa repo promote --require rehearsed'.

Exit codes: 0 it passed; 1 it did not; 2 the command line is wrong.`,
		Example: `  proa rehearse --from 1.0.0 --to 1.1.0
  proa rehearse --from 0.9.0,1.0.0 --to 1.1.0 --check 'gateway=wget -qO- http://localhost:8080/ready'
  proa rehearse --from 1.0.0 --to 1.1.0 --junit rehearsal.xml --attest rehearsal.json --key rehearsal.pem`,
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.config.Repository, "repo", "repo", "the repository's folder")
	flags.StringSliceVar(&f.from, "from", nil, "releases that the machines run at first; can be repeated (required)")
	flags.StringVar(&f.to, "to", "", "release that they update themselves to (required)")
	flags.StringVar(&f.config.Channel, "channel", "", "channel that they follow (default: the first that offers --to)")
	flags.StringVar(&f.product, "product", "", "product of the releases (default: the only one of that version)")
	flags.StringVar(&f.arch, "arch", "", "architecture of the releases (default: the only one of that version)")
	flags.StringVar(&f.settings, "config", "", "file with the machines' configuration (Ignition or cloud-config)")
	flags.StringArrayVar(&f.checks, "check", nil, "`NAME=COMMAND` that must succeed in the new release; can be repeated")
	flags.StringVarP(&f.config.Dir, "output", "o", "rehearsal", "folder for logs and pictures; it must be empty or new")
	flags.StringVar(&f.memory, "memory", fmt.Sprintf("%dMiB", machine.MemoryDebian), "memory of a machine")
	flags.IntVar(&f.config.CPUs, "cpus", 1, "processors of a machine")
	flags.StringVar(&f.disk, "disk", "8GiB", "size of a machine's disk, a file with holes")
	flags.BoolVar(&f.config.TPM, "tpm", false, "give the machines a TPM 2.0, by swtpm")
	flags.StringVar(&f.accel, "accel", "auto", "what runs the machines: kvm, tcg (emulation), or auto, which is kvm where that works")
	flags.IntVar(&f.config.Machines, "machines", 0, "how many run at a time (default: as many as there are processors for)")
	flags.DurationVar(&f.config.Patience, "patience", rehearsal.DefaultPatience, "how long a machine may take for anything that is waited for")
	flags.StringVar(&f.junit, "junit", "", "write the outcome to this file as JUnit XML")
	flags.StringVar(&f.attest, "attest", "", "write a signed statement to this file, if the rehearsal passes")
	flags.StringVar(&f.key, "key", "", "key that signs --attest, a file that 'proa key new' made")
	f.passphrase.add(cmd, "of --key (default: asked for at a terminal)")
	cli.CompleteFolder(cmd, "repo", "output")
	cli.CompleteWords(cmd, "accel", "auto", machine.KVM, "tcg")
	cli.CompleteWords(cmd, "arch", string(manifests.AMD64), string(manifests.ARM64))
	return cmd
}

func (f *rehearseFlags) run(cmd *cobra.Command) error {
	if err := f.parse(); err != nil {
		return cli.Usage(cmd, err)
	}
	if err := f.load(cmd.Context()); err != nil {
		return err
	}
	f.config.Progress = cli.Progress(cmd)
	f.config.Say = f.narrate(cmd)
	report, err := rehearsal.Run(cmd.Context(), f.config)
	if err != nil {
		return rehearseHint(fmt.Errorf("rehearsing %s: %w", f.to, err))
	}
	if err := f.write(report); err != nil {
		return err
	}
	if cli.JSON(cmd) {
		err = cli.PrintJSON(cmd.OutOrStdout(), report)
	} else {
		err = report.WriteTable(cmd.OutOrStdout())
	}
	if err == nil && !report.Passed() {
		return cli.Hint(fmt.Errorf("the rehearsal of %s failed", f.to), "the logs of all boots are in "+f.config.Dir)
	}
	return err
}

// parse reads what the flags say.
func (f *rehearseFlags) parse() (err error) {
	switch {
	case len(f.from) == 0:
		return errors.New("no release to go from: name those that hosts run with --from")
	case f.to == "":
		return errors.New("no release to go to: name one with --to")
	case (f.attest == "") != (f.key == ""):
		return errors.New("--attest and --key go together")
	case f.config.Dir == "":
		return errors.New("--output is empty: want a folder")
	case f.config.CPUs < 1 || f.config.CPUs > 64:
		return fmt.Errorf("--cpus %d: want 1 to 64", f.config.CPUs)
	case f.config.Machines < 0 || f.config.Machines > 64:
		return fmt.Errorf("--machines %d: want 0 to 64", f.config.Machines)
	case f.config.Patience < time.Second:
		return fmt.Errorf("--patience %s: want at least 1s", f.config.Patience)
	}
	if f.config.To, err = manifests.ParseVersion(f.to); err != nil {
		return err
	}
	for _, from := range f.from {
		version, err := manifests.ParseVersion(from)
		if err != nil {
			return err
		}
		if version == f.config.To {
			return fmt.Errorf("--from %s: it is the release of --to", version)
		}
		if slices.Contains(f.config.From, version) {
			return fmt.Errorf("--from %s: it is named twice", version)
		}
		f.config.From = append(f.config.From, version)
	}
	if f.config.Product = f.product; f.product != "" {
		if err := manifests.CheckName("product", f.product); err != nil {
			return err
		}
	}
	if f.config.Channel != "" {
		if err := manifests.CheckName("channel", f.config.Channel); err != nil {
			return err
		}
	}
	if f.arch != "" {
		if f.config.Arch, err = manifests.ParseArch(f.arch); err != nil {
			return err
		}
	}
	for _, text := range f.checks {
		name, command, ok := strings.Cut(text, "=")
		if !ok {
			return fmt.Errorf("--check %.80q: want NAME=COMMAND", text)
		}
		f.config.Checks = append(f.config.Checks, rehearsal.Check{Name: name, Command: command})
	}
	return f.parseMachine()
}

func (f *rehearseFlags) parseMachine() error {
	memory, err := manifests.ParseSize(f.memory)
	if err != nil {
		return fmt.Errorf("--memory: %w", err)
	}
	if f.config.Memory = int(memory >> 20); f.config.Memory < machine.MemoryAppliance {
		return fmt.Errorf("--memory %s: want at least %dMiB, which the firmware needs", f.memory, machine.MemoryAppliance)
	}
	disk, err := manifests.ParseSize(f.disk)
	if err != nil {
		return fmt.Errorf("--disk: %w", err)
	}
	f.config.DiskSize = int64(disk)
	switch f.accel {
	case "auto":
	case machine.KVM:
		f.config.Accel = machine.KVM
	case "tcg":
		f.config.Accel = machine.DefaultAccel
	default:
		return fmt.Errorf("--accel %.20q: want auto, %s or tcg", f.accel, machine.KVM)
	}
	return nil
}

// load reads the files that the flags name, before anything takes its time.
func (f *rehearseFlags) load(ctx context.Context) (err error) {
	if f.settings != "" {
		if f.config.Settings, err = os.ReadFile(f.settings); err != nil {
			return fmt.Errorf("configuration: %w", err)
		}
		if err := checkMachineConfig(f.settings, f.config.Settings); err != nil {
			return err
		}
	}
	if f.key != "" {
		if f.private, err = f.passphrase.openKeys(ctx, f.key); err != nil {
			return keyHint(err)
		}
	}
	// One of an earlier run would be taken for this one's where this one fails.
	if _, err := os.Lstat(f.attest); f.attest != "" && err == nil {
		return cli.Hint(fmt.Errorf("%s exists already", f.attest), "name another with --attest, or remove it")
	}
	for _, path := range []string{f.junit, f.attest} {
		if path == "" || filepath.Dir(path) == filepath.Clean(f.config.Dir) {
			continue // --output is made
		}
		if info, err := os.Stat(filepath.Dir(path)); err != nil || !info.IsDir() {
			return fmt.Errorf("%s: its folder is not there", path)
		}
	}
	return nil
}

// narrate tells what happens, a line at a time, with the minutes and seconds since the
// start.
func (f *rehearseFlags) narrate(cmd *cobra.Command) func(string) {
	var mu sync.Mutex
	began := time.Now()
	return func(line string) {
		if cli.Quiet(cmd) {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		spent := time.Since(began).Round(time.Second)
		fmt.Fprintf(cmd.ErrOrStderr(), "%02d:%02d %s\n", int(spent.Minutes()), int(spent.Seconds())%60, line)
	}
}

// write writes the files that were asked for.
func (f *rehearseFlags) write(report rehearsal.Report) error {
	if f.junit != "" {
		if err := writeTo(f.junit, report.WriteJUnit); err != nil {
			return err
		}
	}
	if f.attest == "" || !report.Passed() {
		return nil
	}
	attested, err := report.Rehearsal()
	if err != nil {
		return err
	}
	statement, err := attested.Statement(report.Release)
	if err != nil {
		return err
	}
	envelope, err := signing.Seal(signing.PayloadInToto, statement, f.private...)
	if err != nil {
		return fmt.Errorf("signing the attestation: %w", err)
	}
	return durable.WriteFile(f.attest, envelope, 0o644)
}

func writeTo(path string, write func(io.Writer) error) error {
	var text strings.Builder
	if err := write(&text); err != nil {
		return err
	}
	return durable.WriteFile(path, []byte(text.String()), 0o644)
}

func rehearseHint(err error) error {
	var missing *machine.MissingError
	switch {
	case errors.As(err, &missing):
		return cli.Hint(err, "apt-get install "+missing.Package)
	case errors.Is(err, rehearsal.ErrNoChannel):
		return cli.Hint(err, "machines install what a channel names: publish it to one that no host follows, such as beta or rehearsal")
	case errors.Is(err, rehearsal.ErrNotEmpty):
		return cli.Hint(err, "name another with -o, or remove it")
	}
	return repoHint(err)
}
