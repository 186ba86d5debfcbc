package forge

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// The roles of TUF.
const (
	Root      = "root"
	Timestamp = "timestamp"
	Snapshot  = "snapshot"
	Targets   = "targets"
)

// Repository is a repository's folder in an attacker's hands, with the first key
// of every role.
type Repository struct {
	Dir  string
	Keys map[string]Key // by role

	t testing.TB
}

// Open takes over the repository in dir, whose keys are in the folder keys.
func Open(t testing.TB, dir, keys string) *Repository {
	t.Helper()
	return &Repository{Dir: dir, Keys: readKeys(t, keys), t: t}
}

// Read is the content of a file of the repository.
func (r *Repository) Read(name string) []byte {
	r.t.Helper()
	content, err := os.ReadFile(filepath.Join(r.Dir, name))
	check(r.t, err)
	return content
}

// Write puts a file into the repository.
func (r *Repository) Write(name string, content []byte) {
	r.t.Helper()
	path := filepath.Join(r.Dir, name)
	check(r.t, os.MkdirAll(filepath.Dir(path), 0o755))
	check(r.t, os.WriteFile(path, content, 0o644))
}

// Path is the file of a version of role's metadata.
func Path(role string, version int64) string {
	if role == Timestamp {
		return "metadata/timestamp.json"
	}
	return fmt.Sprintf("metadata/%d.%s.json", version, role)
}

// Bin is the role that lists the target of the given name, if targets metadata is in
// 64 bins (TAP 15: the first 6 bits of the name's SHA-256 count them).
func Bin(target string) string {
	return fmt.Sprintf("targets-%02x", sha256.Sum256([]byte(target))[0]>>2)
}

// Version is the version of role's metadata that is published. A bin is a role, too.
func (r *Repository) Version(role string) int64 {
	r.t.Helper()
	switch role {
	case Root:
		newest := int64(1)
		for ; r.has(Path(Root, newest+1)); newest++ {
		}
		return newest
	case Timestamp:
		return version(Signed(r.Read(Path(Timestamp, 0))))
	case Snapshot:
		return named(r.Current(Timestamp), Snapshot)
	default:
		return named(r.Current(Snapshot), role)
	}
}

// named is the version of a role that the role above names.
func named(signed Object, role string) int64 {
	return version(signed["meta"].(Object)[role+".json"].(Object))
}

func (r *Repository) has(name string) bool {
	_, err := os.Stat(filepath.Join(r.Dir, name))
	return err == nil
}

// Current is the signed part of what is published for role.
func (r *Repository) Current(role string) Object {
	r.t.Helper()
	version := int64(0)
	if role != Timestamp {
		version = r.Version(role)
	}
	return Signed(r.Read(Path(role, version)))
}

// Next is the signed part of what would come after that.
func (r *Repository) Next(role string) Object {
	r.t.Helper()
	return Up(r.Current(role))
}

// Sign signs for role with its own key, for a bin with that of the targets.
func (r *Repository) Sign(role string, signed Object) []byte {
	key, ok := r.Keys[role]
	if !ok {
		key = r.Keys[Targets]
	}
	return Sign(signed, key)
}

// PutTimestamp publishes a next timestamp, as changed.
func (r *Repository) PutTimestamp(change func(signed Object)) {
	r.t.Helper()
	timestamp := r.Next(Timestamp)
	change(timestamp)
	r.Write(Path(Timestamp, 0), r.Sign(Timestamp, timestamp))
}

// Spoil publishes a next timestamp whose signed file is changed.
func (r *Repository) Spoil(change func(data []byte) []byte) {
	r.t.Helper()
	r.Write(Path(Timestamp, 0), change(r.Sign(Timestamp, r.Next(Timestamp))))
}

// Name publishes a next timestamp that names the given snapshot.
func (r *Repository) Name(version int64, snapshot []byte) {
	r.t.Helper()
	r.PutTimestamp(func(signed Object) { signed["meta"] = Object{"snapshot.json": Meta(version, snapshot)} })
}

// PutSnapshot publishes a next snapshot, as changed, and a timestamp that names it.
func (r *Repository) PutSnapshot(change func(signed Object)) {
	r.t.Helper()
	snapshot := r.Next(Snapshot)
	change(snapshot)
	r.PutFile(Snapshot, r.Version(Snapshot)+1, r.Sign(Snapshot, snapshot))
}

// PutTargets publishes next targets metadata, as changed, and what is above it.
func (r *Repository) PutTargets(change func(signed Object)) {
	r.t.Helper()
	targets := r.Next(Targets)
	change(targets)
	r.PutFile(Targets, r.Version(Targets)+1, r.Sign(Targets, targets))
}

// PutBin publishes a next version of a bin, as changed, and what is above it.
func (r *Repository) PutBin(bin string, change func(signed Object)) {
	r.t.Helper()
	signed := r.Next(bin)
	change(signed)
	r.PutFile(bin, r.Version(bin)+1, r.Sign(bin, signed))
}

// PutFile publishes any file as snapshot or targets metadata or bin of that version, and
// what is above it.
func (r *Repository) PutFile(role string, version int64, data []byte) {
	r.t.Helper()
	r.Write(Path(role, version), data)
	if role == Snapshot {
		r.Name(version, data)
		return
	}
	r.PutSnapshot(func(signed Object) { signed["meta"].(Object)[role+".json"] = Meta(version, data) })
}

// PutRoot publishes a next root, as changed, signed by the root's key.
func (r *Repository) PutRoot(change func(signed Object)) {
	r.t.Helper()
	root := r.Next(Root)
	change(root)
	r.Write(Path(Root, r.Version(Root)+1), r.Sign(Root, root))
}
