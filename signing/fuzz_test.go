package signing

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/cjson"
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
		signed, _ := json.Marshal(up(signedPart(file.Content)))
		for stage := range byte(5) {
			f.Add(signed, true, stage)
			f.Add(file.Content, false, stage)
		}
	}
	f.Add([]byte(`{"_type":"timestamp","spec_version":"1.0","version":2,"expires":"2027-01-01T00:00:00Z","meta":{}}`), true, byte(2))
	f.Add([]byte(`{"_type":"targets","spec_version":"1.0","version":2,"expires":"2027-01-01T00:00:00Z","targets":{"x":{"length":1,"hashes":{"md5":"00"}}}}`), true, byte(4))

	f.Fuzz(func(t *testing.T, data []byte, sealed bool, stage byte) {
		var signers []PrivateKey
		if sealed {
			var signed any
			if json.Unmarshal(data, &signed) != nil {
				return
			}
			payload, err := cjson.EncodeCanonical(signed)
			if err != nil {
				return
			}
			signatures := []object{}
			for _, key := range keys.private {
				signers = append(signers, key)
				signatures = append(signatures, signature(key, payload))
			}
			if data, err = json.Marshal(object{"signed": signed, "signatures": signatures}); err != nil {
				return
			}
		}
		v, err := newVerifier(content["1.root.json"], start)
		if err != nil {
			t.Fatal(err)
		}
		switch stage % 5 {
		case 0:
			newVerifier(data, time.Time{})
		case 1:
			if v.root(data) == nil && len(signers) == 0 {
				t.Fatalf("unsigned root accepted: %s", data)
			}
		case 2:
			v.timestamp(content["timestamp.json"])
			if same, err := v.timestamp(data); err == nil && !same && len(signers) == 0 {
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
