package signing

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/proa-os/proa/manifests"
	tuf "github.com/theupdateframework/go-tuf/v2/metadata"
)

// Metadata is a repository's signed metadata in the hands of its owner, with
// changes that are not signed yet.
type Metadata struct {
	root      *tuf.Metadata[tuf.RootType]
	timestamp *tuf.Metadata[tuf.TimestampType]
	snapshot  *tuf.Metadata[tuf.SnapshotType]
	targets   *tuf.Metadata[tuf.TargetsType]

	published *verifier     // what is out there; nil before the first signing
	changed   map[Role]bool // what must be signed anew
	nextRoot  []byte        // a root that is signed already; nil if Sign makes it
}

// File is one file of the metadata folder.
type File struct {
	Name    string // such as "3.snapshot.json"
	Content []byte
}

// NewMetadata begins a repository with the given keys for each role, of which
// rootThreshold must sign each root; one must sign each of the others.
func NewMetadata(keys Keys, rootThreshold int) (*Metadata, error) {
	m := newMetadata()
	root := &m.root.Signed
	for _, role := range Roles() {
		public := keys.public[role]
		threshold := 1
		if role == RoleRoot {
			threshold = rootThreshold
		}
		if threshold < 1 || threshold > len(public) {
			return nil, fmt.Errorf("threshold %d for %s, which has %d keys: %w", threshold, role, len(public), ErrKeyMissing)
		}
		root.Roles[string(role)] = &tuf.Role{KeyIDs: []string{}, Threshold: threshold}
		for _, key := range public {
			if err := addRootKey(root, role, key); err != nil {
				return nil, err
			}
		}
		m.changed[role] = true
	}
	return m, nil
}

func newMetadata() *Metadata {
	never := time.Unix(0, 0).UTC() // Sign sets every expiry
	m := &Metadata{
		root:      tuf.Root(never),
		timestamp: tuf.Timestamp(never),
		snapshot:  tuf.Snapshot(never),
		targets:   tuf.Targets(never),
		changed:   map[Role]bool{},
	}
	// Sign counts up.
	m.root.Signed.Version, m.timestamp.Signed.Version = 0, 0
	m.snapshot.Signed.Version, m.targets.Signed.Version = 0, 0
	return m
}

// NewMetadataUnder begins a repository under a first root that is signed.
func NewMetadataUnder(first *RootDraft) (*Metadata, error) {
	if first.Version() != 1 {
		return nil, fmt.Errorf("root %d cannot begin a repository: want root 1", first.Version())
	}
	m := newMetadata()
	return m, m.SetRoot(first)
}

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
	return v, v.targets(data)
}

// metadataOf is what v has verified, in copies that may be changed.
func metadataOf(v *verifier) (*Metadata, error) {
	m := &Metadata{published: v, changed: map[Role]bool{}}
	var errs [4]error
	m.root, errs[0] = tuf.Root().FromBytes(v.raw[RoleRoot])
	m.timestamp, errs[1] = tuf.Timestamp().FromBytes(v.raw[RoleTimestamp])
	m.snapshot, errs[2] = tuf.Snapshot().FromBytes(v.raw[RoleSnapshot])
	m.targets, errs[3] = tuf.Targets().FromBytes(v.raw[RoleTargets])
	return m, errors.Join(errs[:]...)
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

// SetRoot takes the next root, or a first one, once it has every signature that
// it needs. The metadata of roles that it does not vouch for is signed anew at
// the next Sign.
func (m *Metadata) SetRoot(next *RootDraft) error {
	data, err := next.Bytes()
	if err != nil {
		return err
	}
	start := data
	if m.published != nil {
		start = m.published.raw[RoleRoot]
	}
	v, err := newVerifier(start, time.Time{})
	if err == nil && m.published != nil {
		err = v.root(data)
	}
	if err != nil {
		return err
	}
	if m.root, err = tuf.Root().FromBytes(data); err != nil {
		return describe(RoleRoot, err)
	}
	m.nextRoot, m.changed[RoleRoot] = data, true
	for role, metadata := range map[Role]any{RoleTargets: m.targets, RoleSnapshot: m.snapshot, RoleTimestamp: m.timestamp} {
		if m.root.VerifyDelegate(string(role), metadata) != nil {
			m.changed[role] = true
		}
	}
	return nil
}

// Targets lists the targets' names, sorted, with changes not signed yet.
func (m *Metadata) Targets() []string {
	return slices.Sorted(maps.Keys(m.targets.Signed.Targets))
}

// Target is the digest and size of a target.
func (m *Metadata) Target(name string) (digest manifests.Digest, size int64, ok bool) {
	info, ok := m.targets.Signed.Targets[name]
	if !ok || len(info.Hashes["sha256"]) != len(digest) {
		return manifests.Digest{}, 0, false
	}
	return manifests.Digest(info.Hashes["sha256"]), info.Length, true
}

// SetTarget adds a target or replaces its content.
func (m *Metadata) SetTarget(name string, content []byte) error {
	if err := checkTargetName(name); err != nil {
		return err
	}
	digest := manifests.DigestOf(content)
	if old, _, ok := m.Target(name); ok && old == digest {
		return nil
	}
	m.targets.Signed.Targets[name] = &tuf.TargetFiles{
		Path:   name,
		Length: int64(len(content)),
		Hashes: tuf.Hashes{"sha256": digest[:]},
	}
	m.changed[RoleTargets] = true
	return nil
}

// Changed reports whether there is anything to sign but a newer timestamp.
func (m *Metadata) Changed() bool { return len(m.changed) > 0 }

// Version is the version of role's metadata; Expires is its date.
func (m *Metadata) Version(role Role) int64 {
	version, _ := m.head(role)
	return *version
}

// Expires is the moment after which hosts refuse role's metadata.
func (m *Metadata) Expires(role Role) time.Time {
	_, expires := m.head(role)
	return *expires
}

func (m *Metadata) head(role Role) (version *int64, expires *time.Time) {
	switch role {
	case RoleRoot:
		return &m.root.Signed.Version, &m.root.Signed.Expires
	case RoleTimestamp:
		return &m.timestamp.Signed.Version, &m.timestamp.Signed.Expires
	case RoleSnapshot:
		return &m.snapshot.Signed.Version, &m.snapshot.Signed.Expires
	default:
		return &m.targets.Signed.Version, &m.targets.Signed.Expires
	}
}

// Renew makes the next Sign sign role anew even if nothing in it changed.
func (m *Metadata) Renew(role Role) { m.changed[role] = true }
