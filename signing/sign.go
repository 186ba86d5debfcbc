package signing

import (
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
// written. timestamp.json makes hosts see those before it; a root that follows
// another comes behind it, and is seen by itself. They have been verified with
// the client's code. What is signed under a root that SetRoot took is signed by
// the keys of the old one as well, if they are at hand: hosts accept it before
// they have the new root, and after. After an error m is of no more use.
func (m *Metadata) Sign(now time.Time, life Lifetimes, keys Keys) ([]File, error) {
	m.useBins()
	isChanged := func(role Role) bool { return m.changed[role] }
	if slices.ContainsFunc(m.listers(), isChanged) {
		m.Renew(RoleTargets, now) // hosts would refuse what has expired beside it
		m.delegate()
		m.changed[RoleSnapshot] = true
	}
	m.changed[RoleTimestamp] = true
	now = now.UTC().Truncate(time.Second)
	keys = keys.unlockedOnce()

	var files, roots []File
	for _, step := range m.signingSteps(keys) {
		if !m.changed[step.role] {
			continue
		}
		lifetime, err := life.of(step.keys)
		if err != nil {
			return nil, err
		}
		version, expires := m.head(step.role)
		if step.role != RoleRoot || m.nextRoot == nil {
			*version, *expires = *version+1, now.Add(lifetime)
		}
		content, err := step.sign()
		if err != nil {
			return nil, fmt.Errorf("signing %s: %w", step.role, err)
		}
		file := File{fileName(step.role, *version), content}
		if step.role == RoleRoot {
			roots = append(roots, file)
			continue
		}
		files = append(files, file)
		m.note(step.role, *version, content)
	}
	if m.published == nil {
		files = append(roots, files...)
	} else {
		files = append(files, roots...)
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

// signingStep signs one file.
type signingStep struct {
	role Role // of the file
	keys Role // whose keys and lifetime it has
	sign func() ([]byte, error)
}

// signingSteps are those of all files, each before the one that speaks of it.
func (m *Metadata) signingSteps(keys Keys) []signingStep {
	steps := []signingStep{{RoleRoot, RoleRoot, func() ([]byte, error) { return m.signRoot(keys) }}}
	for _, role := range m.listers() {
		steps = append(steps, signingStep{role, RoleTargets, func() ([]byte, error) {
			listing := m.listing(role)
			return sign(m, listing, &listing.Signed, RoleTargets, keys)
		}})
	}
	return append(steps,
		signingStep{RoleSnapshot, RoleSnapshot, func() ([]byte, error) { return sign(m, m.snapshot, &m.snapshot.Signed, RoleSnapshot, keys) }},
		signingStep{RoleTimestamp, RoleTimestamp, func() ([]byte, error) { return sign(m, m.timestamp, &m.timestamp.Signed, RoleTimestamp, keys) }})
}

// note tells the role above about the content below it.
func (m *Metadata) note(role Role, version int64, content []byte) {
	digest := manifests.DigestOf(content)
	info := &tuf.MetaFiles{Version: version, Length: int64(len(content)), Hashes: tuf.Hashes{"sha256": digest[:]}}
	switch role {
	case RoleSnapshot:
		m.timestamp.Signed.Meta["snapshot.json"] = info
	case RoleTimestamp:
	default:
		m.snapshot.Signed.Meta[string(role)+".json"] = info
	}
}

func (m *Metadata) signRoot(keys Keys) ([]byte, error) {
	if m.nextRoot != nil {
		return m.nextRoot, nil
	}
	return sign(m, m.root, &m.root.Signed, RoleRoot, keys)
}

func sign[T tuf.Roles](m *Metadata, envelope *tuf.Metadata[T], signed *T, role Role, keys Keys) ([]byte, error) {
	r := m.root.Signed.Roles[string(role)]
	signers, err := keys.signers(role, r.KeyIDs, r.Threshold)
	if err != nil {
		return nil, err
	}
	if m.published != nil && m.changed[RoleRoot] {
		was := m.published.set.Root.Signed.Roles[string(role)]
		if former, err := keys.signers(role, was.KeyIDs, was.Threshold); err == nil {
			signers = withoutRepeats(signers, former)
		}
	}
	payload, err := cjson.EncodeCanonical(*signed)
	if err != nil {
		return nil, err
	}
	envelope.ClearSignatures()
	for _, key := range signers {
		signature, err := key.sign(payload)
		if err != nil {
			return nil, fmt.Errorf("key %.12s: %w", key.public.id, err)
		}
		envelope.Signatures = append(envelope.Signatures, tuf.Signature{KeyID: key.public.id, Signature: signature})
	}
	return envelope.ToBytes(false)
}

// withoutRepeats is the keys of both, each once.
func withoutRepeats(keys, more []PrivateKey) []PrivateKey {
	for _, key := range more {
		if !slices.ContainsFunc(keys, func(k PrivateKey) bool { return k.public.id == key.public.id }) {
			keys = append(keys, key)
		}
	}
	return keys
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
	if err := v.targets(pick(RoleTargets, v.set.Snapshot.Signed.Meta["targets.json"].Version)); err != nil {
		return nil, err
	}
	return v, v.allBins(func(role Role, want *tuf.MetaFiles) ([]byte, error) { return pick(role, want.Version), nil })
}
