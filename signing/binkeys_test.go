package signing

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/proa-os/proa/signing/forge"
)

// addTargetsKey makes a further key for the targets role, which no root knows yet.
func (r *testRepository) addTargetsKey() PublicKey {
	r.t.Helper()
	public, err := CreateKeyFile(filepath.Join(r.keys.folder, KeyFileName(RoleTargets, len(r.keys.public[RoleTargets])+1)))
	if err == nil {
		r.keys, err = LoadKeys(r.keys.folder)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	return public
}

// setRoot takes a next root, signed by all root keys.
func (r *testRepository) setRoot(change RootChange) {
	r.t.Helper()
	change.Expires = r.now.Add(300 * day)
	before, err := NewestRoot(os.DirFS(filepath.Join(r.folder, "metadata")))
	if err != nil {
		r.t.Fatal(err)
	}
	draft, err := NextRoot(before, change, r.now)
	for _, key := range r.keys.public[RoleRoot] {
		if err == nil {
			err = draft.Sign(r.keys.private[key.id])
		}
	}
	if err == nil {
		err = r.meta.SetRoot(draft)
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

// signersOf are the keys that have signed a file.
func (r *testRepository) signersOf(role Role) []string {
	r.t.Helper()
	var ids []string
	for _, s := range r.meta.listing(role).Signatures {
		ids = append(ids, s.KeyID)
	}
	return ids
}

func TestNewKeysSignEveryBin(t *testing.T) {
	r := newRepositoryOf(t, 200)
	follower := r.newHost()
	mustFetch(t, follower.mustRefresh(t), nthTarget(7), nthTarget(7))
	r.rotate()
	for _, h := range []*host{follower, r.newHost()} {
		c := h.mustRefresh(t)
		if _, err := c.Targets(t.Context()); err != nil {
			t.Error(err)
		}
		mustFetch(t, c, nthTarget(7), nthTarget(7))
	}
}

// The root is written last.
func TestHostsReadBinsBeforeTheRootIsThereThatChangesTheirKey(t *testing.T) {
	r := newRepositoryOf(t, 200)
	former := r.keys.public[RoleTargets][0]
	r.setRoot(RootChange{Add: map[Role][]PublicKey{RoleTargets: {r.addTargetsKey()}}, Remove: map[Role][]string{RoleTargets: {former.id}}})
	r.sign()
	h := r.newHost()
	r.attackAt("/metadata/2.root.json", http.NotFound)
	_, before := h.mustRefresh(t).Targets(t.Context())
	r.answer = nil
	_, after := h.mustRefresh(t).Targets(t.Context())
	if before != nil || after != nil {
		t.Errorf("before the root: %v, after: %v", before, after)
	}
}

func TestKeyThatIsTakenFromTheTargetsRoleSpeaksForNoBin(t *testing.T) {
	r := newRepositoryOf(t, 200)
	lost := r.keys.public[RoleTargets][0]
	added := r.addTargetsKey()
	r.setRoot(RootChange{Add: map[Role][]PublicKey{RoleTargets: {added}}})
	for _, part := range r.meta.listers() {
		r.meta.changed[part] = true // so that each is signed by both
	}
	r.sign()
	r.setRoot(RootChange{Remove: map[Role][]string{RoleTargets: {lost.id}}})
	r.sign()
	if got := binsOf(&r.meta.targets.Signed).KeyIDs; !slices.Equal(got, []string{added.id}) {
		t.Errorf("bins are signed by %q, want %q alone", got, added.id)
	}
	if r.meta.Version(Role(forge.Bin(nthTarget(7)))) != 2 {
		t.Error("a bin with a signature that is good still was signed again")
	}
	h := r.newHost()
	mustFetch(t, h.mustRefresh(t), nthTarget(7), nthTarget(7))

	bin := forge.Bin(nthTarget(7))
	r.PutFile(bin, 3, forge.Sign(r.Next(bin), r.Keys[forge.Targets])) // the lost key
	_, err := h.mustRefresh(t).Fetch(t.Context(), nthTarget(7))
	wantError(t, err, ErrSignature)
}

func TestKeyThatIsGivenToTheTargetsRoleIsNeededAtTheNextChangeOnly(t *testing.T) {
	r := newRepositoryOf(t, 200)
	former := r.keys.public[RoleTargets][0]
	added := r.addTargetsKey()
	r.setRoot(RootChange{Add: map[Role][]PublicKey{RoleTargets: {added}}})
	all := r.keys.private
	r.keys.private = map[string]PrivateKey{}
	for _, key := range append(r.keys.public[RoleSnapshot], r.keys.public[RoleTimestamp]...) {
		r.keys.private[key.id] = all[key.id]
	}
	r.sign() // the root, without a key for targets
	r.keys.private = all
	delete(r.keys.private, former.id)
	r.publish(nthTarget(7), "by the new key")
	if got := r.signersOf(Role(forge.Bin(nthTarget(7)))); !slices.Equal(got, []string{added.id}) {
		t.Errorf("the bin is signed by %q, want %q", got, added.id)
	}
	mustFetch(t, r.newHost().mustRefresh(t), nthTarget(7), "by the new key")
	mustFetch(t, r.newHost().mustRefresh(t), nthTarget(8), nthTarget(8))
}

func TestBinsNeedAsManySignaturesAsTargetsJSON(t *testing.T) {
	r := newRepositoryOf(t, 200)
	r.setRoot(RootChange{Add: map[Role][]PublicKey{RoleTargets: {r.addTargetsKey()}}, Threshold: map[Role]int{RoleTargets: 2}})
	r.sign()
	for _, role := range r.meta.listers() {
		if n := len(r.signersOf(role)); n != 2 {
			t.Errorf("%s has %d signatures", role, n)
		}
	}
	h := r.newHost()
	h.mustRefresh(t)
	bin := forge.Bin(nthTarget(7))
	r.PutBin(bin, func(forge.Object) {}) // by one key
	_, err := h.mustRefresh(t).Fetch(t.Context(), nthTarget(7))
	wantError(t, err, ErrSignature)
}

func TestPassphraseIsAskedForOnceForAllBins(t *testing.T) {
	folder := t.TempDir()
	for _, role := range Roles() {
		create := CreateKeyFile
		if role == RoleTargets {
			create = func(path string) (PublicKey, error) { return CreateLockedKeyFile(path, []byte("open sesame")) }
		}
		if _, err := create(filepath.Join(folder, KeyFileName(role, 1))); err != nil {
			t.Fatal(err)
		}
	}
	asked := 0
	keys, err := OpenKeys(folder, func(string) ([]byte, error) { asked++; return []byte("open sesame"), nil })
	if err != nil {
		t.Fatal(err)
	}
	meta, err := NewMetadata(keys, 1)
	if err != nil {
		t.Fatal(err)
	}
	r := &testRepository{t: t, folder: t.TempDir(), keys: keys, meta: meta, now: time.Now()}
	r.addTargets(0, 200)
	r.sign()
	if len(r.meta.bins) != 64 || asked != 1 {
		t.Errorf("for %d bins the passphrase was asked for %d times", len(r.meta.bins), asked)
	}
}
