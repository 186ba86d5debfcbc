package signing

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	tuf "github.com/theupdateframework/go-tuf/v2/metadata"
)

// describe turns an error of go-tuf about data into one of ours. Of signatures it
// says more than go-tuf: which one is wrong, and how.
func (v *verifier) describe(role Role, data []byte, err error) error {
	var unsigned *tuf.ErrUnsignedMetadata
	if !errors.As(err, &unsigned) {
		return describe(role, err)
	}
	why := whyUnsigned(v.delegator(role), role, data)
	if role == RoleRoot {
		by := fmt.Sprintf("the keys of root %d", v.rootVersion())
		if why == "" {
			by, why = "its own keys", whySelfUnsigned(data)
		}
		why = by + ": " + why
	}
	return fmt.Errorf("%s metadata: %w: %s", role, ErrSignature, why)
}

// delegator is a root that vouches for role: for a bin one that says of it what the
// targets metadata does.
func (v *verifier) delegator(role Role) *tuf.Metadata[tuf.RootType] {
	if slices.Contains(Roles(), role) {
		return v.set.Root
	}
	root, bins := tuf.Root(), v.bins()
	root.Signed.Keys = v.set.Targets[tuf.TARGETS].Signed.Delegations.Keys
	root.Signed.Roles[string(role)] = &tuf.Role{KeyIDs: bins.KeyIDs, Threshold: bins.Threshold}
	return root
}

// whyUnsigned says what is wrong with the signatures that a root demands of role's
// metadata: the first that is of no use, or that there are too few. It is empty
// when nothing is wrong.
func whyUnsigned(root *tuf.Metadata[tuf.RootType], role Role, data []byte) string {
	var envelope struct {
		Signatures []struct {
			Key       string `json:"keyid"`
			Signature string `json:"sig"`
		} `json:"signatures"`
	}
	wanted := root.Signed.Roles[string(role)]
	if err := json.Unmarshal(data, &envelope); err != nil || wanted == nil {
		return "it cannot be read"
	}
	good := 0
	why := ""
	for _, s := range envelope.Signatures {
		wrong := ""
		switch {
		case !slices.Contains(wanted.KeyIDs, s.Key):
			wrong = fmt.Sprintf("key %.12q is not one of them", s.Key)
		case s.Signature == "":
			wrong = fmt.Sprintf("the signature of key %.12s is empty", s.Key)
		case !signedBy(root, role, s.Key, data):
			wrong = fmt.Sprintf("the signature of key %.12s does not match", s.Key)
		default:
			good++
		}
		if why == "" {
			why = wrong
		}
	}
	switch {
	case good >= wanted.Threshold:
		return ""
	case len(envelope.Signatures) == 0:
		return "it has no signature"
	case why == "":
		return fmt.Sprintf("%d of %d keys have signed", good, wanted.Threshold)
	}
	return fmt.Sprintf("%d of %d keys have signed; %s", good, wanted.Threshold, why)
}

// whySelfUnsigned is whyUnsigned of a root by its own keys.
func whySelfUnsigned(data []byte) string {
	root, err := tuf.Root().FromBytes(data)
	if err != nil {
		return "it cannot be read"
	}
	return whyUnsigned(root, RoleRoot, data)
}

// signedBy reports whether the one key has signed role's metadata.
func signedBy(root *tuf.Metadata[tuf.RootType], role Role, key string, data []byte) bool {
	alone := onlyKey(role, key, root.Signed.Keys)
	switch role {
	case RoleRoot:
		return verifies(alone, role, tuf.Root(), data)
	case RoleTimestamp:
		return verifies(alone, role, tuf.Timestamp(), data)
	case RoleSnapshot:
		return verifies(alone, role, tuf.Snapshot(), data)
	default:
		return verifies(alone, role, tuf.Targets(), data)
	}
}

// onlyKey is a root under which one of the keys speaks for role.
func onlyKey(role Role, id string, keys map[string]*tuf.Key) *tuf.Metadata[tuf.RootType] {
	root := tuf.Root()
	root.Signed.Keys = keys
	root.Signed.Roles[string(role)] = &tuf.Role{KeyIDs: []string{id}, Threshold: 1}
	return root
}

func verifies[T tuf.Roles](root *tuf.Metadata[tuf.RootType], role Role, as *tuf.Metadata[T], data []byte) bool {
	metadata, err := as.FromBytes(data)
	return err == nil && root.VerifyDelegate(string(role), metadata) == nil
}
