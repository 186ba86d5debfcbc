package signing

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/cjson"

	"github.com/proa-os/proa/signing/forge"
)

// FuzzMetadata gives a verifier that trusts version 1 of everything whatever
// somebody with all the keys can sign, and whatever nobody signed. It must not
// panic, and must accept nothing unsigned.
func FuzzMetadata(f *testing.F) {
	folder := f.TempDir()
	for _, role := range Roles() {
		if _, err := CreateKeyFile(filepath.Join(folder, KeyFileName(role, 1))); err != nil {
			f.Fatal(err)
		}
	}
	keys, err := LoadKeys(folder)
	if err != nil {
		f.Fatal(err)
	}
	meta, err := NewMetadata(keys, 1)
	if err != nil {
		f.Fatal(err)
	}
	if err := meta.SetTarget("a/b", []byte("c")); err != nil {
		f.Fatal(err)
	}
	files, err := meta.Sign(start, nil, keys)
	if err != nil {
		f.Fatal(err)
	}
	content := map[string][]byte{}
	for _, file := range files {
		content[file.Name] = file.Content
		signed, _ := json.Marshal(forge.Up(forge.Signed(file.Content)))
		for stage := range byte(5) {
			f.Add(signed, true, stage)
			f.Add(file.Content, false, stage)
		}
	}
	f.Add([]byte(`{"_type":"timestamp","spec_version":"1.0","version":2,"expires":"2027-01-01T00:00:00Z","meta":{}}`), true, byte(2))
	f.Add([]byte(`{"_type":"targets","spec_version":"1.0","version":2,"expires":"2027-01-01T00:00:00Z","targets":{"x":{"length":1,"hashes":{"md5":"00"}}}}`), true, byte(4))

	var signers []forge.Key
	for _, role := range Roles() {
		signers = append(signers, forge.ReadKey(f, filepath.Join(folder, KeyFileName(role, 1))))
	}
	f.Fuzz(func(t *testing.T, data []byte, sealed bool, stage byte) {
		if sealed {
			var signed forge.Object
			if json.Unmarshal(data, &signed) != nil {
				return
			}
			if _, err := cjson.EncodeCanonical(signed); err != nil {
				return
			}
			data = forge.Sign(signed, signers...)
		}
		v, err := newVerifier(content["1.root.json"], start)
		if err != nil {
			t.Fatal(err)
		}
		switch stage % 5 {
		case 0:
			newVerifier(data, time.Time{})
		case 1:
			if v.root(data) == nil && !sealed {
				t.Fatalf("unsigned root accepted: %s", data)
			}
		case 2:
			v.timestamp(content["timestamp.json"])
			if same, err := v.timestamp(data); err == nil && !same && !sealed {
				t.Fatalf("unsigned timestamp accepted: %s", data)
			}
			v.snapshot(content["1.snapshot.json"])
		case 3:
			v.timestamp(content["timestamp.json"])
			v.olderSnapshot(data)
			v.snapshot(data)
			v.snapshot(content["1.snapshot.json"])
			v.targets(content["1.targets.json"])
		case 4:
			v.timestamp(content["timestamp.json"])
			v.snapshot(content["1.snapshot.json"])
			v.targets(data)
		}
	})
}

func FuzzReadKeyFile(f *testing.F) {
	path := filepath.Join(f.TempDir(), "seed.pem")
	if _, err := CreateKeyFile(path); err != nil {
		f.Fatal(err)
	}
	for _, name := range []string{path, PublicKeyPath(path)} {
		seed, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(seed)
	}
	file := filepath.Join(f.TempDir(), "key.pem")
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if key, err := ReadKeyFile(file); err == nil && len(key.Public().ID()) != 64 {
			t.Fatalf("key id %q", key.Public().ID())
		}
		if key, err := ReadPublicKeyFile(file); err == nil && len(key.ID()) != 64 {
			t.Fatalf("key id %q", key.ID())
		}
	})
}
