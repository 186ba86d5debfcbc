package signing

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	tuf "github.com/theupdateframework/go-tuf/v2/metadata"
)

// OpenMetadata reads and verifies the metadata folder of a repository.
// Expired metadata can be opened: signing it anew is how it is mended.
func OpenMetadata(folder fs.FS) (*Metadata, error) {
	v, err := verifyFolder(folder, nil)
	if err != nil {
		return nil, err
	}
	return metadataOf(v)
}

// CheckFolder reports whether the metadata folder of a repository is one that
// hosts accept once they have the given root, which follows the newest there.
func CheckFolder(folder fs.FS, next *RootDraft) error {
	root, err := next.Bytes()
	if err == nil {
		_, err = verifyFolder(folder, root)
	}
	return err
}

// verifyFolder takes a folder's metadata under its newest root, or under the
// next one.
func verifyFolder(folder fs.FS, next []byte) (*verifier, error) {
	root, err := NewestRoot(folder)
	if err != nil {
		return nil, err
	}
	v, err := newVerifier(root, time.Time{})
	if err == nil && next != nil {
		err = v.root(next)
	}
	if err != nil {
		return nil, err
	}
	data, err := fs.ReadFile(folder, "timestamp.json")
	if err != nil {
		return nil, err
	}
	if _, err := v.timestamp(data); err != nil {
		return nil, err
	}
	snapshot, err := v.wantSnapshot()
	if err != nil {
		return nil, err
	}
	if data, err = fs.ReadFile(folder, fileName(RoleSnapshot, snapshot.Version)); err != nil {
		return nil, err
	}
	if err := v.snapshot(data); err != nil {
		return nil, err
	}
	targets, err := v.wantTargets()
	if err != nil {
		return nil, err
	}
	if data, err = fs.ReadFile(folder, fileName(RoleTargets, targets.Version)); err != nil {
		return nil, err
	}
	if err := v.targets(data); err != nil {
		return nil, err
	}
	return v, v.allBins(func(role Role, want *tuf.MetaFiles) ([]byte, error) {
		return fs.ReadFile(folder, fileName(role, want.Version))
	})
}

// metadataOf is what v has verified, in copies that may be changed.
func metadataOf(v *verifier) (*Metadata, error) {
	m := &Metadata{published: v, changed: map[Role]bool{}}
	errs := make([]error, 4)
	m.root, errs[0] = tuf.Root().FromBytes(v.raw[RoleRoot])
	m.timestamp, errs[1] = tuf.Timestamp().FromBytes(v.raw[RoleTimestamp])
	m.snapshot, errs[2] = tuf.Snapshot().FromBytes(v.raw[RoleSnapshot])
	m.targets, errs[3] = tuf.Targets().FromBytes(v.raw[RoleTargets])
	if bins := v.bins(); bins != nil {
		m.bins = map[Role]*tuf.Metadata[tuf.TargetsType]{}
		for role := range allBins(bins) {
			bin, err := tuf.Targets().FromBytes(v.raw[role])
			m.bins[role], errs = bin, append(errs, err)
		}
	}
	return m, errors.Join(errs...)
}

// NewestRoot reads the newest root in the metadata folder of a repository.
func NewestRoot(folder fs.FS) ([]byte, error) {
	names, err := fs.Glob(folder, "*.root.json")
	if err != nil {
		return nil, err
	}
	newest := 0
	for _, name := range names {
		if n, err := strconv.Atoi(strings.TrimSuffix(name, ".root.json")); err == nil {
			newest = max(newest, n)
		}
	}
	if newest == 0 {
		return nil, fmt.Errorf("no root metadata: %w", fs.ErrNotExist)
	}
	return fs.ReadFile(folder, fileName(RoleRoot, int64(newest)))
}

func fileName(role Role, version int64) string {
	if role == RoleTimestamp {
		return "timestamp.json"
	}
	return fmt.Sprintf("%d.%s.json", version, role)
}
