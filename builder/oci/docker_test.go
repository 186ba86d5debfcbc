package oci_test

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/proa-os/proa/builder/oci"
	"github.com/proa-os/proa/builder/tarball/tartest"
)

func TestDockerArchivesThatMakeNoSenseAreRefused(t *testing.T) {
	layer := tartest.Archive(file("a", "1"))
	config := fmt.Sprintf(`{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:%x"]}}`, sha256.Sum256(layer))
	name := fmt.Sprintf("%x.json", sha256.Sum256([]byte(config)))
	manifest := func(config, layers string) tartest.Part {
		return file("manifest.json", fmt.Sprintf(`[{"Config":%q,"RepoTags":["a:b"],"Layers":[%s]}]`, config, layers))
	}
	for _, c := range []struct {
		message string
		parts   parts
	}{
		{"", parts{manifest(name, `"l.tar"`), file(name, config), file("l.tar", string(layer))}},
		{"", parts{manifest(name, `"l/layer.tar"`), file(name, config), file("m/layer.tar", string(layer)), symlink("l/layer.tar", "../m/layer.tar")}},
		{"want sha256:", parts{manifest(name, `"l.tar"`), file(name, config+" "), file("l.tar", string(layer))}},
		{"want sha256:", parts{manifest(name, `"l.tar"`), file(name, config), file("l.tar", string(layer)+"more")}},
		{"want a SHA-256 as its name", parts{manifest("config.json", `"l.tar"`), file("config.json", config), file("l.tar", string(layer))}},
		{"file does not exist", parts{manifest(name, `"../../etc/passwd"`), file(name, config)}},
		{"file does not exist", parts{manifest(name, `"l.tar"`), file(name, config), symlink("l.tar", "l.tar")}},
		{"a directory, want a file", parts{manifest(name, `"l"`), file(name, config), dir("l")}},
		{"2 layers", parts{manifest(name, `"l.tar","l.tar"`), file(name, config), file("l.tar", string(layer))}},
		{"parsing manifest.json", parts{file("manifest.json", "[{]")}},
		{"holds no image", parts{file("manifest.json", "[]")}},
	} {
		path := filepath.Join(t.TempDir(), "docker.tar")
		if err := os.WriteFile(path, tartest.Archive(c.parts...), 0o644); err != nil {
			t.Fatal(err)
		}
		got, err := add(t, nil, oci.Config{Path: path})
		if c.message == "" {
			check(t, "good", got, err, `a file 0644 0:0 "1"`)
			continue
		}
		wantError(t, c.message, err, c.message)
	}
}
