package signing

import (
	"crypto/elliptic"
	"slices"
	"testing"

	"github.com/proa-os/proa/signing/forge"
)

// Another tool of TUF has made the root, with a P-256 key, and signed it.
func TestDraftKeepsSignaturesOfEveryKeyThatHostsKnow(t *testing.T) {
	r := newRepository(t)
	ours, theirs := r.Keys[forge.Root], forge.NewCurveKey(elliptic.P256())
	before := r.read("metadata/1.root.json")
	signed := r.Next(forge.Root)
	forge.AddKey(signed, theirs, func(forge.Object) {})
	role := forge.RoleOf(signed, forge.Root)
	role["keyids"], role["threshold"] = []any{ours.ID, theirs.ID}, 2

	liar := theirs
	liar.Private = forge.NewCurveKey(elliptic.P256()).Private
	draft, err := ReadRootDraft(forge.Sign(signed, liar), before)
	if err != nil {
		t.Fatal(err)
	}
	if got := draft.Demands()[1].Signed; len(got) != 0 {
		t.Errorf("a signature by another key counts as that of %v", got)
	}

	if draft, err = ReadRootDraft(forge.Sign(signed, theirs), before); err != nil {
		t.Fatal(err)
	}
	key, err := ReadKeyFile(r.keys.folder + "/root.pem")
	if err == nil {
		err = draft.Sign(key)
	}
	if err != nil {
		t.Fatal(err)
	}
	if got := draft.Demands()[1].Signed; !slices.Equal(got, []string{ours.ID, theirs.ID}) {
		t.Errorf("signed by %v, want both", got)
	}
	wantRoot(t, r, draft)

	// The next root lacks nothing when that key has signed it, too.
	content, err := draft.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	next := forge.Up(forge.Signed(content))
	if draft, err = ReadRootDraft(forge.Sign(next, ours, theirs), content); err != nil {
		t.Fatal(err)
	}
	wantRoot(t, r, draft)
}

// wantRoot demands that a draft is complete, and that hosts follow it.
func wantRoot(t *testing.T, r *testRepository, draft *RootDraft) {
	t.Helper()
	if err := draft.CheckComplete(); err != nil {
		t.Fatal(err)
	}
	content, err := draft.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	r.Write(forge.Path(forge.Root, draft.Version()), content)
	r.newHost().mustRefresh(t)
}

func TestFirstRootKeepsNoSignaturesOfStrangers(t *testing.T) {
	r := newRepository(t)
	stranger := forge.NewKey()
	draft, err := ReadRootDraft(forge.Sign(r.Current(forge.Root), r.Keys[forge.Root], stranger), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := len(draft.root.Signatures); got != 1 {
		t.Errorf("%d signatures, want that of the root's key alone", got)
	}
	// Of a later root they may be those of the root before.
	if draft, err = ReadRootDraft(forge.Sign(r.Next(forge.Root), stranger), nil); err != nil {
		t.Fatal(err)
	}
	if got := len(draft.root.Signatures); got != 1 {
		t.Errorf("%d signatures of a root whose predecessor is not known, want 1", got)
	}
}
