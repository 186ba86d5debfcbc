package rpm

import (
	"bytes"
	"database/sql"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/proa-os/proa/builder/content"
	"github.com/proa-os/proa/builder/packages"
	"github.com/proa-os/proa/builder/rpm/rpmtest"
	"github.com/proa-os/proa/builder/tree"
)

// seeds are packages of all sorts, unsigned.
func seeds() [][]byte {
	files := []rpmtest.File{
		rpmtest.Dir("/d"), rpmtest.Plain("/d/f", "x"), rpmtest.Link("/s", "d"), {Path: "/g", Flags: 64},
		{Path: "/a", Body: "y", Inode: 9, Caps: "cap_net_raw=ep"}, {Path: "/b", Body: "y", Inode: 9, User: "bin"}, {Path: "/c", Mode: 0o020600},
	}
	files[4].User = "bin"
	scripts := []rpmtest.Value{
		rpmtest.Word(1024, "echo"), rpmtest.Word(1086, "/bin/sh"), rpmtest.Words(1065, "t"), rpmtest.Words(1066, "a"), rpmtest.Words(1067, "1"),
		rpmtest.Numbers(1068, rpmtest.Int32, 1<<16|8), rpmtest.Numbers(1069, rpmtest.Int32, 0), rpmtest.Words(1049, "(a if b)", "c"),
		rpmtest.Words(1050, "", "1"), rpmtest.Numbers(1048, rpmtest.Int32, 0, 8), rpmtest.Words(1098, "/usr"),
	}
	return [][]byte{
		rpmtest.Package{}.Build(nil), rpmtest.Package{Files: files}.Build(nil), rpmtest.Package{Files: files[:2], More: scripts}.Build(nil),
		rpmtest.Package{Files: files[1:2], Payload: rpmtest.Archive(rpmtest.Stripped(0, "x"))}.Build(nil),
	}
}

// FuzzRead is about all of a package file. What can be read can be laid and
// recorded.
func FuzzRead(f *testing.F) {
	for _, seed := range seeds() {
		f.Add(seed)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "fuzz.rpm")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		var results [2]packages.Payload
		for i := range results {
			store, err := content.NewBounded(dir, content.Limits{Spool: 1 << 20, Expanded: 1 << 20, Ratio: 1000, Free: 1 << 20})
			if err != nil {
				t.Fatal(err)
			}
			defer store.Close()
			p, err := Read(t.Context(), store, path, ReadConfig{unsigned: true})
			if err != nil {
				return
			}
			into := tree.New()
			if err := packages.Lay(t.Context(), into, "fuzz", []packages.Payload{p}, nil); err == nil {
				packages.Own(into, []packages.Payload{p})
			}
			WriteDatabase(tree.New(), []packages.Payload{p}, 1)
			results[i] = p
		}
		if !reflect.DeepEqual(results[0].About, results[1].About) {
			t.Error("twice the same bytes gave two results")
		}
	})
}

// FuzzHeader is about a header alone, which has no digest to get past.
func FuzzHeader(f *testing.F) {
	for _, seed := range seeds() {
		at := bytes.LastIndex(seed, headerMagic[:])
		raw, err := readRaw(bytes.NewReader(seed), int64(at), int64(len(seed)), maxStore)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		raw, err := readRaw(bytes.NewReader(data), 0, int64(len(data)), maxStore)
		if err != nil {
			return
		}
		h, err := parseImmutable(raw[8:])
		if err != nil {
			return
		}
		about(h)
		candidate(h)
		if files, err := readFiles(h); err == nil {
			entries(files, "")
			configAndOwners(files)
		}
		blob, err := extend(h, []addition{int32Value(tagInstallTime, 1)})
		if err != nil {
			t.Fatalf("a good header cannot be extended: %v", err)
		}
		if _, inRegion, err := parseHeader(blob, tagImmutable); err != nil || inRegion != len(h.values)+1 {
			t.Fatalf("an extended header cannot be read: %d tags, %v", inRegion, err)
		}
		for _, i := range indexes {
			i.keys(h)
		}
	})
}

// FuzzDatabase is about a database that a base image brings.
func FuzzDatabase(f *testing.F) {
	dir := f.TempDir()
	store, err := content.NewBounded(dir, content.DefaultLimits())
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { store.Close() })
	var payloads []packages.Payload
	for _, seed := range seeds() {
		path := filepath.Join(dir, "seed.rpm")
		if err := os.WriteFile(path, seed, 0o600); err != nil {
			f.Fatal(err)
		}
		p, err := Read(f.Context(), store, path, ReadConfig{unsigned: true})
		if err != nil {
			f.Fatal(err)
		}
		payloads = append(payloads, p)
		f.Add(smallDatabase(f, payloads...), []byte{})
	}
	f.Fuzz(func(t *testing.T, data, log []byte) {
		into := tree.New()
		for ending, data := range map[string][]byte{"": data, "-wal": log} {
			n := &tree.Node{Mode: 0o644}
			if len(data) > 0 {
				n.Content = tree.Content{At: bytes.NewReader(data), Size: int64(len(data))}
			}
			if err := into.Put(databaseLink+"/"+databaseName+ending, n); err != nil {
				t.Fatal(err)
			}
		}
		MakeRoom(t.Context(), into, payloads[1:2])
	})
}

// smallDatabase has the one table that is read, in small pages, so that a
// change hits something.
func smallDatabase(f *testing.F, payloads ...packages.Payload) []byte {
	file := filepath.Join(f.TempDir(), "small.sqlite")
	db, err := sql.Open("sqlite", file)
	if err != nil {
		f.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("PRAGMA page_size = 512; " + schema()[0]); err != nil {
		f.Fatal(err)
	}
	for _, p := range payloads {
		if _, err := db.Exec("INSERT INTO Packages VALUES (NULL, ?)", p.Record[recordHeader]); err != nil {
			f.Fatal(err)
		}
	}
	data, err := os.ReadFile(file)
	if err != nil {
		f.Fatal(err)
	}
	return data
}

func FuzzArchive(f *testing.F) {
	f.Add(rpmtest.Payload(rpmtest.Plain("/f", "x"), rpmtest.Link("/s", "f")))
	f.Add(rpmtest.Archive(rpmtest.Stripped(0, "x"), rpmtest.Stripped(1, "f")))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		store, err := content.NewBounded(dir, content.Limits{Spool: 1 << 20, Expanded: 1 << 20, Ratio: 1000, Free: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		files := []*file{
			{path: "f", mode: modeRegular | 0o644, size: 1, digest: "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"},
			{path: "s", mode: modeLink | 0o777, target: "f", size: 1},
		}
		p := &payloadReader{store: store, archive: newArchive(bytes.NewReader(data)), files: files, newHash: fileDigests[algoSHA2], byPath: map[string]*file{}}
		for _, f := range files {
			p.byPath[f.path] = f
		}
		if err := p.read(t.Context()); err == nil && (!files[0].seen || files[0].content.Size != 1) {
			t.Errorf("an archive without its files was read: %q", data)
		}
	})
}
