package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/proa-os/proa/cmd/internal/cli"
	"github.com/proa-os/proa/repository"
	"github.com/proa-os/proa/signing"
)

func newRepoCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "repo",
		Short: "Make and change the repository that hosts update themselves from",
		Long: `Make and change a repository: a folder of static files that any web server,
object store or USB stick can carry. Its metadata is signed as The Update
Framework (TUF) says; hosts believe nothing else.`,
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		newRepoInitCommand(),
		newRepoPublishCommand(),
		newRepoPromoteCommand(),
		newRepoRetractCommand(),
		newRepoAttachCommand(),
		newRepoRefreshCommand(),
		newRepoRootCommand(),
		newRepoListCommand(),
		newRepoCheckCommand(),
		newRepoExportCommand(),
		newRepoPushCommand(),
	)
	return cmd
}

// repoFlags are the flags that every command that signs has.
type repoFlags struct {
	dir       string
	keys      string
	lifetimes map[string]string

	passphrase passphraseFlag
}

func (f *repoFlags) addRepo(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.dir, "repo", "repo", "the repository's folder")
}

func (f *repoFlags) addKeys(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.keys, "keys", "keys", "folder of the signing keys")
	f.passphrase.add(cmd, "of keys that are encrypted (default: asked for at a terminal)")
	cmd.Flags().StringToStringVar(&f.lifetimes, "lifetime", nil,
		"how long new signatures hold, such as timestamp=7d,snapshot=30d (default root=365d,targets=90d,snapshot=30d,timestamp=14d)")
}

// config loads what the flags name.
func (f *repoFlags) config(cmd *cobra.Command) (repository.Config, error) {
	lifetimes, err := parseLifetimes(f.lifetimes)
	if err != nil {
		return repository.Config{}, cli.Usage(cmd, err)
	}
	keys, err := signing.OpenKeys(f.keys, f.passphrase.ask(cmd.Context()))
	if err != nil {
		return repository.Config{}, repoHint(fmt.Errorf("loading keys: %w", err))
	}
	return repository.Config{Dir: f.dir, Keys: keys, Lifetimes: lifetimes, Progress: cli.Progress(cmd)}, nil
}

func parseLifetimes(texts map[string]string) (signing.Lifetimes, error) {
	lifetimes := signing.Lifetimes{}
	for name, text := range texts {
		role, err := signing.ParseRole(name)
		if err != nil {
			return nil, err
		}
		if lifetimes[role], err = parseLifetime(text); err != nil {
			return nil, fmt.Errorf("lifetime of %s: %w", role, err)
		}
	}
	return lifetimes, nil
}

// parseLifetime reads a positive duration; to what time.ParseDuration knows it
// adds days.
func parseLifetime(text string) (time.Duration, error) {
	const rule = "want a positive time such as 12h or 30d"
	life, err := time.ParseDuration(text)
	if days, ok := strings.CutSuffix(text, "d"); ok {
		var n int64
		n, err = strconv.ParseInt(days, 10, 16) // 89 years
		life = time.Duration(n) * 24 * time.Hour
	}
	if err != nil || life <= 0 {
		return 0, fmt.Errorf("%.40q: %s", text, rule)
	}
	return life, nil
}

// repoHint adds advice to what the repository's packages report.
func repoHint(err error) error {
	switch {
	case errors.Is(err, repository.ErrExists):
		return cli.Hint(err, "its hosts trust its keys: publish to it, or make the new one in another folder")
	case errors.Is(err, repository.ErrNoRepository):
		return cli.Hint(err, "make one with 'proa repo init', or name it with --repo")
	case errors.Is(err, repository.ErrLocked):
		return cli.Hint(err, "wait for it to end, then run this again")
	case errors.Is(err, repository.ErrVersionTaken):
		return cli.Hint(err, "a version never changes: build the release again under a new one")
	case errors.Is(err, repository.ErrDowngrade):
		return cli.Hint(err, "--allow-downgrade moves the channel; hosts that run the newer version will stay on it")
	case errors.Is(err, repository.ErrLowerEpoch):
		return cli.Hint(err, "raise securityEpoch in its recipe and build it anew; --allow-downgrade moves a channel all the same")
	case errors.Is(err, repository.ErrRetracted):
		return cli.Hint(err, "'proa repo retract --lift' takes a retraction back")
	case errors.Is(err, repository.ErrAmbiguous):
		return cli.Hint(err, "name them with --product and --arch")
	case errors.Is(err, repository.ErrNoRelease):
		return cli.Hint(err, "'proa repo list' shows what is published")
	case errors.Is(err, repository.ErrNotExport):
		return cli.Hint(err, "nothing but an older export is replaced: name another path")
	case errors.Is(err, repository.ErrNoChannel):
		return cli.Hint(err, "hosts install what their channel points to: move one with 'proa repo promote'")
	case errors.Is(err, repository.ErrNoDelta):
		return cli.Hint(err, "'proa repo publish --deltas' makes deltas; without --base and --delta-only the export needs none")
	case errors.Is(err, repository.ErrBroken):
		return cli.Hint(err, "build the release again; 'proa verify' says all that is wrong with it")
	case errors.Is(err, signing.ErrKeyMissing):
		return cli.Hint(err, "make keys with 'proa key new', or name the folder that holds them with --keys")
	case errors.Is(err, signing.ErrExpired):
		return cli.Hint(err, "'proa repo refresh' with the keys of that role signs it anew")
	case errors.Is(err, signing.ErrKeyExposed), errors.Is(err, signing.ErrKeyLocked):
		return keyHint(err)
	case errors.Is(err, os.ErrNotExist) && strings.HasPrefix(err.Error(), "loading keys"):
		return cli.Hint(err, "make keys with 'proa key new', or name the folder that holds them with --keys")
	}
	return err
}
