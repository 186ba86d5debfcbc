package manifests

import (
	"strings"
	"testing"
)

const goodLock = `{"schema": 1, "inputs": [
 {"source": "oci registry.example/base:12", "arch": "amd64", "asked": "sha256:` + hex64 + `",
  "image": {"reference": "registry.example/base:12", "index": "sha256:` + hex64 + `",
   "manifest": {"mediaType": "m", "size": 10, "digest": "sha256:` + hex64 + `"},
   "config": {"mediaType": "c", "size": 10, "digest": "sha256:` + hex64 + `"},
   "layers": [{"mediaType": "l", "size": 10, "digest": "sha256:` + hex64 + `"}]}},
 {"source": "deb packages", "arch": "amd64", "asked": "sha256:` + hex64 + `",
  "repositories": [{"url": "http://deb.example", "suite": "s", "revision": "r", "digest": "sha256:` + hex64 + `"}],
  "packages": [{"name": "a", "version": "1:2-3", "arch": "all", "url": "http://deb.example/a.deb", "size": 7, "digest": "sha256:` + hex64 + `", "repository": "http://deb.example", "named": true}]},
 {"source": "tar root.tar", "path": "root.tar", "arch": "amd64", "asked": "sha256:` + hex64 + `", "file": {"size": 7, "digest": "sha256:` + hex64 + `"}}
], "previous": [{"arch": "amd64", "version": "1.0.0", "map": {"size": 9, "digest": "sha256:` + hex64 + `"}}]}`

func TestALockIsReadAsItWasWritten(t *testing.T) {
	lock, err := ParseLock([]byte(goodLock))
	if err != nil {
		t.Fatal(err)
	}
	text, err := lock.Encode()
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseLock(text)
	if err != nil || len(again.Inputs) != 3 {
		t.Fatalf("%v, %d inputs: want 3", err, len(again.Inputs))
	}
	asked := again.Inputs[1].Asked
	if in, ok := again.Find("deb packages", AMD64, asked); !ok || in.Packages[0].Version != "1:2-3" || !in.Packages[0].Named || in.Packages[0].Repository != "http://deb.example" {
		t.Errorf("found %+v, %v", in, ok)
	}
	if _, ok := again.Find("deb packages", ARM64, asked); ok {
		t.Error("an input of another architecture is found")
	}
	if p, ok := again.PreviousOf(AMD64); !ok || p.Version != "1.0.0" || p.Map.Size != 9 {
		t.Errorf("previous release %+v, %v", p, ok)
	}
	if _, ok := again.WithPrevious(LockedPrevious{Arch: ARM64}).WithoutPrevious(AMD64).PreviousOf(AMD64); ok || len(again.Previous) != 1 {
		t.Error("a previous release stays, or is taken from the lock itself")
	}
	asked[0] ^= 1
	if _, ok := again.Find("deb packages", AMD64, asked); ok {
		t.Error("an input that answers another question is found")
	}
}

func TestAFaultyLockIsRefused(t *testing.T) {
	for _, test := range []struct{ old, new, want string }{
		{`"schema": 1`, `"schema": 2`, "schema 2"},
		{`"size": 7, "digest"`, `"size": 0, "digest"`, "package a of 0 bytes"},
		{`"file": {"size": 7`, `"file": {"size": -7`, "file of -7 bytes"},
		{`"name": "a", `, `"name": "", `, "packages[0]: want name"},
		{`"arch": "all"`, `"arch": ""`, "packages[0]: want name"},
		{`"arch": "amd64", "asked"`, `"arch": "mips", "asked"`, `architecture "mips"`},
		{`"layers": [{"mediaType": "l", "size": 10, "digest": "sha256:` + hex64 + `"}]`, `"layers": []`, "image of 0 layers"},
		{`"mediaType": "c"`, `"mediaType": ""`, "want a media type"},
		{`"url": "http://deb.example", `, `"url": "", `, "repositories[0]: want a url"},
		{`"repository": "http://deb.example"`, `"repository": "http://other.example"`, `package a: repository "http://other.example"`},
		{`"path": "root.tar", `, ``, `path "": want that of the source`},
		{`"path": "root.tar"`, `"path": "other.tar"`, `path "other.tar": want that of the source`},
		{`"source": "deb packages", `, `"source": "deb packages", "path": "x", `, `path "x": want that of the source`},
		{`"source": "tar root.tar"`, `"source": ""`, "want a source"},
		{`"source": "tar root.tar"`, `"source": "dir root.tar"`, "want a file for what is on this machine"},
		{`"source": "tar root.tar"`, `"source": "deb packages"`, "want a file for what is on this machine"},
		{`"source": "tar root.tar"`, `"source": "oci registry.example/base:12"`, "want an image for what is in a registry"},
		{`"source": "oci registry.example/base:12"`, `"source": "oci base.tar"`, "want an image for what is in a registry"},
		{`"source": "deb packages"`, `"source": "packages"`, "want packages for deb and rpm"},
		{`, "file": {"size": 7, "digest": "sha256:` + hex64 + `"}`, ``, "exactly one of file, image and packages"},
		{`"file": {`, `"surprise": 1, "file": {`, "surprise"},
		{`"version": "1.0.0"`, `"version": "-"`, `version "-"`},
		{`"arch": "amd64", "version"`, `"arch": "mips", "version"`, `architecture "mips"`},
		{`"size": 9`, `"size": 0`, "want the size"},
		{`"previous": [`, `"previous": [{"arch": "arm64", "version": "1", "map": {"size": 9, "digest": "sha256:` + hex64 + `"}}, `, "amd64 after arm64"},
	} {
		if !strings.Contains(goodLock, test.old) {
			t.Fatalf("%q is not in the good text", test.old)
		}
		_, err := ParseLock([]byte(strings.Replace(goodLock, test.old, test.new, 1)))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s → %s: %v, want %q", test.old, test.new, err, test.want)
		}
	}
}

func FuzzParseLock(f *testing.F) { fuzzParser(f, goodLock, ParseLock) }
