package signing_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/proa-os/proa/fetch"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/signing"
	"github.com/proa-os/proa/signing/forge"
	"github.com/proa-os/proa/updater/testhost"
)

// attack is one way to make a host take what it must not, by somebody who has the
// repository's server and the keys that it takes.
type attack struct {
	name  string
	want  error  // what the host's error is; nil is a refusal of the release
	says  string // part of the error
	moves moves  // what the host may rightly take of it
	ways  []way
}

type way = func(w *world)

// moves is what may change on a host that refuses an attack: never what it boots.
type moves int

const (
	nothing    moves = iota
	newerRoots       // each signed by the one before: they stay, so that revoked keys stay revoked
	metadata         // signed and in order: what it says is what the host refuses
)

// attacks are the 44 on signed metadata that a host must refuse, each with an error
// of its own, in eight groups.
var attacks = []struct {
	group string
	count int
	list  []attack
}{
	{"keys and thresholds", 10, []attack{
		{"no signature", signing.ErrSignature, "it has no signature", nothing, []way{func(w *world) {
			w.Write(timestamp, forge.Sign(w.Next(forge.Timestamp)))
		}}},
		{"empty signature", signing.ErrSignature, "is empty", nothing, []way{func(w *world) {
			w.Write(timestamp, forge.Envelope(w.Next(forge.Timestamp), forge.Object{"keyid": w.Keys[forge.Timestamp].ID, "sig": ""}))
		}}},
		{"wrong key", signing.ErrSignature, "is not one of them", nothing, []way{
			func(w *world) { w.Write(timestamp, forge.Sign(w.Next(forge.Timestamp), forge.NewKey())) },
			func(w *world) { w.Write(timestamp, forge.Sign(w.Next(forge.Timestamp), w.Keys[forge.Snapshot])) },
		}},
		{"threshold not met", signing.ErrSignature, "its own keys: 1 of 2 keys have signed", nothing, []way{func(w *world) {
			w.PutRoot(func(signed forge.Object) { w.addKey(signed, forge.Root, forge.NewKey(), 2) })
		}}},
		{"one key under two ids", signing.ErrMalformed, "role root names a key twice", nothing, []way{func(w *world) {
			w.PutRoot(func(signed forge.Object) {
				again := forge.AddKey(signed, w.Keys[forge.Root], func(key forge.Object) { key["x"] = 1 })
				w.addID(signed, forge.Root, again, 2)
			})
		}}},
		{"one id twice", signing.ErrMalformed, "multiple signatures", nothing, []way{func(w *world) {
			key := w.Keys[forge.Timestamp]
			w.Write(timestamp, forge.Sign(w.Next(forge.Timestamp), key, key))
		}}},
		{"threshold 0", signing.ErrMalformed, "role timestamp has threshold 0", nothing, []way{func(w *world) {
			w.PutRoot(func(signed forge.Object) { forge.RoleOf(signed, forge.Timestamp)["threshold"] = 0 })
		}}},
		{"unknown or confused scheme", signing.ErrMalformed, "scheme", nothing, []way{
			func(w *world) { w.putKey(func(key forge.Object) { key["scheme"] = "none" }) },
			func(w *world) { w.putKey(func(key forge.Object) { key["keytype"] = "rsa" }) },
		}},
		{"key bytes not matching the id", signing.ErrMalformed, "its id would be", nothing, []way{func(w *world) {
			w.PutRoot(func(signed forge.Object) {
				key := signed["keys"].(forge.Object)[w.Keys[forge.Timestamp].ID].(forge.Object)
				key["keyval"] = forge.NewKey().Described()["keyval"]
			})
		}}},
		{"expired root key set", signing.ErrSignature, "the keys of root 2: 0 of 1 keys have signed", nothing, []way{func(w *world) {
			expired := w.Keys[forge.Root]
			w.renewRootKey()
			w.settle()
			w.Write(forge.Path(forge.Root, 3), forge.Sign(w.Next(forge.Root), expired))
		}}},
	}},
	{"root", 6, []attack{
		{"N+1 not signed by N", signing.ErrSignature, "the keys of root 1: 0 of 1 keys have signed", nothing, []way{func(w *world) {
			root, key := w.rootOf(forge.NewKey())
			w.Write(forge.Path(forge.Root, 2), forge.Sign(root, key))
		}}},
		{"not signed by itself", signing.ErrSignature, "its own keys: 0 of 1 keys have signed", nothing, []way{func(w *world) {
			root, _ := w.rootOf(forge.NewKey())
			w.Write(forge.Path(forge.Root, 2), w.Sign(forge.Root, root))
		}}},
		{"skipped version", signing.ErrMismatch, "expected 2, got 3", nothing, []way{func(w *world) {
			w.PutRoot(func(signed forge.Object) { forge.Up(signed) })
		}}},
		{"version and file name differ", signing.ErrMismatch, "expected 2, got 1", nothing, []way{func(w *world) {
			w.Write(forge.Path(forge.Root, 2), w.Read(forge.Path(forge.Root, 1)))
		}}},
		{"endless chain", signing.ErrTooLarge, "over 256 new roots in one refresh", newerRoots, []way{func(w *world) {
			root := w.Next(forge.Root)
			w.answer(".root.json", func(out http.ResponseWriter, _ *http.Request) {
				out.Write(w.Sign(forge.Root, root))
				forge.Up(root)
			})
		}}},
		{"final root expired", signing.ErrExpired, "final root.json is expired", newerRoots, []way{func(w *world) {
			w.PutRoot(expire)
		}}},
	}},
	{"rollback", 8, []attack{
		{"older timestamp", signing.ErrRollback, "new timestamp version", nothing, []way{func(w *world) {
			older := w.Current(forge.Timestamp)
			older["version"] = w.Version(forge.Timestamp) - 1
			w.Write(timestamp, w.Sign(forge.Timestamp, older))
		}}},
		{"same version, other bytes", signing.ErrRollback, "with other content than before", nothing, []way{
			func(w *world) {
				w.Write(timestamp, w.Sign(forge.Timestamp, soon(w.Current(forge.Timestamp))))
			},
			func(w *world) {
				other := w.Sign(forge.Snapshot, soon(w.Current(forge.Snapshot)))
				w.PutFile(forge.Snapshot, w.Version(forge.Snapshot), other)
			},
		}},
		{"older snapshot", signing.ErrRollback, "new snapshot version", nothing, []way{func(w *world) {
			older := w.Version(forge.Snapshot) - 1
			w.Name(older, w.Read(forge.Path(forge.Snapshot, older)))
		}}},
		{"snapshot drops a role", signing.ErrRollback, "it drops more.json", nothing, []way{func(w *world) {
			w.PutSnapshot(func(signed forge.Object) { signed["meta"].(forge.Object)["more.json"] = forge.Meta(1, []byte("{}")) })
			w.settle()
			w.PutSnapshot(func(signed forge.Object) { delete(signed["meta"].(forge.Object), "more.json") })
		}}},
		{"older targets", signing.ErrRollback, "it takes targets.json back from version", nothing, []way{func(w *world) {
			older := w.Version(forge.Targets) - 1
			w.PutFile(forge.Targets, older, w.Read(forge.Path(forge.Targets, older)))
		}}},
		{"OS version below the floor under newer metadata", nil, "0.9: older than the running 1.0.0", metadata, []way{func(w *world) {
			w.publish("0.9", nil)
		}}},
		{"lower security epoch", nil, "security epoch 2: this host demands 3", metadata, []way{func(w *world) {
			w.publish("2.0", func(r *testhost.Release) { r.Release.SecurityEpoch = 2 })
		}}},
		{"channel switched by the server", nil, "its channel is beta", metadata, []way{func(w *world) {
			w.editChannel("name", "beta")
		}}},
	}},
	{"mix and match", 4, []attack{
		{"snapshot or targets hash mismatch", signing.ErrMismatch, "hash verification failed", nothing, []way{
			func(w *world) { w.publish("1.2.0", nil); w.flipByteOf(forge.Snapshot) },
			func(w *world) { w.publish("1.2.0", nil); w.flipByteOf(forge.Targets) },
		}},
		{"targets of another repository", signing.ErrSignature, "targets metadata: ", nothing, []way{func(w *world) {
			other := newWorld(w.t)
			targets := other.Current(forge.Targets)
			targets["version"] = w.Version(forge.Targets) + 1
			w.PutFile(forge.Targets, w.Version(forge.Targets)+1, other.Sign(forge.Targets, targets))
		}}},
		{"manifest A with root B", nil, "chunk index: is of root hash", metadata, []way{func(w *world) {
			w.publish("1.2.0", func(r *testhost.Release) {
				b := testhost.NewRelease(w.t, testhost.Spec{Version: "1.3.0"})
				r.Release.Root.Hash = bytes.Clone(r.Release.Root.Hash) // which it shares with r.Root
				r.Root, r.Frames, r.Chunks, r.Transport.Root, r.Transport.Index = b.Root, b.Frames, b.Chunks, b.Transport.Root, b.Transport.Index
			})
		}}},
		{"UKI of A with root hash of B", nil, "its kernel image boots root hash", metadata, []way{func(w *world) {
			w.publish("1.2.0", func(r *testhost.Release) {
				r.ReplaceUKI(testhost.NewRelease(w.t, testhost.Spec{Version: "1.3.0"}).UKI)
			})
		}}},
	}},
	{"freeze", 4, []attack{
		{"expired timestamp", signing.ErrExpired, "timestamp.json is expired", nothing, []way{func(w *world) { w.PutTimestamp(expire) }}},
		{"expired snapshot", signing.ErrExpired, "snapshot.json is expired", nothing, []way{func(w *world) { w.PutSnapshot(expire) }}},
		{"expired targets", signing.ErrExpired, "targets is expired", nothing, []way{func(w *world) { w.PutTargets(expire) }}},
		{"clock behind the newest time seen", signing.ErrClockBehind, "and was", nothing, []way{func(w *world) { w.clock = -time.Hour }}},
	}},
	{"endless and slow", 4, []attack{
		{"metadata over its limit", signing.ErrTooLarge, "more data than allowed", nothing, []way{
			func(w *world) { w.answer("/"+timestamp, endless) },
			func(w *world) { w.answer("/metadata/2.root.json", endless) },
			func(w *world) { w.publish("1.2.0", nil); w.answer(".snapshot.json", endless) },
			func(w *world) { w.publish("1.2.0", nil); w.answer(".targets.json", endless) },
			func(w *world) {
				w.answer("/"+timestamp, func(out http.ResponseWriter, _ *http.Request) { out.Header().Set("Content-Length", "9000000000") })
			},
		}},
		{"target longer than declared", signing.ErrTooLarge, "stable.json: more data than allowed", nothing, []way{
			func(w *world) { w.Write(w.target(channel), append(w.Read(w.target(channel)), '\n')) },
			func(w *world) { w.answer(".stable.json", endless) },
		}},
		{"target shorter than declared", signing.ErrMismatch, "stable.json: content is not what", nothing, []way{func(w *world) {
			content := w.Read(w.target(channel))
			w.Write(w.target(channel), content[:len(content)-1])
		}}},
		{"below the minimum rate", fetch.ErrTooSlow, "server is too slow", nothing, []way{func(w *world) {
			w.patience = fetch.Patience{MinimumRate: 1000, Window: 200 * time.Millisecond}
			w.answer("/"+timestamp, byteByByte)
		}}},
	}},
	{"names", 4, []attack{
		{"../, absolute, NUL, %2e%2e", nil, "version ", metadata, []way{
			func(w *world) { w.editChannel("version", "../../../evil") },
			func(w *world) { w.editChannel("version", "/etc/evil") },
			func(w *world) { w.editChannel("version", "1.2\x00.0") },
			func(w *world) { w.editChannel("version", "%2e%2e/evil") },
		}},
		{"wrong product or architecture", nil, "1.2.0: it is ", metadata, []way{
			func(w *world) { w.publish("1.2.0", func(r *testhost.Release) { r.Release.Product = "barge" }) },
			func(w *world) { w.publish("1.2.0", func(r *testhost.Release) { r.Release.Arch = manifests.ARM64 }) },
		}},
		{"delegation outside its pattern", nil, `no such target in the repository (roles that it delegates to have no say: "cars")`, metadata, []way{func(w *world) {
			w.delegate(delegation{"cars", "channels/cars/*", true})
		}}},
		{"delegation order", nil, `no such target in the repository (roles that it delegates to have no say: "first", "second")`, metadata, []way{func(w *world) {
			w.delegate(delegation{"first", "channels/*/*/*", false}, delegation{"second", "channels/*/*/*", true})
		}}},
	}},
	{"parsing", 4, []attack{
		{"duplicate JSON keys", signing.ErrMalformed, "twice", nothing, []way{
			func(w *world) { w.Spoil(replace(`{"signatures"`, `{"signed":{},"signatures"`)) },
			func(w *world) { w.Spoil(replace(`"version":`, `"version":1,"version":`)) },
			func(w *world) { w.Spoil(replace(`{"signatures"`, `{"ſigned":{},"signatures"`)) }, // the same to a lenient parser
		}},
		{"trailing bytes", signing.ErrMalformed, "after", nothing, []way{func(w *world) {
			w.Spoil(func(data []byte) []byte { return append(data, "{}"...) })
		}}},
		{"huge numbers as versions", signing.ErrMalformed, "want an integer of at most 15 digits", nothing, []way{
			func(w *world) { w.Spoil(replace(`"version":`, `"version":1844674407370955161`)) },
			func(w *world) { w.Spoil(replace(`"version":`, `"version":1e400,"x":`)) },
		}},
		{"bad UTF-8 or depth 10,000", signing.ErrMalformed, "JSON", nothing, []way{
			func(w *world) { w.Spoil(replace(`"timestamp"`, "\"timest\xffmp\"")) },
			func(w *world) {
				deep := strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000)
				w.Write(forge.Path(forge.Root, 2), bytes.Replace(w.Sign(forge.Root, w.Next(forge.Root)), []byte(`{"signatures"`), []byte(`{"x":`+deep+`,"signatures"`), 1))
			},
		}},
	}},
}

const timestamp = "metadata/timestamp.json"

var channel = manifests.ChannelTarget(testhost.Product, manifests.AMD64, "stable")

// expire makes metadata a second too old.
func expire(signed forge.Object) { signed["expires"] = date(-time.Second) }

// soon gives metadata another expiry that is to come.
func soon(signed forge.Object) forge.Object {
	signed["expires"] = date(time.Hour)
	return signed
}

func date(later time.Duration) string { return time.Now().Add(later).UTC().Format(time.RFC3339) }

func replace(old, text string) func(data []byte) []byte {
	return func(data []byte) []byte {
		changed := bytes.Replace(data, []byte(old), []byte(text), 1)
		if bytes.Equal(changed, data) {
			panic(fmt.Sprintf("no %s in %s", old, data))
		}
		return changed
	}
}

// endless sends for as long as somebody listens.
func endless(out http.ResponseWriter, request *http.Request) {
	piece := bytes.Repeat([]byte(" "), 1<<16)
	for request.Context().Err() == nil {
		if _, err := out.Write(piece); err != nil {
			return
		}
	}
}

// byteByByte is endless, and slow.
func byteByByte(out http.ResponseWriter, request *http.Request) {
	for request.Context().Err() == nil {
		io.WriteString(out, " ")
		http.NewResponseController(out).Flush()
		time.Sleep(20 * time.Millisecond)
	}
}
