package signing

import (
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"time"

	"github.com/proa-os/proa/manifests"
	"github.com/secure-systems-lab/go-securesystemslib/cjson"
)

type object = map[string]any

// signedPart is the signed part of a metadata file, to be changed.
func signedPart(data []byte) object {
	var envelope struct {
		Signed object `json:"signed"`
	}
	if err := json.Unmarshal(data, &envelope); err != nil {
		panic(err)
	}
	return envelope.Signed
}

// seal signs with the given keys, as somebody who has them can.
func seal(signed object, keys ...PrivateKey) []byte {
	payload, err := cjson.EncodeCanonical(signed)
	if err != nil {
		panic(err)
	}
	signatures := []object{}
	for _, key := range keys {
		signatures = append(signatures, signature(key, payload))
	}
	return envelope(signed, signatures)
}

func signature(key PrivateKey, payload []byte) object {
	return object{"keyid": key.public.id, "sig": fmt.Sprintf("%x", ed25519.Sign(key.key, payload))}
}

func envelope(signed object, signatures []object) []byte {
	data, err := json.Marshal(object{"signed": signed, "signatures": signatures})
	if err != nil {
		panic(err)
	}
	return data
}

func (k Keys) of(role Role) PrivateKey { return k.private[k.public[role][0].id] }

func (r *testRepository) file(role Role) string {
	return "metadata/" + fileName(role, r.meta.Version(role))
}

// current is the signed part of what is published for role.
func (r *testRepository) current(role Role) object { return signedPart(r.read(r.file(role))) }

// seal signs for role with its own key.
func (r *testRepository) seal(role Role, signed object) []byte { return seal(signed, r.keys.of(role)) }

// metaFor is how the role above speaks of content.
func metaFor(version int64, content []byte) object {
	return object{"version": version, "length": len(content), "hashes": object{"sha256": manifests.DigestOf(content).Hex()}}
}

func up(signed object) object {
	signed["version"] = signed["version"].(float64) + 1
	return signed
}

// forgeTimestamp puts a next timestamp in place that names the given snapshot.
func (r *testRepository) forgeTimestamp(snapshotVersion int64, snapshot []byte) {
	timestamp := up(r.current(RoleTimestamp))
	timestamp["meta"] = object{"snapshot.json": metaFor(snapshotVersion, snapshot)}
	r.write("metadata/timestamp.json", r.seal(RoleTimestamp, timestamp))
}

// forgeSnapshot puts a next snapshot in place, and a timestamp that names it.
func (r *testRepository) forgeSnapshot(change func(meta object)) {
	snapshot := up(r.current(RoleSnapshot))
	change(snapshot["meta"].(object))
	version := r.meta.Version(RoleSnapshot) + 1
	data := r.seal(RoleSnapshot, snapshot)
	r.write("metadata/"+fileName(RoleSnapshot, version), data)
	r.forgeTimestamp(version, data)
}

// forgeTargets puts next targets in place, and what is above them.
func (r *testRepository) forgeTargets(change func(signed object)) {
	targets := up(r.current(RoleTargets))
	change(targets)
	version := r.meta.Version(RoleTargets) + 1
	data := r.seal(RoleTargets, targets)
	r.write("metadata/"+fileName(RoleTargets, version), data)
	r.forgeSnapshot(func(meta object) { meta["targets.json"] = metaFor(version, data) })
}

// forgeRoot puts a next root in place, signed by the root's key.
func (r *testRepository) forgeRoot(change func(signed object)) {
	root := up(r.current(RoleRoot))
	change(root)
	r.write("metadata/2.root.json", r.seal(RoleRoot, root))
}

// spoil rewrites the current timestamp.
func (r *testRepository) spoil(change func(data []byte) []byte) {
	r.write("metadata/timestamp.json", change(r.seal(RoleTimestamp, up(r.current(RoleTimestamp)))))
}

// attackAt lets the server answer one path in its own way.
func (r *testRepository) attackAt(path string, answer http.HandlerFunc) {
	r.answer = func(w http.ResponseWriter, req *http.Request) bool {
		if req.URL.Path != path {
			return false
		}
		answer(w, req)
		return true
	}
}

func inFuture(d time.Duration) string { return start.Add(d).Format(time.RFC3339) }

// without is m less some keys.
func without(m object, keys ...string) object {
	m = maps.Clone(m)
	for _, key := range keys {
		delete(m, key)
	}
	return m
}

// addKey adds a changed copy of key to a root, under the id that fits it.
func addKey(root object, key PrivateKey, change func(object)) (id string) {
	described := object{"keytype": "ed25519", "scheme": "ed25519", "keyval": object{"public": fmt.Sprintf("%x", key.public.key)}}
	change(described)
	canonical, err := cjson.EncodeCanonical(described)
	if err != nil {
		panic(err)
	}
	id = manifests.DigestOf(canonical).Hex()
	root["keys"].(object)[id] = described
	return id
}
