package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/proa-os/proa/cmd/internal/cli"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/repository"
)

func newRepoExportCommand() *cobra.Command {
	var flags repoFlags
	var out, channel, version, base, arch string
	var export repository.ExportConfig
	cmd := &cobra.Command{
		Use:   "export -o PATH",
		Short: "Write one release for hosts without a network, onto a USB stick",
		Long: `Write what a host needs to install one release, and to believe it, to PATH: one
tar file if PATH ends in .tar, otherwise a folder. 'proa-agent update --from
PATH' installs it.

Hosts check it as they check a repository, so it ages as one does: the output
says until when they take it.

Of deltas, which make an update faster and smaller, all are taken, or that from
--base alone. With --delta-only the whole image is left out: hosts that run
another version than those of the deltas cannot use such an export.`,
		Example: `  proa repo export -o /media/stick/os.tar
  proa repo export -o /media/stick/os --version 1.1.0 --base 1.0.0 --delta-only`,
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if channel != "" && version != "" {
				return cli.Usage(cmd, errors.New("--channel and --version: want one of them"))
			}
			if channel == "" && version == "" {
				channel = "stable"
			}
			if err := checkExport(&export, out, channel, version, base, arch); err != nil {
				return cli.Usage(cmd, err)
			}
			export.Dir, export.Progress = flags.dir, cli.Progress(cmd)
			exported, err := repository.Export(cmd.Context(), export)
			if err != nil {
				return repoHint(fmt.Errorf("exporting to %s: %w", out, err))
			}
			return printExported(cmd, out, exported)
		},
	}
	flags.addRepo(cmd)
	cmd.Flags().StringVarP(&out, "output", "o", "", "folder to make, or file if it ends in .tar; an older export there is replaced")
	cmd.Flags().StringVar(&channel, "channel", "", "export the release that this channel points to (default stable)")
	cmd.Flags().StringVar(&version, "version", "", "export this release, for hosts that follow a channel that points to it")
	cmd.Flags().StringVar(&export.Product, "product", "", "product of the release (default: the only one that there is)")
	cmd.Flags().StringVar(&arch, "arch", "", "architecture of the release (default: the only one that there is)")
	cmd.Flags().StringVar(&base, "base", "", "take the delta from this version and no other")
	cmd.Flags().BoolVar(&export.DeltaOnly, "delta-only", false, "leave out the whole image")
	return cmd
}

func checkExport(export *repository.ExportConfig, out, channel, version, base, arch string) (err error) {
	if out == "" {
		return errors.New("no place to write to: name one with -o")
	}
	export.Path, export.Channel = out, channel
	if channel != "" {
		if err := manifests.CheckName("channel", channel); err != nil {
			return err
		}
	}
	if export.Product != "" {
		if err := manifests.CheckName("product", export.Product); err != nil {
			return err
		}
	}
	if arch != "" {
		if export.Arch, err = manifests.ParseArch(arch); err != nil {
			return err
		}
	}
	for _, v := range []struct {
		text string
		into *manifests.Version
	}{{version, &export.Version}, {base, &export.Base}} {
		if v.text == "" {
			continue
		}
		if *v.into, err = manifests.ParseVersion(v.text); err != nil {
			return err
		}
	}
	return nil
}

func printExported(cmd *cobra.Command, path string, e repository.Exported) error {
	if cli.JSON(cmd) {
		return cli.PrintJSON(cmd.OutOrStdout(), struct {
			Path string `json:"path"`
			repository.Exported
		}{path, e})
	}
	r := e.Release
	fits := "any version"
	if r.Requires != "" {
		fits = "version " + string(r.Requires) + " or newer"
	}
	if !e.Whole {
		var bases []string
		for _, v := range r.Deltas {
			bases = append(bases, string(v))
		}
		fits = "version " + strings.Join(bases, " or ")
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s %s %s, %d files of %.1f MB: %s\nfor hosts that run %s and follow channel %s\nhosts take it until %s\n",
		r.Product, r.Version, r.Arch, e.Files, float64(e.Size)/1e6, path, fits, strings.Join(r.Channels, " or "), e.Expires.UTC().Format("2006-01-02 15:04 MST"))
	return err
}
