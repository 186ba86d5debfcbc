package signing

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/proa-os/proa/manifests"
	tuf "github.com/theupdateframework/go-tuf/v2/metadata"
)

// metadataMost bounds any metadata file before it is parsed, in bytes.
const metadataMost = 8 << 20

// checkMetadata refuses what go-tuf would read leniently or not survive:
// duplicate keys, nulls, trailing bytes, and versions under 1.
func checkMetadata(role Role, data []byte) error {
	if err := manifests.CheckJSON(data, metadataMost); err != nil {
		return fmt.Errorf("%s metadata: %w: %w", role, ErrMalformed, err)
	}
	version, err := versionOf(data)
	if err == nil && version < 1 {
		err = fmt.Errorf("version %d: want 1 or more", version)
	}
	if err != nil {
		return fmt.Errorf("%s metadata: %w: %w", role, ErrMalformed, err)
	}
	return nil
}

func versionOf(data []byte) (int64, error) {
	var head struct {
		Signed struct {
			Version int64  `json:"version"`
			Spec    string `json:"spec_version"`
		} `json:"signed"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return 0, err
	}
	if !strings.HasPrefix(head.Signed.Spec, "1.") {
		return 0, fmt.Errorf("spec_version %.20q: want 1.x", head.Signed.Spec)
	}
	return head.Signed.Version, nil
}

// CheckTrustRoot reports why data is not a root that a host could start to
// trust from: malformed, or not signed by its own keys. One that has expired
// passes, since a host fetches newer ones.
func CheckTrustRoot(data []byte) error {
	_, err := newVerifier(data, time.Now())
	return err
}

// checkRoot demands what proa's roots have and go-tuf does not insist on:
// consistent snapshots, ed25519 or P-256 keys under their own ids, each once, and
// thresholds that can be met.
func checkRoot(data []byte) (*tuf.Metadata[tuf.RootType], error) {
	if err := checkMetadata(RoleRoot, data); err != nil {
		return nil, err
	}
	root, err := tuf.Root().FromBytes(data)
	if err == nil {
		err = checkRootContent(&root.Signed)
	}
	if err != nil {
		return nil, fmt.Errorf("root metadata: %w: %w", ErrMalformed, err)
	}
	return root, nil
}

func checkRootContent(root *tuf.RootType) error {
	if !root.ConsistentSnapshot {
		return fmt.Errorf("no consistent_snapshot")
	}
	known, err := checkKeys(root.Keys)
	if err != nil {
		return err
	}
	for _, name := range Roles() {
		role := root.Roles[string(name)]
		if role == nil {
			return fmt.Errorf("no role %s", name)
		}
		if err := checkSigners(string(name), role.KeyIDs, role.Threshold, known); err != nil {
			return err
		}
	}
	return nil
}

// checkKeys is checkKey for each, and gives their bytes by id: there are several ways
// to write one key.
func checkKeys(keys map[string]*tuf.Key) (map[string]string, error) {
	known := map[string]string{}
	for id, key := range keys {
		var err error
		if known[id], err = checkKey(id, key); err != nil {
			return nil, fmt.Errorf("key %.12s%w", id, err)
		}
	}
	return known, nil
}

// checkSigners demands that a role has known keys, each once, and a threshold that
// they can meet.
func checkSigners(role string, ids []string, threshold int, known map[string]string) error {
	distinct := map[string]bool{}
	for _, id := range ids {
		key, ok := known[id]
		if !ok {
			return fmt.Errorf("role %s names key %.12s, which is not there", role, id)
		}
		distinct[key] = true
	}
	if len(distinct) != len(ids) {
		return fmt.Errorf("role %s names a key twice", role)
	}
	if threshold < 1 || threshold > len(distinct) {
		return fmt.Errorf("role %s has threshold %d of %d keys", role, threshold, len(distinct))
	}
	return nil
}

// checkKey demands a key of a kind that hosts verify with, under its own id, and
// returns the bytes of the key itself.
func checkKey(id string, key *tuf.Key) (string, error) {
	switch {
	case key.Type == tuf.KeyTypeEd25519 && key.Scheme == tuf.KeySchemeEd25519:
		if raw, err := hex.DecodeString(key.Value.PublicKey); err != nil || len(raw) != ed25519.PublicKeySize {
			return "", errors.New(": want 64 hex digits")
		}
	// Both are in use for the type (TUF specification, section 4.2).
	case (key.Type == "ecdsa" || key.Type == "ecdsa-sha2-nistp256") && key.Scheme == tuf.KeySchemeECDSA_SHA2_P256:
	default:
		return "", fmt.Errorf(" of type %.40q, scheme %.40q: want ed25519, or ecdsa with ecdsa-sha2-nistp256", key.Type, key.Scheme)
	}
	public, err := key.ToPublicKey()
	if err != nil {
		return "", fmt.Errorf(": %w", err)
	}
	if ec, ok := public.(*ecdsa.PublicKey); ok && ec.Curve != elliptic.P256() {
		return "", fmt.Errorf(" is on curve %s: want P-256", ec.Params().Name)
	}
	if computed, err := key.ID(); err != nil || computed != id {
		return "", fmt.Errorf(": its id would be %.12s", computed)
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	return string(der), err
}

// checkTimestamp is checkMetadata, and demands that the timestamp names a
// snapshot: go-tuf does not survive one that names none.
func checkTimestamp(data []byte) error {
	if err := checkMetadata(RoleTimestamp, data); err != nil {
		return err
	}
	timestamp, err := tuf.Timestamp().FromBytes(data)
	if err != nil {
		return describe(RoleTimestamp, err)
	}
	_, err = metaOf(RoleTimestamp, timestamp.Signed.Meta, RoleSnapshot)
	return err
}

// checkSnapshot is checkMetadata, and demands that the snapshot names targets.
func checkSnapshot(data []byte) error {
	if err := checkMetadata(RoleSnapshot, data); err != nil {
		return err
	}
	snapshot, err := tuf.Snapshot().FromBytes(data)
	if err != nil {
		return describe(RoleSnapshot, err)
	}
	_, err = metaOf(RoleSnapshot, snapshot.Signed.Meta, RoleTargets)
	return err
}

// metaOf is what metadata says of the metadata below it. Length and digest may be
// missing, as TUF has it; proa's repositories have both.
func metaOf(in Role, meta map[string]*tuf.MetaFiles, of Role) (*tuf.MetaFiles, error) {
	m := meta[string(of)+".json"]
	if m == nil || m.Length < 0 || m.Version < 1 {
		return nil, fmt.Errorf("%s metadata: no version of %s.json: %w", in, of, ErrMalformed)
	}
	return m, nil
}
