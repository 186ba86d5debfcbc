package repository

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/proa-os/proa/signing"
)

// RootConfig is what PublishRoot needs.
type RootConfig struct {
	Config
	Copies [][]byte // files of one root that has been signed, each copy by some of the keys; at least one
}

// PublishedRoot is what PublishRoot did.
type PublishedRoot struct {
	Refreshed
	Root    signing.RootSummary `json:"root"`
	Changed bool                `json:"changed"` // false when it was the repository's root before
}

// PublishRoot puts the next root into the repository. As many keys of the root
// before, and of the new one, must have signed it as they demand; otherwise the
// error is signing.ErrSignature. The roles that it gives other keys are signed
// anew, and so is what is about to expire. Where the former keys are at hand too,
// hosts accept every moment in between; where they are not, a cut can leave a
// repository that hosts refuse, until the same command is run again.
func PublishRoot(ctx context.Context, cfg RootConfig) (PublishedRoot, error) {
	if err := checkRepository(cfg.Dir); err != nil {
		return PublishedRoot{}, err
	}
	metadata := os.DirFS(filepath.Join(cfg.Dir, metadataFolder))
	newest, err := signing.NewestRoot(metadata)
	if err != nil {
		return PublishedRoot{}, err
	}
	next, again, err := mergeRoot(newest, cfg.Copies)
	if err != nil {
		return PublishedRoot{}, err
	}
	r, unlock, err := open(cfg.Config)
	if errors.Is(err, signing.ErrSignature) && !again && signing.CheckFolder(metadata, next) == nil {
		if err := writeRoot(cfg.Config, next); err != nil {
			return PublishedRoot{}, err
		}
		again = true
		r, unlock, err = open(cfg.Config)
	}
	if err != nil {
		return PublishedRoot{}, err
	}
	defer unlock()
	result := PublishedRoot{Changed: !again}
	if result.Root, err = next.Summary(); err != nil {
		return PublishedRoot{}, err
	}
	if !again {
		if err := r.meta.SetRoot(next); err != nil {
			return PublishedRoot{}, err
		}
	}
	before := r.state()
	_, result.Due = r.renew(signing.RoleTargets, signing.RoleSnapshot)
	if err := r.commit(ctx, nil); err != nil {
		return PublishedRoot{}, err
	}
	result.Metadata, result.Renewed = r.state(), []signing.Role{}
	for i, m := range result.Metadata {
		if m.Role != signing.RoleRoot && m.Version != before[i].Version {
			result.Renewed = append(result.Renewed, m.Role)
		}
	}
	return result, nil
}

// mergeRoot makes one root of its signed copies. Newest is the repository's
// root; again is true if the copies are of that one.
func mergeRoot(newest []byte, copies [][]byte) (merged *signing.RootDraft, again bool, err error) {
	published, err := signing.ReadRootDraft(newest, nil)
	if err != nil {
		return nil, false, err
	}
	for _, content := range copies {
		draft, err := signing.ReadRootDraft(content, nil)
		if err != nil {
			return nil, false, err
		}
		if draft.Same(published) {
			return published, true, nil
		}
	}
	merged, err = MergeCopies(newest, copies)
	return merged, false, err
}

// MergeCopies makes one root, with every signature that it needs, of its signed
// copies. Before is the root that it follows, nil for a first one.
func MergeCopies(before []byte, copies [][]byte) (*signing.RootDraft, error) {
	var merged *signing.RootDraft
	for _, content := range copies {
		draft, err := signing.ReadRootDraft(content, before)
		if err != nil {
			return nil, err
		}
		if merged == nil {
			merged = draft
		} else if err := merged.Merge(draft); err != nil {
			return nil, err
		}
	}
	if merged == nil {
		return nil, errors.New("no root is given")
	}
	return merged, merged.CheckComplete()
}

// writeRoot completes a change of root that was cut behind its timestamp.
func writeRoot(cfg Config, next *signing.RootDraft) error {
	unlock, err := lock(cfg.Dir)
	if err != nil {
		return err
	}
	defer unlock()
	content, err := next.Bytes()
	if err != nil {
		return err
	}
	r := &repository{Config: cfg}
	return r.write(fmt.Sprintf("%s/%d.root.json", metadataFolder, next.Version()), content)
}
