package signing

import (
	"bytes"
	"crypto/elliptic"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/proa-os/proa/signing/forge"
)

// alsoRefused is what else a client refuses, beside the list of attacks, in a
// repository whose timestamp, snapshot and targets are at version 3 and whose root
// is at 1.
var alsoRefused = []struct {
	name  string
	want  error
	mount func(r *testRepository)
}{
	// Signatures.
	{"wrong key under the right id", ErrSignature, func(r *testRepository) {
		key := r.Keys[forge.Snapshot]
		key.ID = r.Keys[forge.Timestamp].ID
		r.Write("metadata/timestamp.json", forge.Sign(r.Next(forge.Timestamp), key))
	}},
	{"snapshot signed by the timestamp key", ErrSignature, func(r *testRepository) {
		r.PutFile(forge.Snapshot, 4, r.Sign(forge.Timestamp, r.Next(forge.Snapshot)))
	}},
	{"targets signed by the snapshot key", ErrSignature, func(r *testRepository) {
		r.PutFile(forge.Targets, 4, r.Sign(forge.Snapshot, r.Next(forge.Targets)))
	}},
	{"a snapshot in the timestamp's place", ErrMalformed, func(r *testRepository) {
		r.Write("metadata/timestamp.json", r.Read("metadata/3.snapshot.json"))
	}},

	// Root.
	{"threshold over the number of keys", ErrMalformed, func(r *testRepository) {
		r.PutRoot(func(signed forge.Object) { forge.RoleOf(signed, forge.Timestamp)["threshold"] = 2 })
	}},
	{"one key named twice", ErrMalformed, func(r *testRepository) {
		r.PutRoot(func(signed forge.Object) {
			role := forge.RoleOf(signed, forge.Root)
			role["keyids"] = append(role["keyids"].([]any), role["keyids"].([]any)[0])
			role["threshold"] = 2
		})
	}},
	{"one key under an id that is not its own", ErrMalformed, func(r *testRepository) {
		r.PutRoot(func(signed forge.Object) {
			again := strings.Repeat("ab", 32)
			signed["keys"].(forge.Object)[again] = r.Keys[forge.Root].Described()
			role := forge.RoleOf(signed, forge.Root)
			role["keyids"] = append(role["keyids"].([]any), again)
			role["threshold"] = 2
		})
	}},
	{"one key named twice, threshold 1", ErrMalformed, func(r *testRepository) {
		r.PutRoot(func(signed forge.Object) {
			role := forge.RoleOf(signed, forge.Timestamp)
			role["keyids"] = append(role["keyids"].([]any), role["keyids"].([]any)[0])
		})
	}},
	{"key of another length", ErrMalformed, func(r *testRepository) {
		r.PutRoot(func(signed forge.Object) {
			forge.AddKey(signed, r.Keys[forge.Timestamp], func(key forge.Object) { key["keyval"] = forge.Object{"public": "abcd"} })
		})
	}},
	{"key on another curve", ErrMalformed, func(r *testRepository) {
		key := forge.NewCurveKey(elliptic.P384())
		r.PutRoot(func(signed forge.Object) { forge.AddKey(signed, key, func(forge.Object) {}) })
	}},
	{"one key written in two ways", ErrMalformed, func(r *testRepository) {
		key := forge.NewCurveKey(elliptic.P256())
		r.PutRoot(func(signed forge.Object) {
			role := forge.RoleOf(signed, forge.Timestamp)
			role["keyids"] = []any{
				forge.AddKey(signed, key, func(forge.Object) {}),
				forge.AddKey(signed, key, func(described forge.Object) {
					described["keyval"] = forge.Object{"public": described["keyval"].(forge.Object)["public"].(string) + "\n"}
				}),
			}
			role["threshold"] = 2
		})
	}},
	{"a role is missing", ErrMalformed, func(r *testRepository) {
		r.PutRoot(func(signed forge.Object) { delete(signed["roles"].(forge.Object), forge.Snapshot) })
	}},
	{"no consistent snapshots", ErrMalformed, func(r *testRepository) {
		r.PutRoot(func(signed forge.Object) { signed["consistent_snapshot"] = false })
	}},

	// One under another.
	{"version 0", ErrMalformed, func(r *testRepository) {
		r.PutTimestamp(func(signed forge.Object) { signed["version"] = 0 })
	}},
	{"snapshot version that its timestamp does not name", ErrMismatch, func(r *testRepository) {
		r.PutFile(forge.Snapshot, 4, r.Sign(forge.Snapshot, forge.Up(r.Next(forge.Snapshot))))
	}},
	{"targets version that its snapshot does not name", ErrMismatch, func(r *testRepository) {
		r.PutFile(forge.Targets, 4, r.Sign(forge.Targets, forge.Up(r.Next(forge.Targets))))
	}},
	{"snapshot without targets", ErrMalformed, func(r *testRepository) {
		r.PutSnapshot(func(signed forge.Object) { delete(signed["meta"].(forge.Object), "targets.json") })
	}},
	{"timestamp without snapshot", ErrMalformed, func(r *testRepository) {
		r.PutTimestamp(func(signed forge.Object) { signed["meta"] = forge.Object{} })
	}},
	{"snapshot of another digest, without a length", ErrMismatch, func(r *testRepository) {
		r.PutTimestamp(func(signed forge.Object) {
			digest := strings.Repeat("ab", 32)
			signed["meta"] = forge.Object{"snapshot.json": forge.Object{"version": 3, "hashes": forge.Object{"sha256": digest}}}
		})
	}},
	{"length below 0", ErrMalformed, func(r *testRepository) {
		r.PutTimestamp(func(signed forge.Object) {
			signed["meta"].(forge.Object)["snapshot.json"].(forge.Object)["length"] = -1
		})
	}},
	{"snapshot shorter than declared", ErrMismatch, func(r *testRepository) {
		r.publish(target, "four")
		data := r.Read("metadata/4.snapshot.json")
		r.Write("metadata/4.snapshot.json", data[:len(data)-1])
	}},

	// Servers.
	{"one byte at a time", ErrTooSlow, func(r *testRepository) {
		r.attackAt("/metadata/timestamp.json", func(w http.ResponseWriter, req *http.Request) {
			for req.Context().Err() == nil {
				io.WriteString(w, " ")
				http.NewResponseController(w).Flush()
				time.Sleep(20 * time.Millisecond)
			}
		})
	}},
	{"no answer at all", ErrTooSlow, func(r *testRepository) {
		r.attackAt("/metadata/timestamp.json", func(_ http.ResponseWriter, req *http.Request) { <-req.Context().Done() })
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
	{"version with an exponent", ErrMalformed, func(r *testRepository) {
		r.Spoil(func(data []byte) []byte {
			return bytes.Replace(data, []byte(`"version":4`), []byte(`"version":4e0`), 1)
		})
	}},
	{"null", ErrMalformed, func(r *testRepository) {
		r.PutTimestamp(func(signed forge.Object) { signed["meta"].(forge.Object)["snapshot.json"] = nil })
	}},
	{"nothing", ErrMalformed, func(r *testRepository) { r.Write("metadata/timestamp.json", nil) }},
}

func TestWhatElseIsWrongIsRefusedAndLeavesTheHostAsItWas(t *testing.T) {
	for _, attack := range alsoRefused {
		t.Run(attack.name, func(t *testing.T) {
			t.Parallel()
			r := newRepository(t)
			h := r.newHost()
			r.publish(target, "two")
			h.mustRefresh(t)
			r.publish(target, "three")
			mustFetch(t, h.mustRefresh(t), target, "three")
			before := h.trusted(t)

			attack.mount(r)
			if attack.want == ErrTooSlow {
				h.config.Limits = Limits{Grace: 300 * time.Millisecond, Rate: 1000}
			}
			c, err := h.refresh(t)
			wantError(t, err, attack.want)
			for _, other := range []error{ErrSignature, ErrExpired, ErrRollback, ErrMismatch, ErrMalformed, ErrTooLarge, ErrTooSlow, ErrUnavailable, ErrClockBehind} {
				if other != attack.want && strings.Contains(err.Error(), other.Error()) {
					t.Errorf("also says %q", other)
				}
			}
			if _, err := c.Fetch(t.Context(), target); err == nil {
				t.Error("a target was fetched from a set that was refused")
			}
			if !maps.Equal(before, h.trusted(t)) {
				t.Error("the trusted state changed")
			}
		})
	}
}
