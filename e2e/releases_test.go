package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// script is an executable file of a release, by its path.
type script map[string]string

// release is one release of the lab. Each is published on a channel of its own,
// so that each test chooses its update by the channel.
type release struct {
	version string
	channel string
	files   script
	words   []string // more of the kernel's command line
	recipe  string   // more of the recipe
	noise   int      // bytes of a file that no two releases share
	delta   bool     // make one from the release before
	signed  string   // the key for Secure Boot that signs it, of the lab's; "" for none
}

const base = "1.0.0"

var releases = []release{
	{version: base, channel: "base"},
	{version: "1.1.0", channel: "good", delta: true, files: script{
		"usr/lib/proa/health.d/10-release": "test -e /usr/lib/proa/image.json",
	}},
	{version: "1.2.0", channel: "unhealthy", files: script{
		"usr/lib/proa/health.d/20-gateway": "echo gateway: no answer >&2; exit 1",
	}},
	{version: "1.3.0", channel: "panic", files: script{
		"usr/sbin/init": "exit 1", // the end of PID 1 is a panic
	}},
	{version: "1.5.0", channel: "state", files: script{
		"etc/hosts":         "127.0.0.1 localhost release",
		"usr/lib/migrate-2": `echo "$1 to $PROA_TO" >> /var/migrated`,
	}, recipe: "migrations: [{to: 2, run: /usr/lib/migrate-2, reversible: true}]\n"},
	{version: "1.6.0", channel: "large", noise: noise},
	{version: "1.4.0", channel: "hang", words: []string{"proa.watchdog=20"}, files: script{
		"usr/sbin/init": "while true; do sleep 1000; done", // and nobody feeds the watchdog
	}},
	{version: secureBase, channel: "secure-base", signed: "db"},
	{version: "1.11.0", channel: "secure", signed: "db"},
	{version: "1.12.0", channel: "unsigned"},
	{version: "1.13.0", channel: "rotated", signed: "db-2"},
	{version: rehearsedFrom, channel: "rehearsed-from", files: byItself},
	{version: "1.21.0", channel: "rehearsed", files: byItself, noise: 4 << 20},
	{version: "1.22.0", channel: "rehearsed-unhealthy", files: script{
		serviceMark:                         "",
		"usr/lib/proa/health.d/20-gateway":  "echo gateway: no answer >&2; exit 1",
		"usr/lib/proa/agent.d/50-soon.yaml": "healthLimit: 10s\nhealthTimeout: 5s", // #!/bin/sh is a comment, too
	}, noise: 4 << 20},
}

// serviceMark has the appliance's agent update it without being asked.
const serviceMark = "usr/lib/appliance/agent-service"

var byItself = script{serviceMark: ""}

// noise is what the large release is larger by, and what no host has of it.
const noise = 24 << 20

// release is the folder of one of the releases, which is built and published when
// the first test wants it.
func (l *lab) release(t *testing.T, version string) string {
	t.Helper()
	at := slices.IndexFunc(releases, func(r release) bool { return r.version == version })
	if releases[at].delta {
		l.release(t, base)
	}
	l.making.Lock()
	defer l.making.Unlock()
	if done, tried := l.releases[version]; tried && !done {
		t.Fatalf("release %s could not be built: see another test", version)
	} else if !done {
		if l.releases == nil {
			l.releases = map[string]bool{}
		}
		l.releases[version] = false
		if err := l.buildRelease(t.Context(), releases[at]); err != nil {
			t.Fatalf("release %s: %v", version, err)
		}
		l.releases[version] = true
	}
	return l.path("out", version)
}

// publish makes sure that a channel has what the lab publishes to it; other channels
// are the matter of their tests.
func (l *lab) publish(t *testing.T, channel string) {
	t.Helper()
	for _, r := range releases {
		if r.channel == channel {
			l.release(t, r.version)
		}
	}
}

func (l *lab) buildRelease(ctx context.Context, r release) error {
	recipe, err := os.ReadFile(filepath.Join("..", "images", "appliance", "recipe.yaml"))
	if err != nil {
		return err
	}
	overlay := "overlay-" + r.version
	for name, text := range r.files {
		path := l.path(overlay, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
			return err
		}
	}
	if r.noise > 0 {
		content := make([]byte, r.noise)
		rand.NewChaCha8([32]byte([]byte(fmt.Sprintf("%-32s", r.version)))).Read(content)
		if err := os.MkdirAll(l.path(overlay), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(l.path(overlay, "noise"), content, 0o644); err != nil {
			return err
		}
	}
	text := strings.NewReplacer(
		"root: root.json", "root: repo/metadata/root.json",
		"commandLine: [", "commandLine: ["+strings.Join(append(r.words, ""), ", "),
	).Replace(string(recipe))
	if len(r.files)+r.noise > 0 {
		const last = "  - tar: appliance.tar\n"
		text = strings.Replace(text, last, last+"  - dir: "+overlay+"\n", 1)
	}
	file := "recipe-" + r.version + ".yaml"
	if err := os.WriteFile(l.path(file), []byte(text+r.recipe), 0o644); err != nil {
		return err
	}
	if err := l.proaRun(ctx, "build", file, "-o", "out/"+r.version, "--version", r.version); err != nil {
		return err
	}
	folder := "out/" + r.version
	if r.signed != "" {
		if err := l.sign(ctx, r); err != nil {
			return err
		}
		folder = "signed/" + r.version
	}
	args := []string{"repo", "publish", folder, "--repo", "repo", "--keys", "keys", "--channel", r.channel}
	if r.delta {
		args = append(args, "--deltas", "1")
	}
	return l.proaRun(ctx, args...)
}
