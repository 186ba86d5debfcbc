package main

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"github.com/proa-os/proa/cmd/internal/cli"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/regular"
	"github.com/proa-os/proa/repository"
)

// deltasMost is how many deltas can be asked for.
const deltasMost = 32

// publishMemory is what the collector keeps to, in bytes: a publisher leaves much
// behind.
const publishMemory = 416 << 20

func newRepoPublishCommand() *cobra.Command {
	var flags repoFlags
	var channel, notes, requires string
	var downgrade bool
	var deltas int
	cmd := &cobra.Command{
		Use:   "publish OUT --channel CHANNEL",
		Short: "Publish a release and move a channel to it",
		Long: `Publish the release in OUT, the output folder of 'proa build', and move a
channel to it. All of OUT is checked against its release.json first, unless the
release is published in full already. Hosts see the release, whole, at the very
end; when the command is interrupted they see what they saw before, and running
it again completes it.

The image is compared with the newest releases before it, so that their hosts
fetch only what is new. --deltas makes an update from each of the last few smaller
still; it takes time, and about the size of a root image on the disk. It can be
given later, for a release that is published, as can --notes and --requires.

--notes gives the release the notes in a text file, which hosts show. With --requires
VERSION, hosts that run an older version install that one first.`,
		Example: "  proa repo publish out/1.0.0 --channel beta\n  proa repo publish out/1.1.0 --channel stable --deltas 3 --notes NOTES.txt\n  proa repo publish out/2.0.0 --channel stable --requires 1.9.0",
		Args:    cli.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if channel == "" {
				return cli.Usage(cmd, errors.New("no channel: name one with --channel, such as stable"))
			}
			if err := manifests.CheckName("channel", channel); err != nil {
				return cli.Usage(cmd, err)
			}
			if deltas < 0 || deltas > deltasMost {
				return cli.Usage(cmd, fmt.Errorf("--deltas %d: want 0 to %d", deltas, deltasMost))
			}
			publish := repository.PublishConfig{ReleaseDir: args[0], Channel: channel, AllowDowngrade: downgrade, Deltas: deltas}
			if cmd.Flags().Changed("requires") {
				stone := manifests.Version(requires)
				if _, err := manifests.ParseVersion(requires); requires != "" && err != nil {
					return cli.Usage(cmd, err)
				}
				publish.Requires = &stone
			}
			var err error
			if notes != "" {
				if publish.Notes, err = readNotes(notes); err != nil {
					return err
				}
			}
			if publish.Config, err = flags.config(cmd); err != nil {
				return err
			}
			if os.Getenv("GOMEMLIMIT") == "" {
				debug.SetMemoryLimit(publishMemory)
			}
			published, err := repository.Publish(cmd.Context(), publish)
			if err != nil {
				return repoHint(fmt.Errorf("publishing %s: %w", args[0], err))
			}
			return printPublished(cmd, published)
		},
	}
	flags.addRepo(cmd)
	flags.addKeys(cmd)
	cmd.Flags().StringVar(&channel, "channel", "", "channel to move to the release")
	cmd.Flags().IntVar(&deltas, "deltas", 0, "make deltas from the last `N` releases before it")
	cmd.Flags().StringVar(&notes, "notes", "", "text `FILE` with the release notes; an empty file takes away those there are")
	cmd.Flags().StringVar(&requires, "requires", "", "`VERSION` that hosts on an older one install first; \"\" for none any more")
	cmd.Flags().BoolVar(&downgrade, "allow-downgrade", false, "let the channel go to an older version")
	return cmd
}

// readNotes reads release notes, which other systems may have written.
func readNotes(path string) (*string, error) {
	text, err := regular.Read(path, manifests.NotesMost)
	if err != nil {
		return nil, fmt.Errorf("reading release notes: %w", err)
	}
	notes := strings.TrimPrefix(strings.ReplaceAll(string(text), "\r\n", "\n"), "\ufeff")
	notes = strings.TrimRight(notes, " \t\n")
	if err := manifests.CheckNotes(notes); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &notes, nil
}

func printPublished(cmd *cobra.Command, p repository.Published) error {
	if cli.JSON(cmd) {
		return cli.PrintJSON(cmd.OutOrStdout(), p)
	}
	already := ""
	if !p.Changed {
		already = " (as it was)"
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s %s %s is on channel %s%s\nrelease: %s\nroot image to fetch: %d bytes\n",
		p.Product, p.Version, p.Arch, p.Channel, already, p.Release, p.Root.Size)
	for _, d := range p.Deltas {
		if err == nil {
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "delta from %s: %d bytes\n", d.From, d.Size)
		}
	}
	for _, d := range p.LeftOut {
		if err == nil {
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "no delta from %s: %s\n", d.From, d.Why)
		}
	}
	return err
}
