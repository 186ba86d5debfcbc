package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/proa-os/proa/builder/cache"
	"github.com/proa-os/proa/builder/download"
	"github.com/proa-os/proa/builder/oci"
	"github.com/proa-os/proa/builder/resolve"
	"github.com/proa-os/proa/cmd/internal/cli"
	"github.com/proa-os/proa/durable"
	"github.com/proa-os/proa/manifests"
)

// inputOptions are the flags of the commands that bring what a recipe names.
type inputOptions struct {
	cache   string
	offline bool
	mirrors []string
	vendor  string
}

func (o *inputOptions) add(cmd *cobra.Command) {
	addCacheFlag(cmd, cmd.Flags(), &o.cache)
	cmd.Flags().BoolVar(&o.offline, "offline", false, "use no network: what is not here already is an error")
	cmd.Flags().StringArrayVar(&o.mirrors, "mirror", nil, "fetch packages from another place: URL=URL, both as prefixes")
}

// addVendor is for the commands that read what was locked.
func (o *inputOptions) addVendor(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.vendor, "vendor", "", "a folder that 'proa vendor' made, to take inputs from")
	cli.CompleteFolder(cmd, "vendor")
}

// inputs is where a command's inputs come from.
type inputs struct {
	cache    *cache.Cache
	fetcher  *download.Fetcher
	registry oci.Remote
}

// open opens the user's cache. Close it when the work is done.
func (o inputOptions) open(cmd *cobra.Command) (inputs, error) {
	mirrors := map[string]string{}
	for _, text := range o.mirrors {
		from, to, ok := strings.Cut(text, "=")
		if !ok || !isWebURL(from) || !isWebURL(to) {
			return inputs{}, cli.Usage(cmd, fmt.Errorf("--mirror %.200q: want URL=URL, both http or https", text))
		}
		mirrors[from] = to
	}
	kept, err := openCache(o.cache)
	if err != nil {
		return inputs{}, err
	}
	if o.vendor != "" {
		if err := kept.AddReadOnly(o.vendor); err != nil {
			kept.Close()
			return inputs{}, cli.Hint(err, "'proa vendor' makes such a folder")
		}
	}
	fetcher := download.New(kept, download.Config{Offline: o.offline, Mirrors: mirrors, UserAgent: userAgent(), Progress: cli.Progress(cmd)})
	return inputs{kept, fetcher, oci.Remote{Offline: o.offline, UserAgent: userAgent(), Progress: cli.Progress(cmd)}}, nil
}

func isWebURL(text string) bool {
	return strings.HasPrefix(text, "http://") || strings.HasPrefix(text, "https://")
}

func (in inputs) Close() error {
	in.fetcher.Close()
	return in.cache.Close()
}

func userAgent() string { return "proa/" + cli.Version }

// recipe is a recipe with the lock beside it.
type recipe struct {
	manifests.Recipe
	text   []byte         // the file
	folder string         // its paths are relative to it
	lock   manifests.Lock // the zero value when there is none
	locked bool           // there is a lock

	follows    bool // the lock names another previous release than its file
	allowOlder bool // repositories may have gone back
}

func (r recipe) lockPath() string { return filepath.Join(r.folder, manifests.LockFile) }

// readRecipe reads the recipe at path, a file or a folder that holds one, and
// the lock beside it.
func readRecipe(path string) (*recipe, error) { return readRecipeBy(path, manifests.ParseRecipe) }

func readRecipeBy(path string, parse func(name string, data []byte) (manifests.Recipe, error)) (*recipe, error) {
	info, err := os.Stat(path)
	if err == nil && info.IsDir() {
		path = filepath.Join(path, manifests.RecipeFile)
		info, err = os.Stat(path)
	}
	if err != nil {
		err = fmt.Errorf("recipe %.200q: %w", path, errors.Unwrap(err))
		return nil, cli.Exit(cli.ExitUsage, cli.Hint(err, "'proa init' writes a recipe to start from"))
	}
	if !info.Mode().IsRegular() {
		return nil, cli.Exit(cli.ExitUsage, fmt.Errorf("%s: want a regular file", path))
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	const most = 1 << 20
	data, err := io.ReadAll(io.LimitReader(file, most))
	if err != nil {
		return nil, err
	}
	r := &recipe{text: data, folder: filepath.Dir(path)}
	if r.Recipe, err = parse(path, data); err != nil {
		return nil, cli.Exit(cli.ExitUsage, err)
	}
	return r, r.readLock()
}

// conflict is how git begins what it could not merge.
var conflict = []byte("<<<<<<< ")

// readLock reads the lock beside a recipe.
func (r *recipe) readLock() error {
	file, err := os.Open(r.lockPath())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	const most = 4<<20 + 1 // one more than manifests.ParseLock takes
	data, err := io.ReadAll(io.LimitReader(file, most))
	if err != nil {
		return err
	}
	if bytes.HasPrefix(data, conflict) || bytes.Contains(data, append([]byte("\n"), conflict...)) {
		err = fmt.Errorf("%s: two versions of it were merged, and the conflict is not resolved", r.lockPath())
		return cli.Exit(cli.ExitUsage, cli.Hint(err, "take one of the two, and run 'proa lock'"))
	}
	if r.lock, err = manifests.ParseLock(data); err != nil {
		err = fmt.Errorf("%s: %w", r.lockPath(), err)
		return cli.Exit(cli.ExitUsage, cli.Hint(err, "remove it and run 'proa lock' to make it anew"))
	}
	r.locked = true
	return nil
}

// relock resolves what the lock does not answer, or what update names, and
// writes the lock unless nothing changed or write is false.
func (r *recipe) relock(cmd *cobra.Command, in inputs, update resolve.Update, write bool) (changes []resolve.Change, wrote bool, err error) {
	next, err := resolve.Lock(cmd.Context(), resolve.Config{
		Recipe:     r.Recipe,
		Folder:     r.folder,
		Fetcher:    in.fetcher,
		Now:        time.Now(),
		Previous:   r.lock,
		Update:     update,
		AllowOlder: r.allowOlder,
		Registry:   in.registry,
		Progress:   cli.Progress(cmd),
	})
	if err != nil {
		return nil, false, err
	}
	changes = resolve.Changes(r.lock, next)
	before, err := r.lock.Encode()
	if err != nil {
		return nil, false, err
	}
	text, err := next.Encode()
	if err != nil {
		return nil, false, err
	}
	r.lock = next
	if !write || r.locked && !r.follows && string(before) == string(text) {
		return changes, false, nil
	}
	return changes, true, durable.WriteFile(r.lockPath(), text, 0o644)
}
