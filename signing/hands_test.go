package signing_test

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/signing/forge"
	"github.com/proa-os/proa/updater/testhost"
)

// What the owner, the server and an attacker do in a world.

// publish has the owner publish a release, changed beforehand.
func (w *world) publish(version manifests.Version, change func(*testhost.Release)) {
	w.t.Helper()
	r := testhost.NewRelease(w.t, testhost.Spec{Version: version, SecurityEpoch: epoch})
	if change != nil {
		change(r)
	}
	w.owner.Publish(w.t, r)
}

// editChannel has the owner sign another value in the channel's document.
func (w *world) editChannel(field, value string) {
	w.t.Helper()
	var document forge.Object
	check(w.t, json.Unmarshal(w.Read(w.target(channel)), &document))
	document[field] = value
	content, err := json.Marshal(document)
	check(w.t, err)
	w.owner.SetTarget(w.t, channel, content)
}

// target is the file of a target.
func (w *world) target(name string) string {
	w.t.Helper()
	listed := w.Current(forge.Targets)["targets"].(forge.Object)[name].(forge.Object)
	folder, file := filepath.Split(name)
	return "targets/" + folder + listed["hashes"].(forge.Object)["sha256"].(string) + "." + file
}

// answer answers for every file whose path ends so.
func (w *world) answer(ending string, answer http.HandlerFunc) {
	w.owner.Intercept = func(out http.ResponseWriter, request *http.Request) bool {
		if !strings.HasSuffix(request.URL.Path, ending) {
			return false
		}
		answer(out, request)
		return true
	}
}

func (w *world) flipByteOf(role string) {
	w.t.Helper()
	name := forge.Path(role, w.Version(role))
	data := w.Read(name)
	data[len(data)/2] ^= 1
	w.Write(name, data)
}

// addKey gives a role of a root one key more, and a threshold.
func (w *world) addKey(root forge.Object, role string, key forge.Key, threshold int) {
	w.addID(root, role, forge.AddKey(root, key, func(forge.Object) {}), threshold)
}

func (w *world) addID(root forge.Object, role, id string, threshold int) {
	entry := forge.RoleOf(root, role)
	entry["keyids"] = append(entry["keyids"].([]any), id)
	entry["threshold"] = threshold
}

// putKey publishes a root with the timestamp's key in another description.
func (w *world) putKey(change func(key forge.Object)) {
	w.PutRoot(func(signed forge.Object) { forge.AddKey(signed, w.Keys[forge.Timestamp], change) })
}

// rootOf is a next root that has the given key alone.
func (w *world) rootOf(key forge.Key) (root forge.Object, _ forge.Key) {
	root = w.Next(forge.Root)
	forge.RoleOf(root, forge.Root)["keyids"] = []any{}
	w.addKey(root, forge.Root, key, 1)
	return root, key
}

// renewRootKey publishes a next root with another key, as it should be done.
func (w *world) renewRootKey() {
	root, key := w.rootOf(forge.NewKey())
	w.Write(forge.Path(forge.Root, w.Version(forge.Root)+1), forge.Sign(root, w.Keys[forge.Root], key))
	w.Keys[forge.Root] = key
}

// delegation is a role that is trusted with the targets of a pattern.
type delegation struct {
	name, pattern string
	terminating   bool
}

// delegate takes the channel out of the targets, and delegates to roles of which
// the last one lists it.
func (w *world) delegate(roles ...delegation) {
	w.t.Helper()
	key := forge.NewKey()
	w.PutTargets(func(signed forge.Object) {
		all := signed["targets"].(forge.Object)
		listed := forge.Object{channel: all[channel]}
		delete(all, channel)
		var described []any
		for n, role := range roles {
			described = append(described, forge.Object{
				"name": role.name, "keyids": []any{key.ID}, "threshold": 1, "terminating": role.terminating, "paths": []any{role.pattern},
			})
			targets := forge.Object{"_type": "targets", "spec_version": "1.0.31", "version": 1, "expires": date(time.Hour), "targets": forge.Object{}}
			if n == len(roles)-1 {
				targets["targets"] = listed
			}
			w.Write(forge.Path(role.name, 1), forge.Sign(targets, key))
		}
		signed["delegations"] = forge.Object{"keys": forge.Object{key.ID: key.Described()}, "roles": described}
	})
}
