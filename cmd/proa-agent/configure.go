package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/proa-os/proa/cmd/internal/cli"
	"github.com/proa-os/proa/hostconfig"
	"github.com/proa-os/proa/manifests/strictyaml"
	"github.com/proa-os/proa/partitions/cmdline"
	"github.com/proa-os/proa/regular"
	"github.com/proa-os/proa/updater"
)

func newConfigureCommand() *cobra.Command {
	var atBoot, fetch, again bool
	var check, root string
	cmd := &cobra.Command{
		Use:   "configure {--check FILE [--root DIR] | --again}",
		Short: "Check a configuration for machines, or configure this one again",
		Long: `A machine configures itself once, in the first boot that finds a configuration:
Ignition or cloud-config, as a credential of the firmware, as a file that the
installer left, on a NoCloud volume, or from a URL of the kernel's command line.
See docs/reference/host-config.md.

--check finds everything that is wrong with a file; with --root also what cannot
be done in a root file system, which is not changed. The exit code is 2 then.
--again lets the next boot configure this machine again.`,
		Example: `  proa-agent configure --check edge.ign
  proa-agent configure --again`,
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ways := 0
			for _, way := range []bool{atBoot, fetch, again, check != ""} {
				if way {
					ways++
				}
			}
			if ways != 1 || root != "" && check == "" {
				return cli.Exit(cli.ExitUsage, cli.Hint(errors.New("want --check FILE or --again"),
					"a machine configures itself when it boots"))
			}
			switch {
			case check != "":
				return checkConfiguration(cmd, check, root)
			case again:
				return configureAgain(cmd)
			case fetch:
				return fetchConfiguration(cmd)
			}
			return configureAtBoot(cmd)
		},
	}
	cmd.Flags().StringVar(&check, "check", "", "file with a configuration, or - for standard input")
	cmd.Flags().StringVar(&root, "root", "", "with --check: root file system that is to be configured")
	cmd.Flags().BoolVar(&again, "again", false, "configure this machine again in the next boot")
	cmd.Flags().BoolVar(&atBoot, "at-boot", false, "what proa-init runs before it starts the system")
	cmd.Flags().BoolVar(&fetch, "fetch", false, "what proa-configure.service runs when there is a network")
	for _, name := range []string{"at-boot", "fetch"} {
		if err := cmd.Flags().MarkHidden(name); err != nil {
			panic(err) // the flag was just made
		}
	}
	return cmd
}

// checkConfiguration is --check, in text or as a list of faults.
func checkConfiguration(cmd *cobra.Command, file, folder string) error {
	language, err := checkFile(cmd, file, folder)
	var faults *strictyaml.Faults
	if err != nil && !errors.As(err, &faults) {
		return cli.Exit(cli.ExitUsage, err)
	}
	if cli.JSON(cmd) {
		report := struct {
			Language string        `json:"language,omitempty"`
			Faults   []configFault `json:"faults"`
		}{language, []configFault{}}
		if faults != nil {
			for _, f := range faults.Items {
				report.Faults = append(report.Faults, configFault{faults.Name, f.Line, f.Column, f.Message})
			}
		}
		if err := cli.PrintJSON(cmd.OutOrStdout(), report); err != nil {
			return err
		}
	}
	if err != nil {
		return cli.Exit(cli.ExitUsage, cli.Hint(err, "see docs/reference/host-config.md for what is supported"))
	}
	if !cli.JSON(cmd) {
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "no fault in %s (%s)\n", file, language)
	}
	return err
}

func checkFile(cmd *cobra.Command, file, folder string) (language string, err error) {
	var data []byte
	if file == "-" {
		data, err = io.ReadAll(io.LimitReader(cmd.InOrStdin(), hostconfig.MostSize+1))
	} else {
		data, err = regular.Read(file, hostconfig.MostSize)
	}
	if err != nil {
		return "", err
	}
	plan, err := hostconfig.Parse(file, data)
	if err != nil || folder == "" {
		if err == nil {
			language = plan.Language
		}
		return language, err
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return "", err
	}
	defer root.Close()
	before, err := hostconfig.ReadRecord(root)
	if err == nil {
		_, err = hostconfig.Prepare(root, file, plan, before, time.Now())
	}
	return plan.Language, err
}

// rootOf is the root file system of a host.
func rootOf(host updater.Host) (*os.Root, error) {
	if host.Root != "" {
		return os.OpenRoot(host.Root)
	}
	return os.OpenRoot("/")
}

// openHost is a host and its root file system.
func openHost(cmd *cobra.Command) (updater.Host, *os.Root, error) {
	host, err := hostOf(cmd)
	if err != nil {
		return updater.Host{}, nil, err
	}
	root, err := rootOf(host)
	return host, root, err
}

func configureAgain(cmd *cobra.Command) error {
	_, root, err := openHost(cmd)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := hostconfig.Again(root); err != nil {
		return err
	}
	if cli.JSON(cmd) {
		return cli.PrintJSON(cmd.OutOrStdout(), struct {
			Again bool `json:"again"`
		}{true})
	}
	_, err = fmt.Fprintln(cmd.OutOrStdout(), "the next boot configures this machine again")
	return err
}

// configureAtBoot runs in the initrd, with the image as its root. What it prints
// is in the kernel's log.
func configureAtBoot(cmd *cobra.Command) error {
	host, root, err := openHost(cmd)
	if err != nil {
		return err
	}
	defer root.Close()
	booting, err := newBooting(host, root)
	var outcome hostconfig.Outcome
	if err != nil {
		outcome = hostconfig.Outcome{Result: hostconfig.Refused, Error: err.Error()}
	} else {
		outcome = booting.Configure()
	}
	if err := outcome.Tell(host.Run); err != nil {
		return err
	}
	if outcome.Error != "" {
		return fmt.Errorf("%s: %s", outcome.Result, outcome.Error)
	}
	if outcome.Result != hostconfig.Nothing && outcome.Result != hostconfig.Already {
		fmt.Fprintf(cmd.OutOrStdout(), "configuration: %s: %s\n", outcome.Result, outcome.Door)
	}
	return nil
}

// fetchConfiguration brings what the kernel's command line names, for the next
// boot, and reboots.
func fetchConfiguration(cmd *cobra.Command) error {
	host, root, err := openHost(cmd)
	if err != nil {
		return err
	}
	defer root.Close()
	url, err := urlOf(host)
	if err != nil {
		return cli.Exit(cli.ExitUsage, err)
	}
	if url == nil {
		return cli.Exit(cli.ExitUsage, errors.New("the kernel's command line has no proa.config="))
	}
	if err := url.Fetch(cmd.Context(), root, time.Now()); err != nil {
		told := hostconfig.Outcome{Result: hostconfig.Waits, Error: err.Error()}.Tell(host.Run)
		return errors.Join(err, told)
	}
	fmt.Fprintln(cmd.OutOrStdout(), "the configuration is here: rebooting into it")
	if out, err := exec.CommandContext(cmd.Context(), "systemctl", "--no-block", "reboot").CombinedOutput(); err != nil {
		return fmt.Errorf("systemctl reboot: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

// urlOf is nil where the kernel's command line names none.
func urlOf(host updater.Host) (*hostconfig.URL, error) {
	line, err := regular.Read(host.Cmdline, 64<<10)
	if err != nil {
		return nil, err
	}
	boot, err := cmdline.Parse(string(line))
	if err != nil || boot.Config == "" {
		return nil, err
	}
	return hostconfig.ParseURL(boot.Config, boot.Digest)
}

// configurationStatus is what there is to say about the machine's configuration;
// nil: nothing.
type configurationStatus struct {
	*hostconfig.Record
	Again   bool              `json:"again,omitempty"`   // the next boot configures anew
	Outcome hostconfig.Result `json:"outcome,omitempty"` // of this boot, where it did not end as it should
	Error   string            `json:"error,omitempty"`
}

func configurationOf(host updater.Host) *configurationStatus {
	root, err := rootOf(host)
	if err != nil {
		return nil
	}
	defer root.Close()
	status := configurationStatus{Again: hostconfig.AgainAsked(root)}
	if status.Record, err = hostconfig.ReadRecord(root); err != nil {
		status.Error = err.Error()
	}
	var outcome hostconfig.Outcome
	text, err := regular.Read(filepath.Join(host.Run, hostconfig.OutcomeFile), 1<<20)
	if err == nil && json.Unmarshal(text, &outcome) == nil {
		if outcome.Error != "" || outcome.Result == hostconfig.Waits {
			status.Outcome, status.Error = outcome.Result, outcome.Error
		}
	}
	if status.Record == nil && !status.Again && status.Outcome == "" && status.Error == "" {
		return nil
	}
	if status.Record != nil {
		status.Record.Files = nil // too long for a status
	}
	return &status
}

func printConfiguration(w io.Writer, c *configurationStatus) {
	if c == nil {
		return
	}
	if r := c.Record; r != nil {
		line(w, "configured", minute(r.When), fmt.Sprintf("%s, by %s", r.Language, r.Door))
	}
	if c.Again {
		line(w, "configure", "the next boot does it again")
	}
	for text := range strings.Lines(c.Error) {
		line(w, "problem", "configuration: "+strings.TrimSpace(text))
	}
	if c.Error == "" && c.Outcome != "" {
		line(w, "configure", "waits for its URL: see proa-configure.service")
	}
}
