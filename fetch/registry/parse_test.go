package registry

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
)

func TestChallengesAreReadAsServersWriteThem(t *testing.T) {
	for text, want := range map[string][]challenge{
		`Basic realm="a b"`:                    {{"basic", map[string]string{"realm": "a b"}}},
		`Bearer realm="https://r/t",service=x`: {{"bearer", map[string]string{"realm": "https://r/t", "service": "x"}}},
		`BEARER Realm = "a\"b" , scope="a,b"`:  {{"bearer", map[string]string{"realm": `a"b`, "scope": "a,b"}}},
		`Negotiate, Basic realm=x, Bearer realm=y`: {
			{"negotiate", map[string]string{}}, {"basic", map[string]string{"realm": "x"}}, {"bearer", map[string]string{"realm": "y"}},
		},
		`Bearer realm="open`: {{"bearer", map[string]string{"realm": "open"}}},
		``:                   nil,
		`,,=`:                nil,
		`"x"`:                nil,
	} {
		if got := parseChallenges(http.Header{"Www-Authenticate": {text}}); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v", text, got)
		}
	}
}

func FuzzChallenge(f *testing.F) {
	f.Add(`Negotiate, Basic realm=x, Bearer realm="y\"",service="a"`)
	f.Fuzz(func(t *testing.T, text string) {
		size := 0
		for _, c := range parseChallenge(text) {
			size += len(c.scheme)
			for key, value := range c.params {
				size += len(key) + len(value)
			}
		}
		if size > 4*len(text) { // lower case may take more bytes
			t.Errorf("%d bytes out of %d", size, len(text))
		}
	})
}

const layer = `{"mediaType":"application/vnd.proa.repository.file.v1","digest":"sha256:%064x","size":%d,"annotations":{"org.opencontainers.image.title":%q}}`

func manifest(layers ...string) string {
	return `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":"application/vnd.proa.repository.v1",` +
		`"config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2,"data":"e30="},` +
		`"annotations":{"a":"b"},"layers":[` + strings.Join(layers, ",") + `]}`
}

func TestManifestsOfRepositoriesAreRead(t *testing.T) {
	text := manifest(fmt.Sprintf(layer, 1, 10, "metadata/timestamp.json"), fmt.Sprintf(layer, 1, 10, "metadata/root.json"))
	_, files, err := ParseManifest([]byte(text))
	if err != nil || len(files) != 2 || files["metadata/root.json"].Size != 10 || files["metadata/root.json"].Digest[31] != 1 {
		t.Errorf("%v, %v", files, err)
	}
}

func TestOtherManifestsAreRefused(t *testing.T) {
	good := fmt.Sprintf(layer, 1, 10, "metadata/timestamp.json")
	for _, test := range []struct{ text, want string }{
		{manifest(), "no layers"},
		{manifest(good, good), "twice"},
		{manifest(fmt.Sprintf(layer, 0, 10, "metadata/x")), "no digest"},
		{manifest(fmt.Sprintf(layer, 1, 0, "metadata/x")), "0 bytes"},
		{manifest(fmt.Sprintf(layer, 1, -1, "metadata/x")), "-1 bytes"},
		{manifest(fmt.Sprintf(layer, 1, 1, "../metadata/x")), "path"},
		{manifest(fmt.Sprintf(layer, 1, 1, "metadata//x")), "path"},
		{manifest(fmt.Sprintf(layer, 1, 1, "keys/x")), "path"},
		{manifest(fmt.Sprintf(layer, 1, 1, "")), "path"},
		{manifest(strings.Replace(good, "sha256", "sha512", 1)), "sha512"},
		{manifest(strings.Replace(good, "file.v1", "file.v2", 1)), "file.v2"},
		{manifest(strings.Replace(good, `"size":10`, `"size":9223372036854775808`, 1)), "size"},
		{manifest(`"x"`), "layer 0"},
		{strings.Replace(manifest(), `"layers":[]`, `"layers":{}`, 1), "array"},
		{strings.Replace(manifest(), `"schemaVersion":2`, `"schemaVersion":1`, 1), "schemaVersion 1"},
		{strings.Replace(manifest(), `image.manifest`, `image.index`, 1), "no proa repository"},
		{strings.Replace(manifest(), `repository.v1`, `repository.v2`, 1), "no proa repository"},
		{manifest() + " x", "after top-level"},
		{manifest("\"\xff\""), "UTF-8"},
		{manifest(strings.Repeat("{},", FilesMost) + "{}"), "more than 16384 layers"},
		{manifest(good) + strings.Repeat(" ", ManifestMost), "more than 4194304 bytes"},
		{strings.Repeat("[", 20_000), "depth"},
	} {
		if _, _, err := ParseManifest([]byte(test.text)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%.200s: %v: want %q", test.text, err, test.want)
		}
	}
}

func FuzzManifest(f *testing.F) {
	f.Add([]byte(manifest(fmt.Sprintf(layer, 1, 10, "metadata/timestamp.json"), fmt.Sprintf(layer, 2, 20, "artifacts/ab/x"))))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, files, err := ParseManifest(text)
		if err != nil {
			return
		}
		if len(files) != len(m.Layers) {
			t.Fatalf("%d files of %d layers", len(files), len(m.Layers))
		}
		written, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if _, again, err := ParseManifest(written); err != nil || !reflect.DeepEqual(files, again) {
			t.Errorf("%v and again %v, %v", files, again, err)
		}
	})
}

func FuzzReference(f *testing.F) {
	f.Add("oci://[::1]:5000/a/b-c:V1.0_x-y")
	f.Fuzz(func(t *testing.T, text string) {
		ref, err := ParseReference(text)
		if err != nil {
			return
		}
		again, err := ParseReference(ref.String())
		if err != nil || again.String() != ref.String() {
			t.Errorf("%q reads as %q, %v", text, ref, err)
		}
		if u := ref.url("blobs", "x"); u.Path != "/v2/"+ref.Name+"/blobs/x" || strings.Contains(u.Path, "..") {
			t.Errorf("%q leads to %s", text, u)
		}
	})
}

func FuzzCredentials(f *testing.F) {
	ref := Reference{Host: "r", Name: "a/b"}
	f.Add([]byte(`{"auths":{"https://r/v1/":{"auth":"dTpw"},"r/a":{"username":"u","password":"p"}}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		found, err := findCredential(text, ref)
		if err != nil && found != nil {
			t.Errorf("%v and %v", found, err)
		}
	})
}
