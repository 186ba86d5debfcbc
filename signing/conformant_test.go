package signing

import (
	"crypto/elliptic"
	"testing"

	"github.com/proa-os/proa/signing/forge"
)

// What TUF allows and proa's own repositories do not have.

func TestHostTakesKeysOfP256(t *testing.T) {
	r := newRepository(t)
	h := r.newHost()
	h.mustRefresh(t)
	for role := range r.Keys {
		key := forge.NewCurveKey(elliptic.P256())
		root := r.Next(forge.Root)
		forge.RoleOf(root, role)["keyids"] = []any{forge.AddKey(root, key, func(forge.Object) {})}
		r.Write(forge.Path(forge.Root, r.Version(forge.Root)+1), forge.Sign(root, r.Keys[forge.Root], key))
		r.Keys[role] = key
	}
	r.PutTargets(func(forge.Object) {})
	h.mustRefresh(t)

	wrong := r.Keys[forge.Timestamp]
	wrong.Private = forge.NewCurveKey(elliptic.P256()).Private
	r.Write("metadata/timestamp.json", forge.Sign(r.Next(forge.Timestamp), wrong))
	_, err := h.refresh(t)
	wantError(t, err, ErrSignature)
}

func TestHostTakesMetadataThatIsNamedByItsVersionAlone(t *testing.T) {
	r := newRepository(t)
	h := r.newHost()
	r.publish(target, "two")
	h.mustRefresh(t)
	next := func() {
		version := r.Version(forge.Snapshot) + 1
		r.Write(forge.Path(forge.Targets, version), r.Sign(forge.Targets, r.Next(forge.Targets)))
		snapshot := r.Next(forge.Snapshot)
		snapshot["meta"] = forge.Object{"targets.json": forge.Object{"version": version}}
		r.Write(forge.Path(forge.Snapshot, version), r.Sign(forge.Snapshot, snapshot))
		r.PutTimestamp(func(signed forge.Object) {
			signed["meta"] = forge.Object{"snapshot.json": forge.Object{"version": version}}
		})
	}
	next()
	mustFetch(t, h.mustRefresh(t), target, "two")
	mustFetch(t, h.mustRefresh(t), target, "two")

	next()
	r.attackAt("/"+forge.Path(forge.Targets, r.Version(forge.Targets)), endless)
	_, err := h.refresh(t)
	wantError(t, err, ErrTooLarge)
}
