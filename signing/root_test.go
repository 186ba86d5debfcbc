package signing

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/proa-os/proa/signing/forge"
)

// rotate gives the repository new keys for every role, in place of the old ones.
func (r *testRepository) rotate() {
	r.t.Helper()
	older := r.keys
	r.keys = newKeys(r.t, 1)
	if err := r.meta.SetRoot(r.replaceKeys(older, older, r.keys)); err != nil {
		r.t.Fatal(err)
	}
	r.sign()
}

// replaceKeys is a next root with the repository's keys in place of older ones,
// signed by the root keys of the signers.
func (r *testRepository) replaceKeys(older Keys, signers ...Keys) *RootDraft {
	r.t.Helper()
	change := RootChange{Add: r.keys.public, Remove: map[Role][]string{}, Expires: r.now.Add(365 * day)}
	for role, keys := range older.public {
		for _, key := range keys {
			change.Remove[role] = append(change.Remove[role], key.id)
		}
	}
	before, err := NewestRoot(os.DirFS(filepath.Join(r.folder, "metadata")))
	if err != nil {
		r.t.Fatal(err)
	}
	draft, err := NextRoot(before, change, r.now)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, keys := range signers {
		for _, key := range keys.public[RoleRoot] {
			if err := draft.Sign(keys.private[key.id]); err != nil {
				r.t.Fatal(err)
			}
		}
	}
	return draft
}

func TestHostSeveralRootsBehindFollowsTheChain(t *testing.T) {
	r := newRepository(t)
	behind := r.newHost()
	r.publish(target, "one")
	follower := r.newHost()
	follower.mustRefresh(t)
	for range 5 {
		r.rotate()
	}
	r.publish(target, "six")
	mustFetch(t, behind.mustRefresh(t), target, "six")
	mustFetch(t, follower.mustRefresh(t), target, "six")
	if version, _ := versionOf([]byte(follower.trusted(t)["root.json"])); version != 6 {
		t.Errorf("trusted root is %d, want 6", version)
	}
}

func TestRevokedKeysHaveNoSay(t *testing.T) {
	r := newRepository(t)
	h := r.newHost()
	r.rotate()
	h.mustRefresh(t)
	r.Write("metadata/timestamp.json", r.Sign(forge.Timestamp, r.Next(forge.Timestamp)))
	_, err := h.refresh(t)
	wantError(t, err, ErrSignature)
}

func TestNewRootIsKeptEvenIfTheRestIsRefused(t *testing.T) {
	r := newRepository(t)
	h := r.newHost()
	h.mustRefresh(t)
	r.rotate()
	r.attackAt("/metadata/timestamp.json", endless)
	_, err := h.refresh(t)
	wantError(t, err, ErrTooLarge)
	if version, _ := versionOf([]byte(h.trusted(t)["root.json"])); version != 2 {
		t.Errorf("trusted root is %d, want 2", version)
	}
	r.answer = nil
	h.mustRefresh(t)
}

func TestRootNeedsItsThreshold(t *testing.T) {
	r := newRepositoryWith(t, newKeys(t, 3), 2)
	h := r.newHost()
	h.mustRefresh(t)
	root := r.Next(forge.Root)
	first := r.Keys[forge.Root]
	r.Write("metadata/2.root.json", forge.Sign(root, first))
	_, err := h.refresh(t)
	wantError(t, err, ErrSignature)

	second := forge.ReadKey(t, filepath.Join(r.keys.folder, KeyFileName(RoleRoot, 2)))
	r.Write("metadata/2.root.json", forge.Sign(root, first, second))
	h.mustRefresh(t)
}

func TestOwnerCannotSignWithTooFewRootKeys(t *testing.T) {
	r := newRepositoryWith(t, newKeys(t, 2), 2)
	one := r.keys
	delete(one.private, one.public[RoleRoot][1].id)
	r.meta.Renew(RoleRoot, r.now.Add(1000*day))
	_, err := r.meta.Sign(r.now, nil, one)
	wantError(t, err, ErrKeyMissing)
}

func TestChainOfRootsHasALimit(t *testing.T) {
	r := newRepository(t)
	h := r.newHost()
	h.config.Limits.Roots = 3
	for range 4 {
		r.meta.Renew(RoleRoot, r.now.Add(1000*day))
		r.sign()
	}
	_, err := h.refresh(t)
	wantError(t, err, ErrTooLarge)
	// What was verified is kept, so the next refresh gets on.
	h.mustRefresh(t)
}

func TestExpiredFinalRootIsRefusedButAnExpiredOneOnTheWayIsNot(t *testing.T) {
	r := newRepository(t)
	h := r.newHost()
	r.now = start.Add(400 * 24 * time.Hour)
	_, err := h.refresh(t)
	wantError(t, err, ErrExpired)
	for _, role := range Roles() {
		r.meta.Renew(role, r.now.Add(1000*day))
	}
	r.sign()
	h.mustRefresh(t)
}

func TestOlderBakedRootDoesNotReplaceTheTrustedOne(t *testing.T) {
	r := newRepository(t)
	h := r.newHost()
	r.rotate()
	h.mustRefresh(t)
	before := h.trusted(t)["root.json"]
	if _, err := OpenClient(h.config); err != nil { // its Root is root 1
		t.Fatal(err)
	}
	h.mustRefresh(t)
	if h.trusted(t)["root.json"] != before {
		t.Error("the trusted root changed")
	}
}

func TestNewerBakedRootIsTakenOverTheChain(t *testing.T) {
	for _, missing := range []string{"", "metadata/2.root.json", "metadata/3.root.json"} {
		r := newRepository(t)
		h := r.newHost()
		h.mustRefresh(t)
		r.rotate()
		r.rotate()
		h.config.Root = r.read("metadata/3.root.json")
		if missing != "" {
			if err := os.Remove(filepath.Join(r.folder, missing)); err != nil {
				t.Fatal(err)
			}
		}
		_, err := h.refresh(t)
		if missing == "metadata/2.root.json" {
			wantError(t, err, ErrRootChain)
			continue
		}
		if err != nil {
			t.Errorf("without %q: %v", missing, err)
		}
	}
}

func TestBakedRootOfAnotherRepositoryIsRefused(t *testing.T) {
	r := newRepository(t)
	h := r.newHost()
	h.mustRefresh(t)
	other := newRepository(t)
	h.config.Root = other.read("metadata/1.root.json")
	_, err := h.refresh(t)
	wantError(t, err, ErrRootChain)
	other.rotate()
	h.config.Root = other.read("metadata/2.root.json")
	_, err = h.refresh(t)
	wantError(t, err, ErrSignature)
}

func TestSameRootWithMoreSignaturesIsTheSameRoot(t *testing.T) {
	r := newRepositoryWith(t, newKeys(t, 2), 1)
	h := r.newHost()
	h.mustRefresh(t)
	h.config.Root = r.Sign(forge.Root, r.Current(forge.Root))
	h.mustRefresh(t)
}

func TestOwnerCannotSignOverWhatHasExpired(t *testing.T) {
	r := newRepository(t)
	r.now = start.Add(31 * 24 * time.Hour) // the snapshot's lifetime is 30 days
	_, err := r.meta.Sign(r.now, nil, r.keys)
	wantError(t, err, ErrExpired)
}

func TestNewRootKeysNeedTheOldOnes(t *testing.T) {
	r := newRepository(t)
	older := r.keys
	r.keys = newKeys(t, 1)
	wantError(t, r.meta.SetRoot(r.replaceKeys(older, r.keys)), ErrSignature)
	wantError(t, r.meta.SetRoot(r.replaceKeys(older, older)), ErrSignature)
}
