package signing

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func attestKeys(t testing.TB, n int) (private []PrivateKey, public []PublicKey, paths []string) {
	t.Helper()
	dir := t.TempDir()
	for i := range n {
		path := filepath.Join(dir, fmt.Sprintf("targets-%d.pem", i+2))
		if _, err := CreateKeyFile(path); err != nil {
			t.Fatal(err)
		}
		key, err := ReadKeyFile(path)
		if err != nil {
			t.Fatal(err)
		}
		private, public, paths = append(private, key), append(public, key.Public()), append(paths, PublicKeyPath(path))
	}
	return private, public, paths
}

// pae is the encoding that is signed, as DSSE's protocol.md words it.
func pae(kind, payload string) string {
	return fmt.Sprintf("DSSEv1 %d %s %d %s", len(kind), kind, len(payload), payload)
}

type sealed struct {
	PayloadType string `json:"payloadType"`
	Payload     string `json:"payload"`
	Signatures  []struct {
		KeyID string `json:"keyid"`
		Sig   string `json:"sig"`
	} `json:"signatures"`
}

func TestOpenSSLAcceptsTheSignatureOfAnEnvelope(t *testing.T) {
	keys, _, paths := attestKeys(t, 2)
	payload := "{\"a\":\"b\x00ü\"}"
	text, err := Seal(PayloadInToto, []byte(payload), keys...)
	if err != nil {
		t.Fatal(err)
	}
	var envelope sealed
	if err := json.Unmarshal(text, &envelope); err != nil {
		t.Fatal(err)
	}
	if got, err := base64.StdEncoding.DecodeString(envelope.Payload); err != nil || string(got) != payload || len(envelope.Signatures) != 2 {
		t.Fatalf("envelope %+v, %v", envelope, err)
	}
	dir := t.TempDir()
	for i, s := range envelope.Signatures {
		signature, err := base64.StdEncoding.DecodeString(s.Sig)
		if err != nil {
			t.Fatal(err)
		}
		for _, try := range []struct {
			text string
			good bool
		}{{pae(PayloadInToto, payload), true}, {pae(PayloadInToto, payload+" "), false}} {
			os.WriteFile(filepath.Join(dir, "text"), []byte(try.text), 0o600)
			os.WriteFile(filepath.Join(dir, "sig"), signature, 0o600)
			cmd := exec.Command("openssl", "pkeyutl", "-verify", "-pubin", "-inkey", paths[i], "-rawin", "-in", "text", "-sigfile", "sig")
			cmd.Dir = dir
			if out, err := cmd.CombinedOutput(); (err == nil) != try.good {
				t.Errorf("signature %d, good is %v: openssl says %v\n%s", i, try.good, err, out)
			}
		}
	}
}

func TestEnvelopesOpenForEnoughKnownKeysOnly(t *testing.T) {
	keys, known, _ := attestKeys(t, 3)
	seal := func(keys ...PrivateKey) []byte {
		text, err := Seal(PayloadInToto, []byte("payload"), keys...)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	twice := seal(keys[0])
	var envelope sealed
	if err := json.Unmarshal(twice, &envelope); err != nil {
		t.Fatal(err)
	}
	envelope.Signatures = append(envelope.Signatures, envelope.Signatures[0])
	envelope.Signatures[1].KeyID = ""
	twice, _ = json.Marshal(envelope)
	envelope.Signatures[1].KeyID = known[1].ID() // of another key
	claimed, _ := json.Marshal(envelope)

	for name, c := range map[string]struct {
		text      []byte
		threshold int
		known     []PublicKey
		want      error // nil: it opens
	}{
		"one of one":                {seal(keys[0]), 1, known[:1], nil},
		"two of three":              {seal(keys[0], keys[2]), 2, known, nil},
		"one of three":              {seal(keys[1]), 1, known, nil},
		"too few":                   {seal(keys[0]), 2, known, ErrNotAttested},
		"unknown key":               {seal(keys[2]), 1, known[:2], ErrNotAttested},
		"not signed":                {seal(), 1, known, ErrNotAttested},
		"one signature twice":       {twice, 2, known, ErrNotAttested},
		"one signature, two claims": {claimed, 2, known, ErrNotAttested},
		"other payload":             {[]byte(strings.Replace(string(seal(keys[0])), "cGF5bG9hZA==", "cGF5bG9hZB==", 1)), 1, known, nil}, // the same bits
		"changed payload":           {[]byte(strings.Replace(string(seal(keys[0])), "cGF5", "cGF6", 1)), 1, known, ErrNotAttested},
		"other type":                {[]byte(strings.Replace(string(seal(keys[0])), "in-toto", "in-tot0", 1)), 1, known, ErrPayloadType},
	} {
		payload, err := OpenSealed(c.text, PayloadInToto, c.threshold, c.known...)
		if !errors.Is(err, c.want) || err != nil && c.want == nil || err == nil && string(payload) != "payload" || err != nil && payload != nil {
			t.Errorf("%s: %q, %v: want %v", name, payload, err, c.want)
		}
	}
	for name, c := range map[string]struct {
		threshold int
		known     []PublicKey
	}{
		"threshold 0": {0, known}, "threshold -1": {-1, known}, "no keys": {1, nil}, "threshold above": {4, known},
		"key twice":         {1, []PublicKey{known[0], known[0]}},
		"key under two ids": {2, []PublicKey{known[0], {key: known[0].key, id: "other"}}},
	} {
		if payload, err := OpenSealed(seal(keys...), PayloadInToto, c.threshold, c.known...); err == nil || payload != nil {
			t.Errorf("%s: opened", name)
		}
	}
	if _, err := Seal(PayloadInToto, nil, keys[0], keys[0]); err == nil {
		t.Error("one key signs twice")
	}
}

func TestUnsignedEnvelopesHaveNoSignature(t *testing.T) {
	text, err := Seal(PayloadInToto, []byte("payload"))
	if err != nil || !strings.Contains(string(text), `"signatures":[]`) {
		t.Fatalf("%s, %v", text, err)
	}
	if payload, err := OpenUnsealed(text, PayloadInToto); err != nil || string(payload) != "payload" {
		t.Errorf("%q, %v", payload, err)
	}
	for _, bad := range []string{
		"", "{}", "null", string(text) + "{}", strings.Replace(string(text), `"payload":`, `"payload":"","payload":`, 1),
		strings.Replace(string(text), "cGF5", "c-_5=", 1), strings.Replace(string(text), "in-toto", "x", 1),
	} {
		if payload, err := OpenUnsealed([]byte(bad), PayloadInToto); err == nil {
			t.Errorf("%.80q opens as %q", bad, payload)
		}
	}
}

func FuzzOpenSealed(f *testing.F) {
	keys, known, _ := attestKeys(f, 1)
	good, err := Seal(PayloadInToto, []byte("payload"), keys...)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"payloadType":"application/vnd.in-toto+json","payload":"","signatures":[{"sig":""}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if payload, err := OpenSealed(text, PayloadInToto, 1, known...); err == nil && string(payload) != "payload" {
			t.Errorf("%q opens as %q", text, payload)
		}
	})
}

func TestEachKeyThatSignedAnEnvelopeIsToldOnce(t *testing.T) {
	private, public, _ := attestKeys(t, 4)
	both, err := Seal(PayloadInToto, []byte("{}"), private[0], private[2])
	if err != nil {
		t.Fatal(err)
	}
	var envelope sealed
	if err := json.Unmarshal(both, &envelope); err != nil {
		t.Fatal(err)
	}
	// The same signature again, and under the name of a key that is wanted.
	envelope.Signatures = append(envelope.Signatures, envelope.Signatures[0], envelope.Signatures[0])
	envelope.Signatures[3].KeyID = public[1].ID()
	again, err := json.Marshal(envelope)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range [][]byte{both, again} {
		payload, by, err := OpenSealedBy(text, PayloadInToto, public...)
		if err != nil || string(payload) != "{}" || len(by) != 2 || by[0].ID() != public[0].ID() || by[1].ID() != public[2].ID() {
			t.Errorf("payload %q by %v, %v", payload, by, err)
		}
	}
	if _, by, err := OpenSealedBy(again, PayloadInToto, public[1], public[3]); !errors.Is(err, ErrNotAttested) || by != nil {
		t.Errorf("signed by %v, %v: want nobody", by, err)
	}
	names, err := NamedSigners(again, PayloadInToto)
	if err != nil || len(names) != 4 || names[3] != public[1].ID() {
		t.Errorf("it names %v, %v", names, err)
	}
}

func TestPublicKeyInALineIsTheLineOfItsFile(t *testing.T) {
	_, public, paths := attestKeys(t, 1)
	out, err := exec.Command("openssl", "pkey", "-pubin", "-in", paths[0], "-outform", "DER").Output()
	if err != nil {
		t.Fatal(err)
	}
	line, err := public[0].MarshalText()
	if err != nil || string(line) != base64.StdEncoding.EncodeToString(out) {
		t.Errorf("line %s, %v: want what openssl says", line, err)
	}
	content, err := os.ReadFile(paths[0])
	if err != nil || strings.Split(string(content), "\n")[1] != string(line) {
		t.Errorf("the file has %s, %v", content, err)
	}
	var read PublicKey
	if err := read.UnmarshalText(line); err != nil || read.ID() != public[0].ID() {
		t.Errorf("read %s, %v", read.ID(), err)
	}
	rsa, err := exec.Command("sh", "-c", "openssl genrsa 2048 2>&- | openssl pkey -pubout -outform DER | base64 -w0").Output()
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"":                   "asn1",
		"-----BEGIN":         "want the line in a .pub file",
		string(line) + "\n ": "want the line in a .pub file",
		string(line[:40]):    "asn1",
		string(rsa):          "want ed25519",
	} {
		if err := read.UnmarshalText([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}
