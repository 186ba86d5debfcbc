package signing

import (
	"fmt"
	"maps"
	"slices"
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
	bins      map[Role]*tuf.Metadata[tuf.TargetsType] // by name; none while there are few targets

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
	if m.trustsTooMuch() {
		m.changed[RoleTargets] = true // a key that was taken away must not speak for a bin
	}
	return nil
}

// Targets lists the targets' names, sorted, with changes not signed yet.
func (m *Metadata) Targets() []string {
	var names []string
	for _, role := range m.listers() {
		names = slices.AppendSeq(names, maps.Keys(m.listing(role).Signed.Targets))
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Target is the digest and size of a target.
func (m *Metadata) Target(name string) (digest manifests.Digest, size int64, ok bool) {
	info, ok := m.listing(m.lister(name)).Signed.Targets[name]
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
	role := m.lister(name)
	m.listing(role).Signed.Targets[name] = &tuf.TargetFiles{
		Path:   name,
		Length: int64(len(content)),
		Hashes: tuf.Hashes{"sha256": digest[:]},
	}
	m.changed[role] = true
	return nil
}

// Changed reports whether there is anything to sign but a newer timestamp.
func (m *Metadata) Changed() bool { return len(m.changed) > 0 }

// Version is the version of role's metadata.
func (m *Metadata) Version(role Role) int64 {
	version, _ := m.head(role)
	return *version
}

// Expires is the moment after which hosts refuse role's metadata, or the first part
// of it: bins are parts of the targets'.
func (m *Metadata) Expires(role Role) time.Time {
	_, first := m.head(role)
	for _, part := range m.parts(role) {
		if _, expires := m.head(part); expires.Before(*first) {
			first = expires
		}
	}
	return *first
}

// parts are the files of role's metadata, as roles.
func (m *Metadata) parts(role Role) []Role {
	if role == RoleTargets {
		return m.listers()
	}
	return []Role{role}
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
		listing := m.listing(role)
		return &listing.Signed.Version, &listing.Signed.Expires
	}
}

// Renew makes the next Sign sign anew what of role's metadata expires by then, even if
// nothing in it changed.
func (m *Metadata) Renew(role Role, by time.Time) {
	for _, part := range m.parts(role) {
		if _, expires := m.head(part); !expires.After(by) {
			m.changed[part] = true
		}
	}
}
