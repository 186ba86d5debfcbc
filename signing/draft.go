package signing

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/cjson"
	tuf "github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/proa-os/proa/manifests"
)

// RootDraft is a root in the making: a TUF root metadata file that gathers
// signatures, on several machines if need be. Nothing trusts it yet.
type RootDraft struct {
	root   *tuf.Metadata[tuf.RootType]
	before *tuf.Metadata[tuf.RootType] // the root that it follows; nil for a first one, and where that is not known
}

// RootChange says how a root differs from the one before it. A first root
// differs from one without keys, in which each threshold is 1.
type RootChange struct {
	Add       map[Role][]PublicKey
	Remove    map[Role][]string // key ids, or enough of their beginnings, at least 8 digits
	Threshold map[Role]int      // how many keys must sign for a role
	Expires   time.Time         // required
	// Replaces is for the first root of a repository that takes the place of one whose
	// root keys are lost: the digest of that one's last root (RootDraft.Digest). A host
	// whose image has such a root leaves what it trusted before. Optional.
	Replaces manifests.Digest
}

// shortestID is how many digits of a key id are enough to name it.
const shortestID = 8

// FirstRoot begins the root of a new repository.
func FirstRoot(change RootChange, now time.Time) (*RootDraft, error) {
	root := tuf.Root(now.UTC())
	root.Signed.Version = 0
	for _, role := range Roles() {
		root.Signed.Roles[string(role)] = &tuf.Role{KeyIDs: []string{}, Threshold: 1}
	}
	if !change.Replaces.IsZero() {
		root.Signed.UnrecognizedFields = map[string]any{replacesField: change.Replaces.String()}
	}
	return nextDraft(root, nil, change, now)
}

// NextRoot begins the root that follows the given one. A change of nothing but
// the expiry renews it.
func NextRoot(before []byte, change RootChange, now time.Time) (*RootDraft, error) {
	if !change.Replaces.IsZero() {
		return nil, errors.New("a root that follows another replaces none: want a first root")
	}
	followed, err := readRoot(before)
	if err != nil {
		return nil, err
	}
	root, err := tuf.Root().FromBytes(before)
	if err != nil {
		return nil, describe(RoleRoot, err)
	}
	return nextDraft(root, followed, change, now)
}

// readRoot reads a root that is signed as it demands itself.
func readRoot(data []byte) (*tuf.Metadata[tuf.RootType], error) {
	v, err := newVerifier(data, time.Time{})
	if err != nil {
		return nil, err
	}
	return v.set.Root, nil
}

func nextDraft(root, before *tuf.Metadata[tuf.RootType], change RootChange, now time.Time) (*RootDraft, error) {
	if !change.Expires.After(now) || change.Expires.Sub(now) > lifetimeMost {
		return nil, fmt.Errorf("expiry %s: want a time to come, within %d days", change.Expires.UTC().Format(time.RFC3339), int(lifetimeMost/day))
	}
	root.ClearSignatures()
	root.Signed.Version++
	root.Signed.Expires = change.Expires.UTC().Truncate(time.Second)
	for _, role := range Roles() {
		for _, id := range change.Remove[role] {
			if err := removeRootKey(&root.Signed, role, id); err != nil {
				return nil, err
			}
		}
		for _, key := range change.Add[role] {
			if err := addRootKey(&root.Signed, role, key); err != nil {
				return nil, err
			}
		}
		if threshold, given := change.Threshold[role]; given {
			root.Signed.Roles[string(role)].Threshold = threshold
		}
	}
	maps.DeleteFunc(root.Signed.Keys, func(id string, _ *tuf.Key) bool {
		for _, role := range root.Signed.Roles {
			if slices.Contains(role.KeyIDs, id) {
				return false
			}
		}
		return true
	})
	if err := checkRootContent(&root.Signed); err != nil {
		return nil, fmt.Errorf("root %d: %w", root.Signed.Version, err)
	}
	return &RootDraft{root, before}, nil
}

func addRootKey(root *tuf.RootType, role Role, key PublicKey) error {
	if slices.Contains(root.Roles[string(role)].KeyIDs, key.id) {
		return fmt.Errorf("role %s has the key %.12s already", role, key.id)
	}
	described, err := tuf.KeyFromPublicKey(key.key)
	if err != nil {
		return err
	}
	return root.AddKey(described, string(role))
}

func removeRootKey(root *tuf.RootType, role Role, id string) error {
	r := root.Roles[string(role)]
	var found []string
	for _, known := range r.KeyIDs {
		if strings.HasPrefix(known, id) && len(id) >= shortestID {
			found = append(found, known)
		}
	}
	if len(found) != 1 {
		return fmt.Errorf("role %s has %d keys whose id begins with %.80q, of %s: want one, named by %d digits or more",
			role, len(found), id, shortIDs(r.KeyIDs), shortestID)
	}
	r.KeyIDs = slices.DeleteFunc(r.KeyIDs, func(known string) bool { return known == found[0] })
	return nil
}

// ReadRootDraft reads what Bytes gave. Before is the root that it follows; nil
// for a first one, and where that is not at hand: its keys are not known then.
// Signatures that do not hold are dropped.
func ReadRootDraft(data, before []byte) (*RootDraft, error) {
	root, err := checkRoot(data)
	if err != nil {
		return nil, err
	}
	d := &RootDraft{root: root}
	if before != nil {
		if d.before, err = readRoot(before); err != nil {
			return nil, fmt.Errorf("the root before: %w", err)
		}
		if d.Version() != d.before.Signed.Version+1 {
			return nil, fmt.Errorf("root %d does not follow root %d: %w", d.Version(), d.before.Signed.Version, ErrMismatch)
		}
	}
	d.dropFalseSignatures()
	return d, nil
}

func (d *RootDraft) dropFalseSignatures() {
	given, signers := d.root.Signatures, d.signers()
	d.root.ClearSignatures()
	for _, signature := range given {
		id := signature.KeyID
		if signers[id] == nil {
			if d.before == nil && d.Version() > 1 {
				d.setSignature(signature) // of the root before, perhaps
			}
			continue
		}
		signed := &tuf.Metadata[tuf.RootType]{Signed: d.root.Signed, Signatures: []tuf.Signature{signature}}
		if onlyKey(RoleRoot, id, signers).VerifyDelegate(tuf.ROOT, signed) == nil { // of any kind that hosts know
			d.setSignature(signature)
		}
	}
}

// Version is the root's version, from 1.
func (d *RootDraft) Version() int64 { return d.root.Signed.Version }

// Bytes is the draft as a file. Once every signature is there, it is the root
// as hosts read it.
func (d *RootDraft) Bytes() ([]byte, error) { return d.root.ToBytes(true) }

// payload is what is signed.
func (d *RootDraft) payload() ([]byte, error) { return cjson.EncodeCanonical(d.root.Signed) }

// Digest is the SHA-256 of what is signed: the same however many signatures
// there are, so that those who sign can compare it.
func (d *RootDraft) Digest() (manifests.Digest, error) {
	payload, err := d.payload()
	return manifests.DigestOf(payload), err
}

// errNoRootKey: a key that has no say.
var errNoRootKey = errors.New("not a root key")

// Sign adds a signature, or makes it again. A key of neither root has nothing
// to sign.
func (d *RootDraft) Sign(key PrivateKey) error {
	if d.signers()[key.public.id] == nil {
		of := fmt.Sprintf("of root %d", d.Version())
		if d.before != nil {
			of += fmt.Sprintf(", nor of root %d", d.before.Signed.Version)
		}
		return fmt.Errorf("key %.12s: %w %s", key.public.id, errNoRootKey, of)
	}
	payload, err := d.payload()
	if err != nil {
		return err
	}
	signature, err := key.sign(payload)
	if err != nil {
		return fmt.Errorf("key %.12s: %w", key.public.id, err)
	}
	d.setSignature(tuf.Signature{KeyID: key.public.id, Signature: signature})
	return nil
}

// IsNoRootKey reports whether Sign refused a key because it has no say.
func IsNoRootKey(err error) bool { return errors.Is(err, errNoRootKey) }

// signers are the keys that may sign, as far as they are known, by their ids.
func (d *RootDraft) signers() map[string]*tuf.Key {
	known := map[string]*tuf.Key{}
	for _, root := range []*tuf.Metadata[tuf.RootType]{d.before, d.root} {
		if root != nil {
			for _, id := range root.Signed.Roles[tuf.ROOT].KeyIDs {
				known[id] = root.Signed.Keys[id]
			}
		}
	}
	return known
}

func (d *RootDraft) setSignature(signature tuf.Signature) {
	d.root.Signatures = slices.DeleteFunc(d.root.Signatures, func(s tuf.Signature) bool { return s.KeyID == signature.KeyID })
	d.root.Signatures = append(d.root.Signatures, signature)
}

// Same reports whether both have the same content, whoever has signed.
func (d *RootDraft) Same(other *RootDraft) bool {
	mine, err := d.Digest()
	theirs, otherErr := other.Digest()
	return err == nil && otherErr == nil && mine == theirs
}

// Merge takes the signatures of another copy of the same draft.
func (d *RootDraft) Merge(other *RootDraft) error {
	if !d.Same(other) {
		return fmt.Errorf("two roots %d and %d with other content: want copies of one: %w", d.Version(), other.Version(), ErrMismatch)
	}
	for _, signature := range other.root.Signatures {
		d.setSignature(signature)
	}
	return nil
}

// RootDemand is how many signatures a root demands of a draft, and what it has.
type RootDemand struct {
	Root      int64    `json:"root"` // version of the root whose keys these are
	Threshold int      `json:"threshold"`
	Keys      []string `json:"keys"`   // ids
	Signed    []string `json:"signed"` // ids of those that have signed
}

// Met reports whether there are enough signatures.
func (r RootDemand) Met() bool { return len(r.Signed) >= r.Threshold }

// Demands are those of the root before, if it is known, and of the draft itself.
func (d *RootDraft) Demands() []RootDemand {
	var demands []RootDemand
	for _, root := range []*tuf.Metadata[tuf.RootType]{d.before, d.root} {
		if root == nil {
			continue
		}
		role := root.Signed.Roles[tuf.ROOT]
		demand := RootDemand{root.Signed.Version, role.Threshold, role.KeyIDs, []string{}}
		for _, id := range role.KeyIDs {
			if slices.ContainsFunc(d.root.Signatures, func(s tuf.Signature) bool { return s.KeyID == id }) {
				demand.Signed = append(demand.Signed, id)
			}
		}
		demands = append(demands, demand)
	}
	return demands
}

// CheckComplete is nil once every demand is met.
func (d *RootDraft) CheckComplete() error {
	for _, demand := range d.Demands() {
		if !demand.Met() {
			return fmt.Errorf("root %d has %d of the %d signatures that the keys of root %d (%s) must give: %w",
				d.Version(), len(demand.Signed), demand.Threshold, demand.Root, shortIDs(demand.Keys), ErrSignature)
		}
	}
	return nil
}
