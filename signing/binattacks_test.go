package signing_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/signing"
	"github.com/proa-os/proa/signing/forge"
	"github.com/proa-os/proa/updater/testhost"
)

// The attacks aim at the bin that lists this target, after it has been published.
var (
	aim    = manifests.ReleaseTarget(testhost.Product, manifests.AMD64, "1.2.0")
	aimed  = forge.Bin(aim)
	beside = forge.Bin(manifests.TransportTarget(testhost.Product, manifests.AMD64, "1.2.0"))
)

// attacksOnBins are those that targets metadata in bins makes possible, beside the 44.
var attacksOnBins = []attack{
	{"wrong key", signing.ErrSignature, "is not one of them", metadata, []way{
		func(w *world) { w.putSignedBy(forge.NewKey()) },
		func(w *world) { w.putSignedBy(w.Keys[forge.Snapshot]) },
		func(w *world) { w.putSignedBy(newWorld(w.t).Keys[forge.Targets]) }, // a bin of another repository
	}},
	{"key that the root took away, under targets.json of before", signing.ErrSignature, "the targets keys of root 3: ", metadata, []way{func(w *world) {
		lost, left := w.Keys[forge.Targets], forge.NewKey()
		w.publish("1.2.0", nil)
		w.PutRoot(func(signed forge.Object) { w.addKey(signed, forge.Targets, left, 1) })
		w.putSignedByBoth(forge.Targets, left)
		w.PutRoot(func(signed forge.Object) {
			entry := forge.RoleOf(signed, forge.Targets)
			entry["keyids"] = entry["keyids"].([]any)[1:]
		})
		w.PutFile(aimed, w.Version(aimed)+1, forge.Sign(w.Next(aimed), lost))
	}}},
	{"older than the snapshot says", signing.ErrMismatch, "content is not what signed metadata says", metadata, []way{
		func(w *world) {
			w.publish("1.2.0", nil)
			w.Write(forge.Path(aimed, w.Version(aimed)), w.Read(forge.Path(aimed, w.Version(aimed)-1)))
		},
		func(w *world) {
			w.publish("1.2.0", nil)
			w.PutFile(aimed, w.Version(aimed)+1, w.Read(forge.Path(aimed, w.Version(aimed))))
		},
	}},
	{"another bin under its name", signing.ErrMalformed, "which belongs into " + beside, metadata, []way{func(w *world) {
		w.publish("1.2.0", nil)
		w.PutFile(aimed, w.Version(beside), w.Read(forge.Path(beside, w.Version(beside))))
	}}},
	{"any bin under its name", signing.ErrMalformed, "no sha256 of " + aimed, metadata, []way{func(w *world) {
		w.publish("1.2.0", nil)
		w.PutSnapshot(func(signed forge.Object) { delete(metaOf(signed, aimed), "hashes") })
	}}},
	{"entry of another bin", signing.ErrMalformed, `it lists "evil", which belongs into `, metadata, []way{func(w *world) {
		w.publish("1.2.0", nil)
		w.PutBin(aimed, func(signed forge.Object) { signed["targets"].(forge.Object)["evil"] = forge.Listed([]byte("evil")) })
	}}},
	{"entry in another bin alone", nil, "no such target in the repository (" + aimed + " does not list it)", metadata, []way{func(w *world) {
		w.publish("1.2.0", nil)
		var listed any
		w.PutBin(aimed, func(signed forge.Object) {
			listed = signed["targets"].(forge.Object)[aim]
			delete(signed["targets"].(forge.Object), aim)
		})
		w.PutBin(forge.Bin("elsewhere"), func(signed forge.Object) { signed["targets"].(forge.Object)[aim] = listed })
	}}},
	{"endless bin", signing.ErrTooLarge, aimed + ".json: more data than allowed", metadata, []way{func(w *world) {
		w.publish("1.2.0", nil)
		w.answer(aimed+".json", endless)
	}}},
	{"bin over the limit", signing.ErrTooLarge, aimed + " metadata of 1048577 bytes", metadata, []way{func(w *world) {
		w.publish("1.2.0", nil)
		w.PutSnapshot(func(signed forge.Object) { metaOf(signed, aimed)["length"] = 1<<20 + 1 })
	}}},
	{"withheld bin", signing.ErrUnavailable, "the server has no such file", metadata, []way{func(w *world) {
		w.publish("1.2.0", nil)
		w.answer(aimed+".json", http.NotFound)
	}}},
	{"expired bin", signing.ErrExpired, aimed + " is expired", metadata, []way{func(w *world) {
		w.publish("1.2.0", nil)
		w.PutBin(aimed, expire)
	}}},
	{"bin that delegates further", signing.ErrMalformed, "it delegates further", metadata, []way{func(w *world) {
		w.publish("1.2.0", nil)
		w.PutBin(aimed, func(signed forge.Object) { signed["delegations"] = w.Current(forge.Targets)["delegations"] })
	}}},
	{"bin with a key of JSON twice", signing.ErrMalformed, "twice", metadata, []way{func(w *world) {
		w.publish("1.2.0", nil)
		w.PutFile(aimed, w.Version(aimed)+1, replace(`{"signatures"`, `{"signed":{},"signatures"`)(w.Sign(aimed, w.Next(aimed))))
	}}},
	{"snapshot drops a bin", signing.ErrRollback, "it drops " + aimed, nothing, []way{func(w *world) {
		w.PutSnapshot(func(signed forge.Object) { delete(signed["meta"].(forge.Object), aimed+".json") })
	}}},
	{"snapshot takes a bin back", signing.ErrRollback, "it takes " + aimed + ".json back from version 2 to 1", nothing, []way{func(w *world) {
		w.publish("1.2.0", nil)
		w.offers = "1.2.0"
		w.settle()
		w.PutFile(aimed, 1, w.Read(forge.Path(aimed, 1)))
	}}},
	{"delegation by too few keys", signing.ErrSignature, "targets metadata: not signed as the trusted root demands: 1 of 2 keys have signed", nothing, []way{func(w *world) {
		second := forge.NewKey()
		w.PutRoot(func(signed forge.Object) { w.addKey(signed, forge.Targets, second, 2) })
		for n := range 64 {
			w.putSignedByBoth(fmt.Sprintf("targets-%02x", n), second)
		}
		w.putSignedByBoth(forge.Targets, second)
		w.settle()
		w.putDelegation(func(bins forge.Object) { bins["threshold"] = 1 })
	}}},
	{"delegation that names a key twice", signing.ErrMalformed, "role targets names a key twice", nothing, []way{func(w *world) {
		w.putDelegation(func(bins forge.Object) {
			bins["keyids"] = append(bins["keyids"].([]any), bins["keyids"].([]any)[0])
		})
	}}},
	{"delegation with threshold 0", signing.ErrMalformed, "role targets has threshold 0", nothing, []way{func(w *world) {
		w.putDelegation(func(bins forge.Object) { bins["threshold"] = 0 })
	}}},
	{"delegation to no bins, or to too many", signing.ErrMalformed, "bit_length", nothing, []way{
		func(w *world) { w.putDelegation(func(bins forge.Object) { bins["bit_length"] = 0 }) },
		func(w *world) { w.putDelegation(func(bins forge.Object) { bins["bit_length"] = 33 }) },
	}},
	{"delegation to files elsewhere", signing.ErrMalformed, "name_prefix", nothing, []way{func(w *world) {
		w.putDelegation(func(bins forge.Object) { bins["name_prefix"] = "../../etc/x" })
	}}},
	{"delegation in two forms", signing.ErrMalformed, "by roles and by succinct_roles", nothing, []way{func(w *world) {
		targets := w.Next(forge.Targets)
		delegations := targets["delegations"].(forge.Object)
		bins := delegations["succinct_roles"]
		delete(delegations, "succinct_roles")
		delegations["roles"] = []any{}
		signature := w.Keys[forge.Targets].Signature(targets) // of the form that go-tuf reads
		delegations["succinct_roles"] = bins
		w.PutFile(forge.Targets, w.Version(forge.Targets)+1, forge.Envelope(targets, signature))
	}}},
}

// TestAttacksOnBinsAreRefused is TestAll44AttacksAreRefused on a repository with bins.
func TestAttacksOnBinsAreRefused(t *testing.T) {
	var said refusals
	t.Run("attack", func(t *testing.T) {
		for _, attack := range attacksOnBins {
			for _, mount := range attack.ways {
				t.Run(attack.name, func(t *testing.T) {
					t.Parallel()
					w := newWorld(t)
					w.owner.UseBins(t)
					w.settle()
					said.add(attack.name, w.refuses(attack, mount))
					if got := w.trusted()[aimed+".json"]; attack.want != nil && got != "" && got != w.content[aimed+".json"] {
						t.Errorf("the host keeps what it refuses: %s", got)
					}
				})
			}
		}
	})
	said.wantDistinct(t)
}

// putSignedBy publishes 1.2.0, with its bin signed by another key.
func (w *world) putSignedBy(key forge.Key) {
	w.t.Helper()
	w.publish("1.2.0", nil)
	w.PutFile(aimed, w.Version(aimed)+1, forge.Sign(w.Next(aimed), key))
}

// putSignedByBoth signs targets metadata or a bin with its key and a second one.
func (w *world) putSignedByBoth(role string, second forge.Key) {
	w.t.Helper()
	w.PutFile(role, w.Version(role)+1, forge.Sign(w.Next(role), w.Keys[forge.Targets], second))
}

// putDelegation publishes targets metadata that delegates to bins in another way.
func (w *world) putDelegation(change func(bins forge.Object)) {
	w.t.Helper()
	w.PutTargets(func(signed forge.Object) {
		change(signed["delegations"].(forge.Object)["succinct_roles"].(forge.Object))
	})
}

// metaOf is what a snapshot says of a role.
func metaOf(snapshot forge.Object, role string) forge.Object {
	return snapshot["meta"].(forge.Object)[role+".json"].(forge.Object)
}

// A name may be in targets.json and in a bin: the bin has no say then.
func TestBinCannotSpeakForWhatTargetsJSONLists(t *testing.T) {
	w := newWorld(t)
	w.owner.UseBins(t)
	w.settle()
	w.PutBin(forge.Bin(channel), func(signed forge.Object) {
		signed["expires"] = date(time.Hour)
		signed["targets"].(forge.Object)[channel] = forge.Listed([]byte("{}"))
	})
	w.mustOffer()
}
