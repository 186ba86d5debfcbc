package signing

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"time"
)

// attacks are what a server, or somebody with one of the online keys, can do
// to a host that has trusted timestamp 3, snapshot 3, targets 3, root 1. Each
// must be refused with its own error and leave the host as it was.
var attacks = []struct {
	name  string
	want  error
	mount func(r *testRepository)
}{
	// Signatures.
	{"no signature", ErrSignature, func(r *testRepository) {
		r.write("metadata/timestamp.json", seal(up(r.current(RoleTimestamp))))
	}},
	{"empty signature", ErrSignature, func(r *testRepository) {
		none := []object{{"keyid": r.keys.of(RoleTimestamp).public.id, "sig": ""}}
		r.write("metadata/timestamp.json", envelope(up(r.current(RoleTimestamp)), none))
	}},
	{"wrong key", ErrSignature, func(r *testRepository) {
		r.write("metadata/timestamp.json", seal(up(r.current(RoleTimestamp)), r.keys.of(RoleSnapshot)))
	}},
	{"wrong key under the right id", ErrSignature, func(r *testRepository) {
		key := r.keys.of(RoleSnapshot)
		key.public = r.keys.of(RoleTimestamp).public
		r.write("metadata/timestamp.json", seal(up(r.current(RoleTimestamp)), key))
	}},
	{"one id twice", ErrMalformed, func(r *testRepository) {
		key := r.keys.of(RoleTimestamp)
		r.write("metadata/timestamp.json", seal(up(r.current(RoleTimestamp)), key, key))
	}},
	{"snapshot signed by the timestamp key", ErrSignature, func(r *testRepository) {
		data := seal(up(r.current(RoleSnapshot)), r.keys.of(RoleTimestamp))
		r.write("metadata/4.snapshot.json", data)
		r.forgeTimestamp(4, data)
	}},
	{"targets signed by the snapshot key", ErrSignature, func(r *testRepository) {
		data := seal(up(r.current(RoleTargets)), r.keys.of(RoleSnapshot))
		r.write("metadata/4.targets.json", data)
		r.forgeSnapshot(func(meta object) { meta["targets.json"] = metaFor(4, data) })
	}},
	{"a snapshot in the timestamp's place", ErrMalformed, func(r *testRepository) {
		r.write("metadata/timestamp.json", r.read("metadata/3.snapshot.json"))
	}},

	// Root.
	{"root 2 not signed by root 1", ErrSignature, func(r *testRepository) {
		other := newKeys(r.t, 1)
		forged := newRepositoryWith(r.t, other, 1)
		r.write("metadata/2.root.json", seal(up(forged.current(RoleRoot)), other.of(RoleRoot)))
	}},
	{"root 2 not signed by itself", ErrSignature, func(r *testRepository) {
		other := newRepository(r.t)
		r.write("metadata/2.root.json", seal(up(other.current(RoleRoot)), r.keys.of(RoleRoot)))
	}},
	{"root 3 as root 2", ErrMismatch, func(r *testRepository) { r.forgeRoot(func(signed object) { up(signed) }) }},
	{"root 1 as root 2", ErrMismatch, func(r *testRepository) { r.write("metadata/2.root.json", r.read("metadata/1.root.json")) }},
	{"threshold 0", ErrMalformed, func(r *testRepository) {
		r.forgeRoot(func(signed object) { signed["roles"].(object)["timestamp"].(object)["threshold"] = 0 })
	}},
	{"threshold over the number of keys", ErrMalformed, func(r *testRepository) {
		r.forgeRoot(func(signed object) { signed["roles"].(object)["timestamp"].(object)["threshold"] = 2 })
	}},
	{"one key named twice", ErrMalformed, func(r *testRepository) {
		r.forgeRoot(func(signed object) {
			role := signed["roles"].(object)["root"].(object)
			role["keyids"] = append(role["keyids"].([]any), role["keyids"].([]any)[0])
			role["threshold"] = 2
		})
	}},
	{"one key under two ids", ErrMalformed, func(r *testRepository) {
		r.forgeRoot(func(signed object) {
			id := r.keys.of(RoleRoot).public.id
			again := strings.Repeat("ab", 32)
			signed["keys"].(object)[again] = signed["keys"].(object)[id]
			role := signed["roles"].(object)["root"].(object)
			role["keyids"] = []string{id, again}
			role["threshold"] = 2
		})
	}},
	{"one key named twice, threshold 1", ErrMalformed, func(r *testRepository) {
		r.forgeRoot(func(signed object) {
			role := signed["roles"].(object)["timestamp"].(object)
			role["keyids"] = append(role["keyids"].([]any), role["keyids"].([]any)[0])
		})
	}},
	{"one key under two ids of its own", ErrMalformed, func(r *testRepository) {
		r.forgeRoot(func(signed object) {
			again := addKey(signed, r.keys.of(RoleRoot), func(key object) { key["x"] = 1 })
			role := signed["roles"].(object)["root"].(object)
			role["keyids"] = append(role["keyids"].([]any), again)
			role["threshold"] = 2
		})
	}},
	{"unknown scheme", ErrMalformed, func(r *testRepository) {
		r.forgeRoot(func(signed object) {
			addKey(signed, r.keys.of(RoleTimestamp), func(key object) { key["scheme"] = "none" })
		})
	}},
	{"confused key type", ErrMalformed, func(r *testRepository) {
		r.forgeRoot(func(signed object) {
			addKey(signed, r.keys.of(RoleTimestamp), func(key object) { key["keytype"] = "rsa" })
		})
	}},
	{"key bytes not matching the id", ErrMalformed, func(r *testRepository) {
		r.forgeRoot(func(signed object) {
			key := signed["keys"].(object)[r.keys.of(RoleTimestamp).public.id].(object)
			key["keyval"].(object)["public"] = strings.Repeat("ab", 32)
		})
	}},
	{"key of another length", ErrMalformed, func(r *testRepository) {
		r.forgeRoot(func(signed object) {
			addKey(signed, r.keys.of(RoleTimestamp), func(key object) { key["keyval"] = object{"public": "abcd"} })
		})
	}},
	{"a role is missing", ErrMalformed, func(r *testRepository) {
		r.forgeRoot(func(signed object) { delete(signed["roles"].(object), "snapshot") })
	}},
	{"no consistent snapshots", ErrMalformed, func(r *testRepository) {
		r.forgeRoot(func(signed object) { signed["consistent_snapshot"] = false })
	}},

	// Going back.
	{"older timestamp", ErrRollback, func(r *testRepository) {
		old := r.current(RoleTimestamp)
		old["version"] = 2
		r.write("metadata/timestamp.json", r.seal(RoleTimestamp, old))
	}},
	{"same timestamp version, other content", ErrRollback, func(r *testRepository) {
		other := r.current(RoleTimestamp)
		other["expires"] = inFuture(time.Hour)
		r.write("metadata/timestamp.json", r.seal(RoleTimestamp, other))
	}},
	{"newer timestamp, older snapshot", ErrRollback, func(r *testRepository) {
		r.forgeTimestamp(2, r.read("metadata/2.snapshot.json"))
	}},
	{"same snapshot version, other content", ErrRollback, func(r *testRepository) {
		other := r.current(RoleSnapshot)
		other["expires"] = inFuture(time.Hour)
		data := r.seal(RoleSnapshot, other)
		r.write("metadata/3.snapshot.json", data)
		r.forgeTimestamp(3, data)
	}},
	{"newer snapshot, older targets", ErrRollback, func(r *testRepository) {
		r.forgeSnapshot(func(meta object) { meta["targets.json"] = metaFor(2, r.read("metadata/2.targets.json")) })
	}},
	{"version 0", ErrMalformed, func(r *testRepository) {
		zero := r.current(RoleTimestamp)
		zero["version"] = 0
		r.write("metadata/timestamp.json", r.seal(RoleTimestamp, zero))
	}},

	// Mix and match.
	{"other snapshot under the same name", ErrMismatch, func(r *testRepository) {
		r.publish(target, "four")
		data := r.read("metadata/4.snapshot.json")
		r.write("metadata/4.snapshot.json", bytes.Replace(data, []byte(`"version":4`), []byte(`"version":5`), 1))
	}},
	{"other targets under the same name", ErrMismatch, func(r *testRepository) {
		r.publish(target, "four")
		r.write("metadata/4.targets.json", r.seal(RoleTargets, without(r.current(RoleTargets), "x-nothing")))
		data := r.read("metadata/4.targets.json")
		data[len(data)/2] ^= 1
		r.write("metadata/4.targets.json", data)
	}},
	{"targets of another repository", ErrMismatch, func(r *testRepository) {
		r.publish(target, "four")
		other := newRepository(r.t)
		for range 3 {
			other.meta.Renew(RoleTargets)
			other.sign()
		}
		data := other.read("metadata/4.targets.json")
		length := len(r.read("metadata/4.targets.json"))
		r.write("metadata/4.targets.json", append(data, bytes.Repeat([]byte(" "), max(0, length-len(data)))...))
	}},
	{"snapshot version that its timestamp does not name", ErrMismatch, func(r *testRepository) {
		data := r.seal(RoleSnapshot, up(up(r.current(RoleSnapshot))))
		r.write("metadata/4.snapshot.json", data)
		r.forgeTimestamp(4, data)
	}},
	{"targets version that its snapshot does not name", ErrMismatch, func(r *testRepository) {
		data := r.seal(RoleTargets, up(up(r.current(RoleTargets))))
		r.write("metadata/4.targets.json", data)
		r.forgeSnapshot(func(meta object) { meta["targets.json"] = metaFor(4, data) })
	}},
	{"snapshot without targets", ErrMalformed, func(r *testRepository) {
		r.forgeSnapshot(func(meta object) { delete(meta, "targets.json") })
	}},
	{"timestamp without snapshot", ErrMalformed, func(r *testRepository) {
		timestamp := up(r.current(RoleTimestamp))
		timestamp["meta"] = object{}
		r.write("metadata/timestamp.json", r.seal(RoleTimestamp, timestamp))
	}},
	{"snapshot without a digest", ErrMalformed, func(r *testRepository) {
		timestamp := up(r.current(RoleTimestamp))
		delete(timestamp["meta"].(object)["snapshot.json"].(object), "hashes")
		r.write("metadata/timestamp.json", r.seal(RoleTimestamp, timestamp))
	}},

	// Freeze.
	{"expired timestamp", ErrExpired, func(r *testRepository) {
		old := up(r.current(RoleTimestamp))
		old["expires"] = inFuture(-time.Second)
		r.write("metadata/timestamp.json", r.seal(RoleTimestamp, old))
	}},
	{"expired snapshot", ErrExpired, func(r *testRepository) {
		old := up(r.current(RoleSnapshot))
		old["expires"] = inFuture(-time.Second)
		data := r.seal(RoleSnapshot, old)
		r.write("metadata/4.snapshot.json", data)
		r.forgeTimestamp(4, data)
	}},
	{"expired targets", ErrExpired, func(r *testRepository) {
		r.forgeTargets(func(signed object) { signed["expires"] = inFuture(-time.Second) })
	}},
	{"clock far behind the newest time seen", ErrClockBehind, func(r *testRepository) { r.now = r.now.Add(-time.Hour) }},

	// Endless and slow.
	{"endless timestamp", ErrTooLarge, func(r *testRepository) { r.attackAt("/metadata/timestamp.json", endless) }},
	{"endless root", ErrTooLarge, func(r *testRepository) { r.attackAt("/metadata/2.root.json", endless) }},
	{"endless snapshot", ErrTooLarge, func(r *testRepository) {
		r.publish(target, "four")
		r.attackAt("/metadata/4.snapshot.json", endless)
	}},
	{"timestamp announced too long", ErrTooLarge, func(r *testRepository) {
		r.attackAt("/metadata/timestamp.json", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "9000000000")
		})
	}},
	{"one byte at a time", ErrTooSlow, func(r *testRepository) {
		r.attackAt("/metadata/timestamp.json", func(w http.ResponseWriter, req *http.Request) {
			for req.Context().Err() == nil {
				w.Write([]byte(" "))
				w.(http.Flusher).Flush()
				time.Sleep(20 * time.Millisecond)
			}
		})
	}},
	{"no answer at all", ErrTooSlow, func(r *testRepository) {
		r.attackAt("/metadata/timestamp.json", func(_ http.ResponseWriter, req *http.Request) { <-req.Context().Done() })
	}},
	{"snapshot shorter than declared", ErrMismatch, func(r *testRepository) {
		r.publish(target, "four")
		data := r.read("metadata/4.snapshot.json")
		r.write("metadata/4.snapshot.json", data[:len(data)-1])
	}},
	{"an answer that expands", ErrUnavailable, func(r *testRepository) {
		r.attackAt("/metadata/timestamp.json", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			io.WriteString(w, "x")
		})
	}},
	{"redirect loop", ErrUnavailable, func(r *testRepository) {
		r.attackAt("/metadata/timestamp.json", func(w http.ResponseWriter, req *http.Request) {
			http.Redirect(w, req, req.URL.Path, http.StatusFound)
		})
	}},
	{"server error", ErrUnavailable, func(r *testRepository) {
		r.attackAt("/metadata/2.root.json", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) })
	}},

	// Parsing.
	{"duplicate keys", ErrMalformed, func(r *testRepository) {
		r.spoil(func(data []byte) []byte {
			return bytes.Replace(data, []byte(`{"signatures"`), []byte(`{"signed":{},"signatures"`), 1)
		})
	}},
	{"duplicate keys in other case", ErrMalformed, func(r *testRepository) {
		r.spoil(func(data []byte) []byte {
			return bytes.Replace(data, []byte(`{"signatures"`), []byte(`{"ſigned":{},"signatures"`), 1)
		})
	}},
	{"trailing bytes", ErrMalformed, func(r *testRepository) {
		r.spoil(func(data []byte) []byte { return append(data, "{}"...) })
	}},
	{"huge version", ErrMalformed, func(r *testRepository) {
		r.spoil(func(data []byte) []byte {
			return bytes.Replace(data, []byte(`"version":4`), []byte(`"version":18446744073709551617`), 1)
		})
	}},
	{"version with a fraction", ErrMalformed, func(r *testRepository) {
		r.spoil(func(data []byte) []byte {
			return bytes.Replace(data, []byte(`"version":4`), []byte(`"version":4e0`), 1)
		})
	}},
	{"bad UTF-8", ErrMalformed, func(r *testRepository) {
		r.spoil(func(data []byte) []byte { return bytes.Replace(data, []byte("timestamp"), []byte("timest\xffmp"), 1) })
	}},
	{"null", ErrMalformed, func(r *testRepository) {
		timestamp := up(r.current(RoleTimestamp))
		timestamp["meta"].(object)["snapshot.json"] = nil
		r.write("metadata/timestamp.json", r.seal(RoleTimestamp, timestamp))
	}},
	{"nesting of 7,000", ErrMalformed, func(r *testRepository) {
		r.spoil(func(data []byte) []byte {
			deep := strings.Repeat("[", 7000) + strings.Repeat("]", 7000)
			return bytes.Replace(data, []byte(`{"signatures"`), []byte(`{"x":`+deep+`,"signatures"`), 1)
		})
	}},
	{"nothing", ErrMalformed, func(r *testRepository) { r.write("metadata/timestamp.json", nil) }},
}
