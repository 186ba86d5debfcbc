package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/proa-os/proa/cmd/internal/cli"
	"github.com/proa-os/proa/durable"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/regular"
	"github.com/proa-os/proa/signing"
)

// rootFileMost bounds a root file, in bytes.
const rootFileMost = 1 << 20

func newRepoRootCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "root",
		Short: "Change the keys of a repository, by files that travel between machines",
		Long: `Make, sign and publish a root: the file that says which keys speak for a
repository, and how many of them must. 'init' writes the next root without
signatures, 'sign' adds those of one machine's keys, on a machine without a network
if need be, and 'publish' puts it into the repository once as many keys of the root
before and of the new one have signed as they demand.`,
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newRootInitCommand(), newRootShowCommand(), newRootSignCommand(), newRootPublishCommand())
	return cmd
}

func newRootInitCommand() *cobra.Command {
	var from, replaces, output, expires string
	var add, remove, threshold []string
	cmd := &cobra.Command{
		Use:   "init [--from ROOT] -o FILE",
		Short: "Write the next root, without signatures",
		Long: `Write the root that follows another one, or without --from the first root of a
new repository. It needs no private keys and signs nothing. Without a change it
renews the root: it differs in its version and expiry alone.

--replaces names the last root of a repository whose root keys are lost. Hosts that
boot an image with the new repository's root leave the other one.`,
		Example: `  proa repo root init --add-key root=ann.pub --add-key root=bob.pub --threshold root=2 \
      --add-key targets=targets.pub --add-key snapshot=online.pub --add-key timestamp=online.pub -o root.json
  proa repo root init --from repo --remove-key targets=4f0c21d7 --add-key targets=new.pub -o next.json`,
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output == "" {
				return cli.Usage(cmd, errors.New("no output: name the file for the root with -o"))
			}
			now := time.Now()
			change, err := parseRootChange(add, remove, threshold, expires, now)
			if err != nil {
				return cli.Usage(cmd, err)
			}
			if from != "" && replaces != "" {
				return cli.Usage(cmd, errors.New("--from and --replaces: a root that follows another replaces none"))
			}
			if change.Add, err = readAddedKeys(add); err != nil {
				return err
			}
			if change.Replaces, err = readReplaced(replaces); err != nil {
				return rootHint(err)
			}
			draft, err := beginRoot(from, change, now)
			if err != nil {
				return rootHint(fmt.Errorf("making a root: %w", err))
			}
			content, err := draft.Bytes()
			if err != nil {
				return err
			}
			if err := durable.CreateFile(output, content, 0o644); err != nil {
				return rootHint(err)
			}
			return printRoot(cmd, draft)
		},
	}
	flags := cmd.Flags()
	addFrom(cmd, &from)
	flags.StringArrayVar(&add, "add-key", nil, "`ROLE=FILE.pub`: let this key sign for a role")
	flags.StringArrayVar(&remove, "remove-key", nil, "`ROLE=ID`: take the key from a role; the first 8 digits or its .pub file will do")
	flags.StringArrayVar(&threshold, "threshold", nil, "`ROLE=N`: how many keys must sign for a role (default: as before, 1 in a first root)")
	flags.StringVar(&replaces, "replaces", "", "the last `ROOT` of a repository whose place this one takes: its file, or the repository's folder")
	flags.StringVar(&expires, "expires", "", "`DATE`, such as 2027-06-30, on which the root expires (default: in 365 days)")
	flags.StringVarP(&output, "output", "o", "", "file for the root")
	return cmd
}

// addFrom adds the flag that names the root before.
func addFrom(cmd *cobra.Command, from *string) {
	cmd.Flags().StringVar(from, "from", "", "the `ROOT` before: its file, or the folder of its repository")
}

func beginRoot(from string, change signing.RootChange, now time.Time) (*signing.RootDraft, error) {
	if from == "" {
		return signing.FirstRoot(change, now)
	}
	before, err := readRootBefore(from)
	if err != nil {
		return nil, err
	}
	return signing.NextRoot(before, change, now)
}

// readRootBefore reads what --from names; nil if it names nothing.
func readRootBefore(from string) ([]byte, error) {
	if from == "" {
		return nil, nil
	}
	if info, err := os.Stat(from); err != nil || !info.IsDir() {
		return readRootFile(from)
	}
	root, err := signing.NewestRoot(os.DirFS(filepath.Join(from, "metadata")))
	if err != nil {
		return nil, fmt.Errorf("repository %s: %w", from, err)
	}
	return root, nil
}

// readReplaced is the digest of the root that --replaces names; zero if it names
// nothing.
func readReplaced(path string) (manifests.Digest, error) {
	content, err := readRootBefore(path)
	if err != nil || content == nil {
		return manifests.Digest{}, err
	}
	former, err := signing.ReadRootDraft(content, nil)
	if err == nil {
		err = former.CheckComplete()
	}
	if err != nil {
		return manifests.Digest{}, fmt.Errorf("%s: %w", path, err)
	}
	return former.Digest()
}

func readRootFile(path string) ([]byte, error) {
	content, err := regular.Read(path, rootFileMost)
	if err != nil {
		return nil, fmt.Errorf("root file %w", err)
	}
	return content, nil
}

// readDraft reads a root and the one before it, where that is named.
func readDraft(path, from string) (*signing.RootDraft, error) {
	content, err := readRootFile(path)
	if err != nil {
		return nil, err
	}
	before, err := readRootBefore(from)
	if err != nil {
		return nil, err
	}
	draft, err := signing.ReadRootDraft(content, before)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return draft, nil
}

func newRootShowCommand() *cobra.Command {
	var from string
	cmd := &cobra.Command{
		Use:     "show FILE [--from ROOT]",
		Short:   "Show what a root says, and whose signatures it lacks",
		Example: "  proa repo root show next.json --from repo",
		Args:    cli.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			draft, err := readDraft(args[0], from)
			if err != nil {
				return rootHint(err)
			}
			return printRoot(cmd, draft)
		},
	}
	addFrom(cmd, &from)
	return cmd
}

func printRoot(cmd *cobra.Command, draft *signing.RootDraft) error {
	s, err := draft.Summary()
	if err != nil {
		return err
	}
	if cli.JSON(cmd) {
		return cli.PrintJSON(cmd.OutOrStdout(), s)
	}
	return writeRootSummary(cmd.OutOrStdout(), s)
}

func writeRootSummary(w io.Writer, s signing.RootSummary) error {
	out := &linePrinter{w: w}
	out.print("root %d, expires %s", s.Version, s.Expires.Format(time.RFC3339))
	out.print("what is signed: %s", s.Digest)
	if !s.Replaces.IsZero() {
		out.print("replaces the root of another repository: %s", s.Replaces)
	}
	for _, r := range s.Roles {
		out.print("%-10s %d of %d keys: %s", r.Role, r.Threshold, len(r.Keys), strings.Join(r.Keys, " "))
	}
	for _, change := range s.Changes {
		out.print("change: %s", change)
	}
	for _, d := range s.Demands {
		missing := ""
		if !d.Met() {
			missing = fmt.Sprintf(", lacks %d", d.Threshold-len(d.Signed))
		}
		out.print("signed by %d of the %d keys of root %d that must%s", len(d.Signed), d.Threshold, d.Root, missing)
	}
	return out.err
}

// rootHint adds advice about roots.
func rootHint(err error) error {
	switch {
	case signing.IsNoRootKey(err):
		return cli.Hint(err, "a key of the root before can sign where --from names that root")
	case errors.Is(err, signing.ErrMismatch):
		return cli.Hint(err, "begin again with 'proa repo root init --from REPO', from the repository's newest root")
	case errors.Is(err, signing.ErrSignature):
		return cli.Hint(err, "'proa repo root sign' adds signatures, 'proa repo root show --from REPO' says which there are")
	case errors.Is(err, os.ErrExist):
		return cli.Hint(err, "roots are never replaced: choose another name, or move the old one away")
	}
	return repoHint(keyHint(err))
}
