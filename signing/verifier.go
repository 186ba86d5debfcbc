package signing

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	tuf "github.com/theupdateframework/go-tuf/v2/metadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/trustedmetadata"
)

// verifier takes the four roles' metadata in TUF's order and keeps what has
// been verified. Owner and host share it, so what one signs the other accepts.
type verifier struct {
	set *trustedmetadata.TrustedMetadata
	raw map[Role][]byte // the verified bytes
}

// newVerifier starts from a root that is trusted already, and judges expiry at
// the given time.
func newVerifier(root []byte, at time.Time) (*verifier, error) {
	if _, err := checkRoot(root); err != nil {
		return nil, err
	}
	set, err := trustedmetadata.New(root)
	var unsigned *tuf.ErrUnsignedMetadata
	if errors.As(err, &unsigned) {
		return nil, fmt.Errorf("root metadata: %w: its own keys: %s", ErrSignature, whySelfUnsigned(root))
	}
	if err != nil {
		return nil, describe(RoleRoot, err)
	}
	set.RefTime = at
	return &verifier{set, map[Role][]byte{RoleRoot: root}}, nil
}

func (v *verifier) rootVersion() int64 { return v.set.Root.Signed.Version }

// root takes the next version of root: one higher, signed by the keys of both.
func (v *verifier) root(data []byte) error {
	if _, err := checkRoot(data); err != nil {
		return err
	}
	if _, err := v.set.UpdateRoot(data); err != nil {
		return v.describe(RoleRoot, data, err)
	}
	v.raw[RoleRoot] = data
	return nil
}

// timestamp takes a timestamp; after an older one, for protection against
// going back. Same is true when data is the timestamp already taken, in what is
// signed of it: the rest may be anybody's.
func (v *verifier) timestamp(data []byte) (same bool, err error) {
	if err := checkTimestamp(data); err != nil {
		return false, err
	}
	_, err = v.set.UpdateTimestamp(data)
	var equal *tuf.ErrEqualVersionNumber
	switch {
	case errors.As(err, &equal):
		if same, err = sameTimestamp(data, v.set.Timestamp); err != nil {
			return false, describe(RoleTimestamp, err)
		}
		if !same {
			return false, fmt.Errorf("timestamp %d with other content than before: %w", v.set.Timestamp.Signed.Version, ErrRollback)
		}
		return true, nil
	case err != nil && v.set.Timestamp != nil && errors.Is(describe(RoleTimestamp, err), ErrExpired):
		// Kept by go-tuf, for comparing the next one with.
		v.raw[RoleTimestamp] = data
	}
	if err != nil {
		return false, v.describe(RoleTimestamp, data, err)
	}
	v.raw[RoleTimestamp] = data
	return false, nil
}

// sameTimestamp reports whether what is signed of data is what is signed of
// taken. Compared is what go-tuf makes of both and checks signatures of: there are
// several ways to write one date, and one digest.
func sameTimestamp(data []byte, taken *tuf.Metadata[tuf.TimestampType]) (bool, error) {
	timestamp, err := tuf.Timestamp().FromBytes(data)
	if err != nil {
		return false, err
	}
	a, err := json.Marshal(timestamp.Signed)
	if err != nil {
		return false, err
	}
	b, err := json.Marshal(taken.Signed)
	return string(a) == string(b), err
}

// wantSnapshot is what the timestamp says of the current snapshot.
func (v *verifier) wantSnapshot() (*tuf.MetaFiles, error) {
	return metaOf(RoleTimestamp, v.set.Timestamp.Signed.Meta, RoleSnapshot)
}

// wantTargets is what the snapshot says of the current targets metadata.
func (v *verifier) wantTargets() (*tuf.MetaFiles, error) {
	return metaOf(RoleSnapshot, v.set.Snapshot.Signed.Meta, RoleTargets)
}

// olderSnapshot takes a snapshot that was trusted before, for protection
// against going back only. One that no longer verifies is passed over.
func (v *verifier) olderSnapshot(data []byte) {
	if checkSnapshot(data) == nil {
		v.set.UpdateSnapshot(data, true)
		if v.set.Snapshot != nil {
			v.raw[RoleSnapshot] = data
		}
	}
}

// snapshot takes the snapshot that the timestamp names.
func (v *verifier) snapshot(data []byte) error {
	want, err := v.wantSnapshot()
	if err != nil {
		return err
	}
	if err := want.VerifyLengthHashes(data); err != nil {
		return describe(RoleSnapshot, err)
	}
	if err := checkSnapshot(data); err != nil {
		return err
	}
	if version, _ := versionOf(data); version != want.Version {
		return fmt.Errorf("snapshot %d under a timestamp that names %d: %w", version, want.Version, ErrMismatch)
	}
	if old := v.set.Snapshot; old != nil && old.Signed.Version == want.Version && string(data) != string(v.raw[RoleSnapshot]) {
		return fmt.Errorf("snapshot %d with other content than before: %w", want.Version, ErrRollback)
	}
	older := v.set.Snapshot
	if _, err := v.set.UpdateSnapshot(data, false); err != nil {
		err = v.describe(RoleSnapshot, data, err)
		if signed := !errors.Is(err, ErrSignature); signed {
			if why := goesBack(older, data); why != "" {
				return fmt.Errorf("snapshot metadata: %w: %s", ErrRollback, why)
			}
		}
		return err
	}
	v.raw[RoleSnapshot] = data
	return nil
}

// goesBack says what a snapshot takes back of an older one, if there is one.
func goesBack(older *tuf.Metadata[tuf.SnapshotType], data []byte) string {
	newer, err := tuf.Snapshot().FromBytes(data)
	if err != nil || older == nil {
		return ""
	}
	for _, name := range slices.Sorted(maps.Keys(older.Signed.Meta)) {
		was, is := older.Signed.Meta[name], newer.Signed.Meta[name]
		switch {
		case is == nil:
			return fmt.Sprintf("it drops %.60s", name)
		case is.Version < was.Version:
			return fmt.Sprintf("it takes %.60s back from version %d to %d", name, was.Version, is.Version)
		}
	}
	return ""
}

// targets takes the targets metadata that the snapshot names.
func (v *verifier) targets(data []byte) error {
	want, err := v.wantTargets()
	if err != nil {
		return err
	}
	if err := checkNamed(RoleTargets, want, data); err != nil {
		return err
	}
	targets, err := v.set.UpdateTargets(data)
	if err != nil {
		return v.describe(RoleTargets, data, err)
	}
	if err := checkDelegations(&targets.Signed); err != nil {
		delete(v.set.Targets, tuf.TARGETS)
		return fmt.Errorf("%s metadata: %w: %w", RoleTargets, ErrMalformed, err)
	}
	v.raw[RoleTargets] = data
	return nil
}

// checkNamed is checkMetadata, and demands what the snapshot says of targets metadata.
func checkNamed(role Role, want *tuf.MetaFiles, data []byte) error {
	if err := want.VerifyLengthHashes(data); err != nil {
		return describe(role, err)
	}
	if err := checkMetadata(role, data); err != nil {
		return err
	}
	if version, _ := versionOf(data); version != want.Version {
		return fmt.Errorf("%s %d under a snapshot that names %d: %w", role, version, want.Version, ErrMismatch)
	}
	return nil
}

// describe turns an error of go-tuf into one of ours.
func describe(role Role, err error) error {
	var (
		expired  *tuf.ErrExpiredMetadata
		unsigned *tuf.ErrUnsignedMetadata
		mismatch *tuf.ErrLengthOrHashMismatch
		version  *tuf.ErrBadVersionNumber
	)
	kind := ErrMalformed
	switch {
	case errors.As(err, &expired):
		kind = ErrExpired
	case errors.As(err, &unsigned):
		kind = ErrSignature
	case errors.As(err, &mismatch):
		kind = ErrMismatch
	case errors.As(err, &version) && role == RoleRoot:
		kind = ErrMismatch // a version other than its file name says
	case errors.As(err, &version):
		kind = ErrRollback
	}
	return fmt.Errorf("%s metadata: %w (%v)", role, kind, err)
}
