package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/proa-os/proa/builder"
	"github.com/proa-os/proa/builder/cache"
	"github.com/proa-os/proa/builder/oci"
	"github.com/proa-os/proa/builder/openpgp"
	"github.com/proa-os/proa/builder/resolve"
	"github.com/proa-os/proa/builder/rpm"
	"github.com/proa-os/proa/cmd/internal/cli"
	"github.com/proa-os/proa/manifests"
)

type lockOptions struct {
	inputOptions
	update   bool
	dryRun   bool
	older    bool
	previous string
}

func newLockCommand() *cobra.Command {
	var o lockOptions
	cmd := &cobra.Command{
		Use:   "lock [RECIPE] [--update [NAME...]]",
		Short: "Write down by digest what a recipe's sources stand for",
		Long: `Find out what the sources of a recipe stand for now, and write it into proa.lock
beside the recipe: images by digest, packages with URL, size and checksum, the
state of each repository, archives on this machine. Builds follow the lock alone,
so keep it under version control.

What the lock answers already stays as it is. With --update, everything becomes
as new as it can be, or only what is named: packages by their name, images and
archives as the recipe writes them. What the new lock brings is printed: + for
what is new, - for what is gone.

--previous writes down which release the next one is to follow in layout, see
'proa build'.

Signatures of repositories and of images are verified, and packages are not
downloaded, but where a repository gives no SHA-256.

Exit codes: 0 the lock is for the recipe; 1 something went wrong; 2 the command
line, the recipe or the lock is wrong.`,
		Example: `  proa lock
  proa lock --update openssh-server
  proa lock edge/recipe.yaml --update --dry-run`,
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd, args) },
	}
	o.add(cmd)
	flags := cmd.Flags()
	flags.BoolVar(&o.update, "update", false, "take the newest of all sources, or of those that are named")
	flags.BoolVarP(&o.dryRun, "dry-run", "n", false, "print what would change, and write nothing")
	flags.BoolVar(&o.older, "allow-older", false, "let repositories go back to a state before that in the lock")
	addPreviousFlag(cmd, &o.previous)
	cmd.ValidArgsFunction = completeLock
	return cmd
}

func (o lockOptions) run(cmd *cobra.Command, args []string) error {
	path, names, err := o.arguments(cmd, args)
	if err != nil {
		return err
	}
	r, err := readRecipe(path)
	if err != nil {
		return err
	}
	in, err := o.open(cmd)
	if err != nil {
		return err
	}
	defer in.Close()
	update := resolve.Update{All: o.update && len(names) == 0, Names: names}
	r.allowOlder = o.older
	if err := r.follow(cmd.Context(), in, o.previous, r.Arch); err != nil {
		return err
	}
	changes, wrote, err := r.relock(cmd, in, update, !o.dryRun)
	if err != nil {
		return inputHint(err)
	}
	if cli.JSON(cmd) {
		return cli.PrintJSON(cmd.OutOrStdout(), struct {
			Lock    string           `json:"lock"`
			Written bool             `json:"written"`
			Changes []resolve.Change `json:"changes"`
		}{r.lockPath(), wrote, append([]resolve.Change{}, changes...)})
	}
	return r.printChanges(cmd.OutOrStdout(), changes, wrote)
}

// arguments are the recipe and the names to update. With --update, the first
// argument is the recipe if it is a YAML file or a folder with a recipe in it.
func (o lockOptions) arguments(cmd *cobra.Command, args []string) (path string, names []string, err error) {
	path = "."
	if len(args) > 0 && (!o.update || isRecipe(args[0])) {
		path, args = args[0], args[1:]
	}
	if len(args) > 0 && !o.update {
		return "", nil, cli.Usage(cmd, fmt.Errorf("%.200q: names of packages and images go with --update", args[0]))
	}
	for i, name := range args {
		if name == "" {
			return "", nil, cli.Usage(cmd, fmt.Errorf("name %d is empty", i+1))
		}
	}
	return path, args, nil
}

func isRecipe(path string) bool {
	if extension := filepath.Ext(path); extension == ".yaml" || extension == ".yml" {
		return true
	}
	_, err := os.Stat(filepath.Join(path, manifests.RecipeFile))
	return path != "" && err == nil
}

func (r *recipe) printChanges(w io.Writer, changes []resolve.Change, wrote bool) error {
	out := &linePrinter{w: w}
	heading := ""
	for _, c := range changes {
		if next := fmt.Sprintf("%s for %s", c.Source, c.Arch); next != heading {
			heading = next
			out.print("%s", heading)
		}
		out.print("  %s", c)
	}
	switch {
	case wrote:
		out.print("wrote %s: %s", r.lockPath(), r.summary(changes))
	case len(changes) == 0 && !r.follows:
		out.print("%s is up to date", r.lockPath())
	default:
		out.print("%s; nothing was written", r.summary(changes))
	}
	return out.err
}

// summary says how much changes in a lock.
func (r *recipe) summary(changes []resolve.Change) string {
	text := fmt.Sprintf("%d changes", len(changes))
	if r.follows {
		text += ", another previous release"
	}
	return text
}

// inputHint adds what can be done about inputs that do not come.
func inputHint(err error) error {
	var unknown *resolve.UnknownError
	var older *resolve.OlderError
	switch {
	case errors.As(err, &older):
		return cli.Hint(err, "a mirror may be behind, or somebody keeps updates back; 'proa lock --allow-older' takes it as it is")
	case errors.As(err, &unknown):
		return cli.Hint(err, "names are those in "+manifests.LockFile+", or of sources as the recipe writes them")
	case errors.Is(err, cache.ErrOffline):
		return cli.Hint(err, "leave out --offline, or name a folder that 'proa vendor' made with --vendor")
	case errors.Is(err, builder.ErrChanged):
		return cli.Hint(err, "if it is to be another one now, run 'proa lock'")
	case errors.Is(err, oci.ErrUnauthorized):
		return cli.Hint(err, "log in with 'docker login' or 'podman login'")
	case errors.Is(err, oci.ErrUnsigned), errors.Is(err, openpgp.ErrUnsigned), errors.Is(err, rpm.ErrUnsigned):
		return cli.Hint(err, "there is no way around signatures; ask its publisher")
	case errors.Is(err, openpgp.ErrUnknownKey):
		return cli.Hint(err, "get the publisher's key in a way that you trust, and name it in the recipe")
	}
	return err
}
