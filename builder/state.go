package builder

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/proa-os/proa/builder/tree"
	"github.com/proa-os/proa/manifests"
)

// describeState puts what the release expects of /etc and /var into the tree,
// which is complete but for that, and into the release.
func (b *build) describeState(ctx context.Context) error {
	state := manifests.State{Schema: 1, Migrations: []manifests.Migration{}, Etc: []manifests.EtcEntry{}}
	for i, m := range b.Recipe.Migrations {
		if n, ok := b.tree.Resolve(strings.TrimPrefix(m.Run, "/")); !ok || n.Kind != tree.File || n.Mode&0o111 == 0 {
			return fmt.Errorf("migrations[%d]: %s: want an executable file in the image", i, m.Run)
		}
		state.Migrations = append(state.Migrations, m)
	}
	err := b.tree.Walk(func(path string, n *tree.Node) error {
		if !strings.HasPrefix(path, "etc/") || !utf8.ValidString(path+n.Target) {
			return nil
		}
		entry, err := etcEntry(path, n)
		if err == nil && entry.Path != "" {
			state.Etc = append(state.Etc, entry)
		}
		return err
	})
	if err != nil {
		return err
	}
	slices.SortFunc(state.Etc, func(a, b manifests.EtcEntry) int { return strings.Compare(a.Path, b.Path) })
	text, err := json.Marshal(state)
	if err != nil {
		return err
	}
	if _, err := manifests.ParseState(text); err != nil {
		return err
	}
	if err := b.putFile(manifests.StatePath, text, 0o644); err != nil {
		return err
	}
	if format := state.VarFormat(); format > manifests.FirstVarFormat {
		// A machine that starts with this release has its /var from the image.
		if err := b.putFile(manifests.VarFormatPath, fmt.Appendf(nil, "{\"schema\":1,\"format\":%d}\n", format), 0o644); err != nil {
			return err
		}
	}
	if err := os.WriteFile(b.path(manifests.StateFile), text, 0o644); err != nil {
		return err
	}
	b.digest(ctx, manifests.StateFile)
	return nil
}

// etcEntry is the zero entry for what is neither file, folder nor link.
func etcEntry(path string, n *tree.Node) (manifests.EtcEntry, error) {
	e := manifests.EtcEntry{Path: path, Mode: fmt.Sprintf("%04o", n.Mode), UID: n.UID, GID: n.GID}
	switch n.Kind {
	case tree.Directory:
		e.Folder = true
	case tree.Symlink:
		e.Link = n.Target
	case tree.File:
		sum := sha256.New()
		if _, err := io.Copy(sum, n.Content.Open()); err != nil {
			return e, fmt.Errorf("reading %s: %w", path, err)
		}
		e.File = manifests.Digest(sum.Sum(nil))
	default:
		return manifests.EtcEntry{}, nil
	}
	return e, nil
}
