package manifests

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
)

const hex64 = "3b1f8c9d5e7a2046b8d0c1e2f3a4958677665544332211009988aabbccddeeff"

const goodRelease = `{
  "schema": 1, "product": "demo", "version": "1.2.0", "arch": "amd64", "epoch": 1700000000, "securityEpoch": 3,
  "root": {"hash": "` + hex64 + `", "salt": "` + hex64 + `", "blocks": 1025},
  "artifacts": [
    {"name": "root.erofs", "size": 4198400, "digest": "sha256:` + hex64 + `"},
    {"name": "uki.efi", "size": 12, "digest": "sha256:` + hex64 + `"}
  ]
}`

const goodTransport = `{
  "schema": 2, "release": "sha256:` + hex64 + `",
  "root": {"size": 900, "digest": "sha256:` + hex64 + `"},
  "index": {"size": 70, "digest": "sha256:` + hex64 + `"},
  "uki": {"size": 12, "digest": "sha256:` + hex64 + `", "parts": [
    {"size": 5, "digest": "sha256:` + hex64 + `", "root": -1},
    {"size": 7, "digest": "sha256:` + hex64 + `", "root": 4096}
  ]},
  "deltas": [
    {"base": "` + hex64 + `", "version": "1.1.0", "size": 300, "digest": "sha256:` + hex64 + `",
     "header": {"size": 20, "digest": "sha256:` + hex64 + `"}},
    {"base": "` + hex64 + `", "version": "1.0.0", "size": 400, "digest": "sha256:` + hex64 + `",
     "header": {"size": 30, "digest": "sha256:` + hex64 + `"}}
  ]
}`

const goodChannel = `{"schema": 1, "product": "demo", "arch": "amd64", "name": "stable", "version": "1.2.0", "release": "sha256:` + hex64 + `"}`

func TestParsersReadWhatIsRight(t *testing.T) {
	release, err := ParseRelease([]byte(goodRelease))
	if err != nil {
		t.Fatal(err)
	}
	if a, ok := release.Artifact(UKIFile); !ok || a.Size != 12 || release.SecurityEpoch != 3 || release.Root.Blocks != 1025 {
		t.Errorf("release %+v", release)
	}
	transport, err := ParseTransport([]byte(goodTransport))
	if err != nil {
		t.Fatal(err)
	}
	if transport.Root.Size != 900 || transport.Index.Size != 70 || transport.UKI.Size != 12 || transport.UKI.Parts[1].Root != 4096 ||
		transport.Deltas[1].Size != 400 || transport.Deltas[0].Header.Size != 20 {
		t.Errorf("transport %+v", transport)
	}
	if err := transport.CheckAgainst(release, transport.Release); err != nil {
		t.Error(err)
	}
	channel, err := ParseChannel([]byte(goodChannel))
	if err != nil || channel.Name != "stable" || channel.Version != "1.2.0" {
		t.Errorf("channel %+v: %v", channel, err)
	}
}

func TestParsersRefuseWhatIsWrong(t *testing.T) {
	release := func(data []byte) error { _, err := ParseRelease(data); return err }
	transport := func(data []byte) error { _, err := ParseTransport(data); return err }
	channel := func(data []byte) error { _, err := ParseChannel(data); return err }
	for _, test := range []struct {
		parse    func([]byte) error
		good     string
		old, new string
		want     string
	}{
		{release, goodRelease, `"schema": 1`, `"schema": 2`, "schema 2"},
		{release, goodRelease, `"schema": 1, `, ``, "schema 0"},
		{release, goodRelease, `"schema": 1`, `"schema": 1, "extra": 1`, "extra"},
		{release, goodRelease, `"schema": 1`, `"schema": 1, "Schema": 1`, "twice"},
		{release, goodRelease, `"schema": 1`, `"schema": null`, "null"},
		{release, goodRelease, `"demo"`, `"../demo"`, "product"},
		{release, goodRelease, `"demo"`, `""`, "product"},
		{release, goodRelease, `"1.2.0"`, `"1/2"`, "version"},
		{release, goodRelease, `"version": "1.2.0", `, ``, "version is missing"},
		{release, goodRelease, `"amd64"`, `"vax"`, "architecture"},
		{release, goodRelease, `"arch": "amd64", `, ``, "arch is missing"},
		{release, goodRelease, `1700000000`, `-1`, "epoch"},
		{release, goodRelease, `1700000000`, `1e9`, "integer"},
		{release, goodRelease, `"securityEpoch": 3`, `"securityEpoch": -3`, "securityEpoch"},
		{release, goodRelease, `"hash": "3b`, `"hash": "`, "root hash of 31"},
		{release, goodRelease, `"salt": "3b`, `"salt": "`, "salt of 31"},
		{release, goodRelease, `"blocks": 1025`, `"blocks": 0`, "blocks"},
		{release, goodRelease, `"blocks": 1025`, `"blocks": 4294967297`, "blocks"},
		{release, goodRelease, `"blocks": 1025`, `"blocks": 1024`, "want the 1024 blocks"},
		{release, goodRelease, `"size": 12`, `"size": -12`, "uki.efi of -12"},
		{release, goodRelease, `"uki.efi"`, `"root.erofs"`, "each once"},
		{release, goodRelease, `"uki.efi"`, `"a.efi"`, "sorted"},
		{release, goodRelease, `"uki.efi"`, `"vki.efi"`, "no artifact uki.efi"},
		{release, goodRelease, `"uki.efi"`, `"uki/../x"`, "artifact"},
		{release, goodRelease, `"sha256:`, `"sha512:`, "digest"},
		{release, goodRelease, `}`, `}}`, "JSON"},
		{transport, goodTransport, `"schema": 2`, `"schema": 1`, "schema 1"},
		{transport, goodTransport, `"size": 900`, `"size": -1`, "root of -1"},
		{transport, goodTransport, `"size": 900, `, ``, "root.size is missing"},
		{transport, goodTransport, `"index": {`, `"Index": {`, "spelling"},
		{transport, goodTransport, `"size": 70`, `"size": 0`, "index of 0"},
		{transport, goodTransport, `"size": 70`, `"size": 8388609`, "index of 8388609"},
		{transport, goodTransport, `"size": 12`, `"size": 13`, "leave 1 bytes out"},
		{transport, goodTransport, `"size": 12`, `"size": 11`, "part 1 of the uki has 7 bytes"},
		{transport, goodTransport, `"size": 5`, `"size": 0`, "part 0 of the uki has 0 bytes"},
		{transport, goodTransport, `"size": 5`, `"size": -5`, "part 0 of the uki has -5 bytes"},
		{transport, goodTransport, `"size": 5`, `"size": 999999999999999`, "part 0 of the uki"},
		{transport, goodTransport, `"root": -1`, `"root": -2`, "at -2 of the root image"},
		{transport, goodTransport, `, "root": -1`, ``, "uki.parts.0.root is missing"},
		{transport, goodTransport, `"parts": [`, `"parts": [` + strings.Repeat(`{"size": 1, "digest": "sha256:`+hex64+`", "root": -1},`, 63), "65 parts"},
		{transport, goodTransport, `"base": "3b`, `"base": "`, "base of 31"},
		{transport, goodTransport, `"1.0.0"`, `"1.1.0"`, "newest first"},
		{transport, goodTransport, `"1.0.0"`, `"1/1"`, "version"},
		{transport, goodTransport, `"size": 300`, `"size": 19`, "delta 0: header of 20"},
		{transport, goodTransport, `"size": 20`, `"size": 0`, "delta 0: header of 0"},
		{transport, goodTransport, `"size": 300`, `"size": -300`, "delta 0: file of -300"},
		{release, goodRelease, `, "securityEpoch": 3`, ``, "securityEpoch is missing"},
		{release, goodRelease, `"hash": "3b1f`, `"hash": "3B1F`, "root.hash"},
		{channel, goodChannel, `"stable"`, `"a/b"`, "channel"},
		{channel, goodChannel, `, "release": "sha256:` + hex64 + `"`, ``, "release is missing"},
		{channel, goodChannel, `3b1f`, `3B1F`, "lower-case"},
	} {
		if !strings.Contains(test.good, test.old) {
			t.Fatalf("%q is not in the good text", test.old)
		}
		err := test.parse([]byte(strings.Replace(test.good, test.old, test.new, 1)))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s → %s: %v, want %q", test.old, test.new, err, test.want)
		}
	}
}

func TestTransportOfAnotherReleaseIsRefused(t *testing.T) {
	release, _ := ParseRelease([]byte(goodRelease))
	good, _ := ParseTransport([]byte(goodTransport))
	parts := func(root int64) []UKIPart { return []UKIPart{{Size: 5, Root: -1}, {Size: 7, Root: root}} }
	for _, test := range []struct {
		want   string
		change func(*Transport)
	}{
		{"for release", func(t *Transport) { t.Release[0] ^= 1 }},
		{"part 1 of the uki at 4198394", func(t *Transport) { t.UKI.Parts = parts(1025*BlockSize - 6) }},
		{"part 1 of the uki at 9223372036854775807", func(t *Transport) { t.UKI.Parts = parts(math.MaxInt64) }},
		{"delta of version 1.2.0", func(t *Transport) { t.Deltas = []Delta{{Version: "1.2.0"}} }},
		{"uki", func(t *Transport) { t.UKI.Digest[0] ^= 1 }},
		{"uki", func(t *Transport) { t.UKI.Size++ }},
	} {
		transport := good
		test.change(&transport)
		if err := transport.CheckAgainst(release, good.Release); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v, want %q", err, test.want)
		}
	}
}

func TestStrictJSONRefusesWhatParsersReadDifferently(t *testing.T) {
	for text, want := range map[string]string{
		``:                            "unexpected end",
		`{} {}`:                       "after top-level",
		`{"a":1,"a":2}`:               "twice",
		`{"a":1,"A":2}`:               "twice",
		`{"k":1,"K":2}`:               "twice",
		`{"s":1,"ſ":2}`:               "twice",
		`{"a":1,"\u0061":2}`:          "twice",
		`{"x":{"a":[{"b":1,"b":1}]}}`: "twice",
		`[null]`:                      "null",
		"\"\xff\"":                    "UTF-8",
		`[1.0]`:                       "integer",
		`[1e3]`:                       "integer",
		`[-0]`:                        "integer",
		`[1000000000000000]`:          "15 digits",
		`[01]`:                        "invalid",
		"\ufeff{}":                    "invalid",
		strings.Repeat("[", 40) + strings.Repeat("]", 40):           "nested",
		strings.Repeat("[", 20000) + strings.Repeat("]", 20000):     "depth",
		strings.Repeat(`{"a":`, 33) + "1" + strings.Repeat("}", 33): "nested",
		`"` + strings.Repeat("x", 100_000) + `"`:                    "at most",
	} {
		if err := CheckJSON([]byte(text), 90_000); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: %v, want %q", text, err, want)
		}
	}
	for _, text := range []string{`{}`, `[]`, `""`, `-1`, ` {"a":{"a":1},"b":[{"a":1},{"a":1}],"c":true} `, `999999999999999`} {
		if err := CheckJSON([]byte(text), 90_000); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// Whatever a parser accepts must keep its promises and survive being written
// and read again.
func fuzzParser[T any](f *testing.F, seed string, parse func([]byte) (T, error)) {
	f.Add([]byte(seed))
	f.Add([]byte(goodRelease))
	f.Add([]byte(`{"schema":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		value, err := parse(data)
		if err != nil {
			return
		}
		text, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		again, err := parse(text)
		if err != nil {
			t.Fatalf("%s: written as %s: %v", data, text, err)
		}
		if twice, _ := json.Marshal(again); string(twice) != string(text) {
			t.Fatalf("%s becomes %s", text, twice)
		}
	})
}

func FuzzParseRelease(f *testing.F)   { fuzzParser(f, goodRelease, ParseRelease) }
func FuzzParseTransport(f *testing.F) { fuzzParser(f, goodTransport, ParseTransport) }
func FuzzParseChannel(f *testing.F)   { fuzzParser(f, goodChannel, ParseChannel) }

// What CheckJSON accepts means the same to encoding/json in a struct and in a
// map.
func FuzzCheckJSON(f *testing.F) {
	for _, seed := range []string{goodRelease, `{"version":1,"Version":2}`, `{"VERSION":7}`, `[1e5,-0]`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if CheckJSON(data, 1<<16) != nil {
			return
		}
		var fields map[string]json.RawMessage
		var head struct{ Version json.RawMessage }
		if json.Unmarshal(data, &fields) != nil || json.Unmarshal(data, &head) != nil {
			return
		}
		matches := 0
		for key, value := range fields {
			if strings.EqualFold(key, "version") {
				matches++
				if string(value) != string(head.Version) {
					t.Fatalf("%s: version is %s or %s", data, value, head.Version)
				}
			}
		}
		if matches > 1 {
			t.Fatalf("%s: %d versions", data, matches)
		}
	})
}
