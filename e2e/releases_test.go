package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// script is an executable file of a release, by its path.
type script map[string]string

// release is one release of the lab. Every one after the first is published on
// a channel of its own, so that each test chooses its update by the channel.
type release struct {
	version string
	channel string
	files   script
	words   []string // more of the kernel's command line
	recipe  string   // more of the recipe
}

const base = "1.0.0"

var releases = []release{
	{version: base},
	{version: "1.1.0", channel: "good", files: script{
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
	{version: "1.4.0", channel: "hang", words: []string{"proa.watchdog=20"}, files: script{
		"usr/sbin/init": "while true; do sleep 1000; done", // and nobody feeds the watchdog
	}},
}

// buildReleases builds all releases and publishes all but the first.
func (l *lab) buildReleases(ctx context.Context) error {
	for _, r := range releases {
		if err := l.buildRelease(ctx, r); err != nil {
			return fmt.Errorf("release %s: %w", r.version, err)
		}
	}
	return nil
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
	text := strings.NewReplacer(
		"root: root.json", "root: repo/metadata/root.json",
		"commandLine: [", "commandLine: ["+strings.Join(append(r.words, ""), ", "),
	).Replace(string(recipe))
	if len(r.files) > 0 {
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
	if r.channel == "" {
		return nil
	}
	return l.proaRun(ctx, "repo", "publish", "out/"+r.version, "--repo", "repo", "--keys", "keys", "--channel", r.channel)
}

// published is how many bytes a host fetches at the most for a release.
func (l *lab) published(ctx context.Context, version string) (int64, error) {
	cmd := exec.CommandContext(ctx, l.path("bin", "proa"), "repo", "list", "--repo", l.path("repo"), "--json")
	out, err := cmd.Output()
	if err != nil {
		return 0, err
	}
	var list struct {
		Releases []struct {
			Version   string `json:"version"`
			FetchSize int64  `json:"fetchSize"`
		} `json:"releases"`
	}
	if err := json.Unmarshal(out, &list); err != nil {
		return 0, err
	}
	for _, r := range list.Releases {
		if r.Version == version {
			return r.FetchSize, nil
		}
	}
	return 0, fmt.Errorf("release %s is not in the repository", version)
}
