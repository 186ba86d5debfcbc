package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/proa-os/proa/bench/workbench"
)

// ostree publishes trees: what it makes has no hash tree, no file system.
func (t *trial) ostree(ctx context.Context) ([]figure, error) {
	_, commits, err := t.bench.Output(ctx, `set -e
ostree init --repo=served --mode=archive
ostree commit --repo=served --fsync=false --branch=old --tree=dir=old.tree
cp -al served before
ostree commit --repo=served --fsync=false --branch=new --tree=dir=new.tree`)
	if err != nil {
		return nil, err
	}
	names := strings.Fields(commits)
	if len(names) != 2 {
		return nil, fmt.Errorf("ostree commit printed %q: want two commits", commits)
	}
	old, fresh := names[0], names[1]
	delta := figure{Method: ostreeDelta}
	delta.Making, err = t.bench.Command(ctx, "ostree static-delta generate --repo=served --from="+old+" --to="+fresh)
	if err != nil {
		return nil, err
	}
	if delta.Bytes, err = t.missing("served/deltas", "before/deltas"); err != nil {
		return nil, err
	}
	_, described, err := t.bench.Output(ctx, "ostree static-delta show --repo=served "+old+"-"+fresh)
	if err != nil {
		return nil, err
	}
	fallback, err := fallbacks(described)
	if err != nil {
		return nil, err
	}
	delta.Bytes += fallback
	objects := figure{Method: ostreeObjects}
	if objects.Bytes, err = t.missing("served/objects", "before/objects"); err != nil {
		return nil, err
	}
	delta.Applying, err = t.applyOSTree(ctx, old, fresh, fallback > 0)
	return []figure{delta, objects}, err
}

// fallbacks is the bytes of the objects that a delta leaves to be fetched by
// themselves, from what ostree says of the delta.
func fallbacks(described string) (int64, error) {
	const line = "Total Fallback Size: "
	for text := range strings.Lines(described) {
		rest, found := strings.CutPrefix(text, line)
		if !found {
			continue
		}
		var bytes int64
		_, err := fmt.Sscanf(rest, "%d", &bytes)
		return bytes, err
	}
	return 0, fmt.Errorf("ostree static-delta show does not say %q:\n%s", line, described)
}

// applyOSTree measures what a host does: it has the old commit, and ends with the
// new one checked out beside it, by hard links.
func (t *trial) applyOSTree(ctx context.Context, old, fresh string, incomplete bool) (workbench.Sample, error) {
	// The names of deltas are those of ostree, in base64 that is cut in two.
	paths, err := filepath.Glob(t.bench.Path("served", "deltas", "*", "*", "superblock"))
	if err != nil {
		return workbench.Sample{}, err
	}
	if len(paths) != 1 {
		return workbench.Sample{}, fmt.Errorf("%d deltas: want one", len(paths))
	}
	pulling := "ostree static-delta apply-offline --repo=host.ostree " + filepath.Dir(paths[0])
	if incomplete {
		pulling = "ostree pull-local --repo=host.ostree served " + fresh
	}
	return t.repeat(ctx, `set -e
rm -rf host.ostree applied.tree
ostree init --repo=host.ostree --mode=bare-user
ostree pull-local --disable-fsync --repo=host.ostree served `+old+`
sync -f host.ostree`,
		pulling+" && ostree checkout --repo=host.ostree -U -H "+fresh+" applied.tree && sync -f applied.tree", "true")
}
