package manifests

import (
	"encoding/json"
	"strings"
	"testing"
)

const goodExtensions = `{"schema": 1, "product": "edge", "version": "1.2", "arch": "amd64",
  "extensions": [
    {"name": "debug", "kind": "sysext", "version": "3", "size": 4096, "digest": "sha256:` + hex64 + `", "rootHash": "` + hex64 + `"},
    {"name": "site", "kind": "confext", "version": "1.2", "size": 8192, "digest": "sha256:` + hex64 + `", "rootHash": "` + hex64 + `"}
  ]}`

func TestExtensionsAreRead(t *testing.T) {
	e, err := ParseExtensions([]byte(goodExtensions))
	if err != nil {
		t.Fatal(err)
	}
	x, ok := e.Find("site")
	if !ok || x.Image() != "site.confext.raw" || x.SBOM() != "site.confext.spdx.json" || x.Size != 8192 {
		t.Errorf("site is %+v, %v", x, ok)
	}
	for _, name := range []string{x.Image(), x.SBOM(), ExtensionsFile} {
		if err := CheckName("artifact", name); err != nil || !IsOfExtensions(name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if IsOfExtensions(DiskFile) || IsOfExtensions(SBOMFile) {
		t.Error("files of the release itself pass for an extension's")
	}
}

func TestTheLongestExtensionNameIsStillAnArtifact(t *testing.T) {
	name := strings.Repeat("x", extensionNameMost)
	if err := CheckExtensionName(name); err != nil {
		t.Fatal(err)
	}
	if err := CheckExtensionName(name + "x"); err == nil {
		t.Error("a longer name is accepted")
	}
	if err := CheckName("artifact", (Extension{Name: name, Kind: Confext}).SBOM()); err != nil {
		t.Error(err)
	}
}

func TestExtensionsRefuseWhatIsWrong(t *testing.T) {
	for _, c := range []struct{ old, new, want string }{
		{`"site"`, `"debug"`, "debug after debug"},
		{`"site"`, `"../site"`, "want 1 to 64 of"},
		{`"confext"`, `"portable"`, `kind "portable": want sysext or confext`},
		{`"kind": "sysext", `, ``, "kind is missing"},
		{`"size": 4096`, `"size": 0`, "debug of 0 bytes"},
		{`"rootHash": "` + hex64, `"rootHash": "` + hex64[2:], "root hash of 31 bytes"},
		{`"product": "edge"`, `"product": ""`, "product"},
		{`"schema": 1`, `"schema": 2`, "schema 2"},
		{`"version": "3"`, `"version": "3", "more": 1`, "more"},
	} {
		text := strings.Replace(goodExtensions, c.old, c.new, 1)
		if text == goodExtensions {
			t.Fatalf("%q is not in the document", c.old)
		}
		if _, err := ParseExtensions([]byte(text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s in place of %s: %v: want %q", c.new, c.old, err, c.want)
		}
	}
	if _, err := ParseExtensions([]byte(`{"schema":1,"product":"edge","version":"1","arch":"amd64","extensions":[]}`)); err == nil {
		t.Error("a document about none is accepted")
	}
}

func TestExtensionsBelongToOneReleaseAlone(t *testing.T) {
	e, err := ParseExtensions([]byte(goodExtensions))
	if err != nil {
		t.Fatal(err)
	}
	release := func() Release {
		return Release{Product: "edge", Version: "1.2", Arch: AMD64, Artifacts: []Artifact{
			{Name: "debug.sysext.raw", Size: 4096, Digest: e.Extensions[0].Digest},
			{Name: "site.confext.raw", Size: 8192, Digest: e.Extensions[1].Digest},
		}}
	}
	if err := e.CheckAgainst(release()); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*Release){
		"want edge 1.3 on amd64":              func(r *Release) { r.Version = "1.3" },
		"want other 1.2 on amd64":             func(r *Release) { r.Product = "other" },
		"want edge 1.2 on arm64":              func(r *Release) { r.Arch = ARM64 },
		"has no artifact site.confext.raw":    func(r *Release) { r.Artifacts = r.Artifacts[:1] },
		"extension debug: 4096 bytes":         func(r *Release) { r.Artifacts[0].Digest[0]++ },
		"and the release lists 8193 with sha": func(r *Release) { r.Artifacts[1].Size++ },
	} {
		r := release()
		change(&r)
		if err := e.CheckAgainst(r); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: want %q", err, want)
		}
	}
}

const goodBuilt = `{"schema": 1, "name": "debug", "kind": "sysext", "version": "3", "size": 4096, "digest": "sha256:` + hex64 + `", "rootHash": "` + hex64 + `",
  "arch": "amd64", "epoch": 1, "fits": {"id": "debian", "versionId": "12"},
  "artifacts": [{"name": "debug.sysext.raw", "size": 4096, "digest": "sha256:` + hex64 + `"}]}`

func TestABuiltExtensionIsRead(t *testing.T) {
	if b, err := ParseBuiltExtension([]byte(goodBuilt)); err != nil || b.Fits.VersionID != "12" {
		t.Fatal(b, err)
	}
	for _, c := range []struct{ old, new, want string }{
		{`"artifacts": [{"name": "debug.sysext.raw", "size": 4096`, `"artifacts": [{"name": "debug.sysext.raw", "size": 4097`, "without debug.sysext.raw of 4096 bytes"},
		{`"id": "debian", `, `"id": "", `, "no id"},
		{`"debian"`, `"deb ian"`, "printable ASCII"},
		{`, "versionId": "12"`, ``, "without versionId and level"},
		{`"amd64"`, `"sparc"`, "sparc"},
	} {
		text := strings.Replace(goodBuilt, c.old, c.new, 1)
		if text == goodBuilt {
			t.Fatalf("%q is not in the document", c.old)
		}
		if _, err := ParseBuiltExtension([]byte(text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s in place of %s: %v: want %q", c.new, c.old, err, c.want)
		}
	}
}

func FuzzParseExtensions(f *testing.F) {
	f.Add([]byte(goodExtensions))
	f.Add([]byte(goodBuilt))
	f.Fuzz(func(t *testing.T, data []byte) {
		if e, err := ParseExtensions(data); err == nil {
			text, err := json.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := ParseExtensions(text); err != nil {
				t.Errorf("%q: read, but %q is not: %v", data, text, err)
			}
		}
		if b, err := ParseBuiltExtension(data); err == nil {
			for _, a := range b.Artifacts {
				if strings.ContainsAny(a.Name, "/\x00") || strings.HasPrefix(a.Name, ".") {
					t.Errorf("%q is an artifact", a.Name)
				}
			}
		}
	})
}
