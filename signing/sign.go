package signing

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/proa-os/proa/manifests"
	"github.com/secure-systems-lab/go-securesystemslib/cjson"
	tuf "github.com/theupdateframework/go-tuf/v2/metadata"
)

// CanSign reports whether keys can sign for role as it stands: nil, or an
// ErrKeyMissing that says what lacks.
func (m *Metadata) CanSign(role Role, keys Keys) error {
	r := m.root.Signed.Roles[string(role)]
	_, err := keys.signers(role, r.KeyIDs, r.Threshold)
	return err
}

// Sign signs what changed, and always the timestamp, with new versions and
// expiries counted from now. The files are in the order in which they must be
// written: timestamp.json, the last, makes hosts see the others. They have been
// verified with the client's code. Keys for the older root, if the root's keys
// change, are looked for in keys and then in older. After an error m is of no
// more use.
func (m *Metadata) Sign(now time.Time, life Lifetimes, keys Keys, older ...Keys) ([]File, error) {
	if m.changed[RoleTargets] {
		m.changed[RoleSnapshot] = true
	}
	m.changed[RoleTimestamp] = true
	now = now.UTC().Truncate(time.Second)

	var files []File
	for _, step := range []struct {
		role Role
		sign func() ([]byte, error)
	}{
		{RoleRoot, func() ([]byte, error) { return m.signRoot(keys, older) }},
		{RoleTargets, func() ([]byte, error) { return sign(m, m.targets, &m.targets.Signed, RoleTargets, keys) }},
		{RoleSnapshot, func() ([]byte, error) { return sign(m, m.snapshot, &m.snapshot.Signed, RoleSnapshot, keys) }},
		{RoleTimestamp, func() ([]byte, error) { return sign(m, m.timestamp, &m.timestamp.Signed, RoleTimestamp, keys) }},
	} {
		if !m.changed[step.role] {
			continue
		}
		lifetime, err := life.of(step.role)
		if err != nil {
			return nil, err
		}
		version, expires := m.head(step.role)
		*version, *expires = *version+1, now.Add(lifetime)
		content, err := step.sign()
		if err != nil {
			return nil, fmt.Errorf("signing %s: %w", step.role, err)
		}
		files = append(files, File{fileName(step.role, *version), content})
		m.note(step.role, *version, content)
	}
	published, err := m.verify(now, files)
	if err != nil {
		return nil, fmt.Errorf("verifying what was signed: %w", err)
	}
	next, err := metadataOf(published)
	if err != nil {
		return nil, err
	}
	*m = *next
	return files, nil
}

// note tells the role above about the content below it.
func (m *Metadata) note(role Role, version int64, content []byte) {
	digest := manifests.DigestOf(content)
	info := &tuf.MetaFiles{Version: version, Length: int64(len(content)), Hashes: tuf.Hashes{"sha256": digest[:]}}
	switch role {
	case RoleTargets:
		m.snapshot.Signed.Meta["targets.json"] = info
	case RoleSnapshot:
		m.timestamp.Signed.Meta["snapshot.json"] = info
	}
}

func (m *Metadata) signRoot(keys Keys, older []Keys) ([]byte, error) {
	role := m.root.Signed.Roles[tuf.ROOT]
	signers, err := keys.signers(RoleRoot, role.KeyIDs, role.Threshold)
	if err != nil {
		return nil, err
	}
	if m.published != nil {
		was := m.published.set.Root.Signed.Roles[tuf.ROOT]
		var former []PrivateKey
		for _, k := range append([]Keys{keys}, older...) {
			if found, err := k.signers(RoleRoot, was.KeyIDs, was.Threshold); err == nil {
				former = found
				break
			}
		}
		if former == nil {
			return nil, fmt.Errorf("the keys of root %d must sign too: %w", m.root.Signed.Version-1, ErrKeyMissing)
		}
		for _, key := range former {
			if !slices.ContainsFunc(signers, func(s PrivateKey) bool { return s.public.id == key.public.id }) {
				signers = append(signers, key)
			}
		}
	}
	return signWith(m.root, &m.root.Signed, signers)
}

func sign[T tuf.Roles](m *Metadata, envelope *tuf.Metadata[T], signed *T, role Role, keys Keys) ([]byte, error) {
	r := m.root.Signed.Roles[string(role)]
	signers, err := keys.signers(role, r.KeyIDs, r.Threshold)
	if err != nil {
		return nil, err
	}
	return signWith(envelope, signed, signers)
}

func signWith[T tuf.Roles](envelope *tuf.Metadata[T], signed *T, signers []PrivateKey) ([]byte, error) {
	payload, err := cjson.EncodeCanonical(*signed)
	if err != nil {
		return nil, err
	}
	envelope.ClearSignatures()
	for _, key := range signers {
		envelope.Signatures = append(envelope.Signatures, tuf.Signature{
			KeyID:     key.public.id,
			Signature: ed25519.Sign(key.key, payload),
		})
	}
	return envelope.ToBytes(false)
}

// verify takes files as a host does that trusted what was published before.
func (m *Metadata) verify(now time.Time, files []File) (*verifier, error) {
	content := map[string][]byte{}
	for _, f := range files {
		content[f.Name] = f.Content
	}
	pick := func(role Role, version int64) []byte {
		if data, ok := content[fileName(role, version)]; ok || m.published == nil {
			return data
		}
		return m.published.raw[role]
	}
	root := content[fileName(RoleRoot, 1)]
	if m.published != nil {
		root = m.published.raw[RoleRoot]
	}
	v, err := newVerifier(root, now)
	if err != nil {
		return nil, err
	}
	if next, ok := content[fileName(RoleRoot, v.rootVersion()+1)]; ok {
		if err := v.root(next); err != nil {
			return nil, err
		}
	}
	if m.published != nil {
		v.timestamp(m.published.raw[RoleTimestamp])
	}
	same, err := v.timestamp(content["timestamp.json"])
	if err != nil {
		return nil, err
	}
	if same {
		return nil, errors.New("the new timestamp is the old one")
	}
	if m.published != nil {
		v.olderSnapshot(m.published.raw[RoleSnapshot])
	}
	if err := v.snapshot(pick(RoleSnapshot, v.set.Timestamp.Signed.Meta["snapshot.json"].Version)); err != nil {
		return nil, err
	}
	return v, v.targets(pick(RoleTargets, v.set.Snapshot.Signed.Meta["targets.json"].Version))
}
