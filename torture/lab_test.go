package torture

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"github.com/proa-os/proa/machine/workshop"
)

// The releases: the lab has the first two, each on a channel with its own name.
const (
	first  = "1.0.0"
	second = "1.1.0"
	third  = "1.2.0"
)

// lab is what recorded machines need: programs, releases, a repository. It is
// made when the first test asks for it.
type lab struct {
	dir  string
	url  string // of the repository, for guests
	stop func() // ends proa serve

	once sync.Once
	err  error
}

func (l *lab) path(elem ...string) string { return filepath.Join(append([]string{l.dir}, elem...)...) }

// ready makes the lab.
func (l *lab) ready(ctx context.Context) error {
	l.once.Do(func() { l.err = l.prepare(ctx) })
	return l.err
}

func (l *lab) prepare(ctx context.Context) error {
	if err := workshop.Compile(ctx, l.path("bin"), "cmd/proa", "cmd/proa-agent", "cmd/proa-init"); err != nil {
		return err
	}
	if _, err := workshop.Appliance(ctx, l.dir); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"key", "new", "--role", "root,targets,snapshot,timestamp", "-o", "keys"},
		{"repo", "init", "repo", "--keys", "keys"},
	} {
		if err := l.proa(ctx, args...); err != nil {
			return err
		}
	}
	if err := l.serve(); err != nil {
		return fmt.Errorf("proa serve: %w", err)
	}
	for _, version := range []string{first, second} {
		if err := l.build(ctx, version); err != nil {
			return fmt.Errorf("release %s: %w", version, err)
		}
	}
	return nil
}

// build builds a release of the appliance that differs from the others by one
// file, and publishes it.
func (l *lab) build(ctx context.Context, version string) error {
	recipe, err := os.ReadFile(filepath.Join("..", "images", "appliance", "recipe.yaml"))
	if err != nil {
		return err
	}
	const last = "  - tar: appliance.tar\n"
	overlay := "overlay-" + version
	if err := os.MkdirAll(l.path(overlay, "usr/share"), 0o755); err != nil {
		return err
	}
	// Many blocks differ, so that an update writes many.
	if err := os.WriteFile(l.path(overlay, "usr/share/release"), []byte(strings.Repeat("release "+version+"\n", 10000)), 0o644); err != nil {
		return err
	}
	text := strings.NewReplacer("root: root.json", "root: repo/metadata/root.json", last, last+"  - dir: "+overlay+"\n").Replace(string(recipe))
	file := "recipe-" + version + ".yaml"
	if err := os.WriteFile(l.path(file), []byte(text), 0o644); err != nil {
		return err
	}
	if err := l.proa(ctx, "build", file, "-o", "out/"+version, "--version", version); err != nil {
		return err
	}
	return l.proa(ctx, "repo", "publish", "out/"+version, "--repo", "repo", "--keys", "keys", "--channel", "r"+version)
}

func (l *lab) serve() error {
	at, stop, err := workshop.Serve(l.path("bin", "proa"), l.path("repo"))
	if err != nil {
		return err
	}
	l.stop = stop
	l.url = "http://10.0.2.2:" + at.Port() // the host, for a guest
	return nil
}

// close ends what the lab started.
func (l *lab) close() {
	if l.stop != nil {
		l.stop()
	}
	os.RemoveAll(l.dir)
}

func (l *lab) proa(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, l.path("bin", "proa"), args...)
	cmd.Dir = l.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w:\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	return nil
}
