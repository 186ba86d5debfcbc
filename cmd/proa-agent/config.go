package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/proa-os/proa/cmd/internal/cli"
	"github.com/proa-os/proa/updater/config"
)

func newConfigCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Check or show this host's configuration",
		Long: `The configuration is agent.yaml in /usr/lib/proa, then in /etc/proa, each with the
drop-ins agent.d/*.yaml beside it. What is read later wins, key by key; a drop-in in
/etc/proa hides the one of its name in /usr/lib/proa.`,
	}
	cmd.AddCommand(newConfigCheckCommand(), newConfigShowCommand())
	return cmd
}

// configFault is one fault as JSON.
type configFault struct {
	File    string `json:"file"`
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Message string `json:"message"`
}

func newConfigCheckCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check [file ...]",
		Short: "Find every fault of the configuration, or of files that may become a part of it",
		Long: `Without files: check this host's configuration as it would be read. With files:
check these alone, in this order, as parts of a configuration that need not say
where the repository is; nothing of a host is needed then.

The exit code is 2 when there is a fault.`,
		Example: `  proa-agent config check
  proa-agent config check overlay/usr/lib/proa/agent.d/50-night.yaml`,
		RunE: func(cmd *cobra.Command, files []string) error {
			found, err := readConfig(cmd, files)
			if !cli.JSON(cmd) {
				if err != nil {
					return configError(err)
				}
				notes(cmd, warnings(found.Settings))
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "no fault in %s\n", strings.Join(found.Files, ", "))
				return err
			}
			report := struct {
				Files    []string      `json:"files"`
				Faults   []configFault `json:"faults"`
				Warnings []string      `json:"warnings,omitempty"`
			}{found.Files, []configFault{}, nil}
			if err == nil {
				report.Warnings = warnings(found.Settings)
			}
			for _, faults := range config.FaultsOf(err) {
				for _, fault := range faults.Items {
					report.Faults = append(report.Faults, configFault{faults.Name, fault.Line, fault.Column, fault.Message})
				}
			}
			if err := cli.PrintJSON(cmd.OutOrStdout(), report); err != nil {
				return err
			}
			if err != nil {
				return configError(err)
			}
			return nil
		},
	}
}

// deadline is when proa-deadline.timer resets a trial, after the kernel's start.
const deadline = 15 * time.Minute

// warnings are what is no fault of the settings, and is no good either.
func warnings(s config.Settings) []string {
	const toBoot = 2 * time.Minute
	if limit := time.Duration(s.HealthLimit); limit > deadline-toBoot {
		return []string{fmt.Sprintf("healthLimit %s: proa-deadline.timer resets a trial %s after its start, before the checks have had their time; "+
			"give the timer a drop-in with a longer OnBootSec=", s.HealthLimit, config.Duration(deadline))}
	}
	return nil
}

func readConfig(cmd *cobra.Command, files []string) (config.Effective, error) {
	if len(files) > 0 {
		return config.ReadFiles(files...)
	}
	host, err := hostOf(cmd)
	if err != nil {
		return config.Effective{}, err
	}
	return config.Read(host.Config...)
}

func newConfigShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show",
		Short: "Show every setting in effect, and the file that it comes from",
		Args:  cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			found, err := readConfig(cmd, nil)
			if err != nil {
				return configError(err)
			}
			if cli.JSON(cmd) {
				return cli.PrintJSON(cmd.OutOrStdout(), struct {
					Settings config.Settings   `json:"settings"`
					From     map[string]string `json:"from"`
					Files    []string          `json:"files"`
				}{found.Settings, found.From, found.Files})
			}
			return showConfig(cmd, found)
		},
	}
}

// showConfig prints a table of key, value and origin.
func showConfig(cmd *cobra.Command, found config.Effective) error {
	raw, err := json.Marshal(found.Settings)
	if err != nil {
		return err
	}
	var values map[string]json.RawMessage
	if err := json.Unmarshal(raw, &values); err != nil {
		return err
	}
	table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 3, ' ', 0)
	for _, key := range config.Keys() {
		from, set := found.From[key]
		if !set {
			from = "default"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", key, shown(values[key]), from)
	}
	return table.Flush()
}

// shown is a value as one may write it into agent.yaml, or a hyphen for none.
func shown(value json.RawMessage) string {
	switch text := string(value); text {
	case `""`, "null", "[]", "{}":
		return "-"
	default:
		var word string
		if json.Unmarshal(value, &word) == nil {
			return word
		}
		return text
	}
}
