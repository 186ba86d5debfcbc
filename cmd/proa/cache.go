package main

import (
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/proa-os/proa/builder/cache"
	"github.com/proa-os/proa/cmd/internal/cli"
	"github.com/proa-os/proa/manifests"
)

func newCacheCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "cache",
		Short: "Show and prune what builds keep for the next build",
		Long: `Show and prune the cache: what builds have downloaded, by digest, and what they
have unpacked. A build that finds everything there downloads and unpacks nothing.
It is safe to remove any of it, and all of it: what is needed comes back.

It is the folder $PROA_CACHE, or proa in $XDG_CACHE_HOME, or ~/.cache/proa. Any
number of builds can use it at once.`,
		Example: "  proa cache\n  proa cache prune --older-than 30d",
		Args:    cli.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return showCache(cmd, dir) },
	}
	addCacheFlag(cmd, cmd.PersistentFlags(), &dir)
	cmd.AddCommand(newCacheShowCommand(&dir), newCachePruneCommand(&dir), newCacheVerifyCommand(&dir))
	return cmd
}

func newCacheShowCommand(dir *string) *cobra.Command {
	return &cobra.Command{
		Use:   "show",
		Short: "List what the cache holds, with sizes and when it was last used",
		Args:  cli.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return showCache(cmd, *dir) },
	}
}

func newCachePruneCommand(dir *string) *cobra.Command {
	var olderThan, to string
	var all bool
	cmd := &cobra.Command{
		Use:   "prune (--older-than TIME | --to SIZE | --all)",
		Short: "Remove what has not been used for long",
		Long: `Remove what has not been used for a time, or what was used the longest ago until
the rest is small enough, or everything. It waits for builds that use the cache.`,
		Example: "  proa cache prune --older-than 30d --to 10GiB\n  proa cache prune --all",
		Args:    cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			pruning, err := parsePruning(olderThan, to, all)
			if err != nil {
				return cli.Usage(cmd, err)
			}
			pruning.Waiting = waitingForBuilds(cmd)
			return withCache(*dir, func(c *cache.Cache) error {
				removed, err := c.Prune(cmd.Context(), pruning)
				return errors.Join(printItems(cmd, c.Dir(), removed, "removed from"), err)
			})
		},
	}
	cmd.Flags().StringVar(&olderThan, "older-than", "", "what was not used for this long, such as 12h or 30d")
	cmd.Flags().StringVar(&to, "to", "", "what was used the longest ago, until at most this much is left, such as 2GiB")
	cmd.Flags().BoolVar(&all, "all", false, "everything")
	return cmd
}

func parsePruning(olderThan, to string, all bool) (cache.Pruning, error) {
	p := cache.Pruning{All: all}
	if !all && olderThan == "" && to == "" {
		return p, errors.New("what to remove is missing: want --older-than, --to or --all")
	}
	if all && (olderThan != "" || to != "") {
		return p, errors.New("--all goes without --older-than and --to")
	}
	if olderThan != "" {
		age, err := parseLifetime(olderThan)
		if err != nil {
			return p, fmt.Errorf("--older-than %w", err)
		}
		p.NotSince = time.Now().Add(-age)
	}
	if to != "" {
		size, err := manifests.ParseSize(to)
		if err != nil {
			return p, fmt.Errorf("--to: %w", err)
		}
		p.To, p.Bounded = int64(size), true
	}
	return p, nil
}

func newCacheVerifyCommand(dir *string) *cobra.Command {
	var remove bool
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Read all that the cache holds and check it against its digests",
		Long: `Read all that the cache holds and check it against its digests. Builds do not do
that again for what they have checked when it came.

Exit codes: 0 all is right, or what was damaged has been removed; 1 something is
damaged, or could not be read.`,
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withCache(*dir, func(c *cache.Cache) error {
				checked, faults, err := c.Verify(cmd.Context(), cli.Progress(cmd))
				if err == nil && remove && len(faults) > 0 {
					err = c.Remove(cmd.Context(), faults, waitingForBuilds(cmd))
				}
				if err == nil && len(faults) > 0 && !remove {
					err = cli.Hint(fmt.Errorf("%d of %d entries are damaged", len(faults), checked), "remove them with 'proa cache verify --remove'")
				}
				return errors.Join(printFaults(cmd, checked, faults), err)
			})
		},
	}
	cmd.Flags().BoolVar(&remove, "remove", false, "remove what is damaged, so that the next build brings it anew")
	return cmd
}

func printFaults(cmd *cobra.Command, checked int, faults []cache.Fault) error {
	if cli.JSON(cmd) {
		return cli.PrintJSON(cmd.OutOrStdout(), map[string]any{"checked": checked, "faults": append([]cache.Fault{}, faults...)})
	}
	out := &linePrinter{w: cmd.OutOrStdout()}
	for _, f := range faults {
		out.print("FAULT  %s %s: %s", describeItem(f.Item), f.Digest, f.Fault)
	}
	out.print("%d entries checked, %d damaged", checked, len(faults))
	return out.err
}

func waitingForBuilds(cmd *cobra.Command) func() {
	return func() { fmt.Fprintln(cmd.ErrOrStderr(), "waiting for builds that use the cache") }
}

// addCacheFlag adds the flag that names the cache.
func addCacheFlag(cmd *cobra.Command, flags *pflag.FlagSet, dir *string) {
	flags.StringVar(dir, "cache", "", "the cache's folder (default $PROA_CACHE, or ~/.cache/proa)")
	cli.CompleteFolder(cmd, "cache")
}

// openCache opens the cache in dir, or the user's.
func openCache(dir string) (*cache.Cache, error) {
	if dir == "" {
		var err error
		if dir, err = cache.DefaultDir(); err != nil {
			return nil, cli.Hint(err, "name a folder with --cache or PROA_CACHE")
		}
	}
	c, err := cache.Open(dir)
	return c, cli.Hint(err, "name another folder with --cache or PROA_CACHE")
}

// withCache uses the cache in dir, or the user's.
func withCache(dir string, use func(*cache.Cache) error) error {
	c, err := openCache(dir)
	if err != nil {
		return err
	}
	return errors.Join(use(c), c.Close())
}

func showCache(cmd *cobra.Command, dir string) error {
	return withCache(dir, func(c *cache.Cache) error {
		items, err := c.List(cmd.Context())
		if err != nil {
			return err
		}
		return printItems(cmd, c.Dir(), items, "in")
	})
}

func printItems(cmd *cobra.Command, dir string, items []cache.Item, how string) error {
	var total int64
	for _, item := range items {
		total += item.Size
	}
	if cli.JSON(cmd) {
		return cli.PrintJSON(cmd.OutOrStdout(), map[string]any{"cache": dir, "entries": append([]cache.Item{}, items...), "size": total})
	}
	out := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 8, 2, ' ', 0)
	if len(items) > 0 {
		fmt.Fprintln(out, "DIGEST\tSIZE\tLAST USED\tWHAT")
	}
	for _, item := range items {
		fmt.Fprintf(out, "%s\t%.1f MB\t%s\t%s\n", item.Digest.Hex()[:12], float64(item.Size)/1e6, item.LastUse.Format(time.DateTime), describeItem(item))
	}
	if err := out.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "%d entries, %.1f MB %s %s\n", len(items), float64(total)/1e6, how, dir)
	return err
}

func describeItem(item cache.Item) string {
	what := item.What
	if item.Kind != "" {
		what += " (" + item.Kind + ")"
	}
	if item.Name != "" {
		what += " " + item.Name
	}
	return what
}
