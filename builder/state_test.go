package builder

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/proa-os/proa/manifests"
)

// put makes a file of the recipe's folder.
func put(t *testing.T, c Config, name, text string, mode os.FileMode) {
	t.Helper()
	path := filepath.Join(c.Folder, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

// TestTheStateDocumentTellsOfEtcAsItIsInTheImage compares with what fsck.erofs
// finds there.
func TestTheStateDocumentTellsOfEtcAsItIsInTheImage(t *testing.T) {
	c := config(t, "  - dir: overlay\nmigrations: [{to: 2, run: /usr/lib/test/2, reversible: true}]\n")
	put(t, c, "overlay/usr/lib/test/2", "#!/bin/sh\n", 0o755)
	put(t, c, "overlay/etc/test/key", "secret\n", 0o600)
	put(t, c, "overlay/etc/test.conf", "a\n", 0o644)
	put(t, c, "overlay/etc/bad\xff", "not UTF-8", 0o644)
	release, err := Build(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(c.Output, manifests.StateFile))
	if err != nil {
		t.Fatal(err)
	}
	if a, ok := release.Artifact(manifests.StateFile); !ok || a.Digest != manifests.DigestOf(text) {
		t.Errorf("the release lists %+v", a)
	}
	state, err := manifests.ParseState(text)
	if err != nil {
		t.Fatal(err)
	}
	if len(state.Migrations) != 1 || state.Migrations[0].Run != "/usr/lib/test/2" {
		t.Errorf("migrations %+v", state.Migrations)
	}
	root := filepath.Join(t.TempDir(), "root")
	run(t, "fsck.erofs", "--extract="+root, filepath.Join(c.Output, manifests.RootFile))
	if inside, err := os.ReadFile(filepath.Join(root, manifests.StatePath)); err != nil || string(inside) != string(text) {
		t.Errorf("the image has another state.json: %v", err)
	}
	if text, err := os.ReadFile(filepath.Join(root, manifests.VarFormatPath)); err != nil || string(text) != "{\"schema\":1,\"format\":2}\n" {
		t.Errorf("/var of the image: %q, %v", text, err)
	}
	found := 0
	err = filepath.WalkDir(filepath.Join(root, "etc"), func(path string, d fs.DirEntry, err error) error {
		name := strings.TrimPrefix(path, root+"/")
		if err != nil || name == "etc" || strings.Contains(name, "\xff") {
			return err
		}
		found++
		info, err := d.Info()
		if err != nil {
			return err
		}
		got, _ := state.Entry(name)
		want := manifests.EtcEntry{Path: name, Mode: fmt.Sprintf("%04o", info.Mode().Perm()), UID: got.UID, GID: got.GID}
		switch {
		case d.IsDir():
			want.Folder = true
		case d.Type() == fs.ModeSymlink:
			want.Link, err = os.Readlink(path)
		default:
			var content []byte
			content, err = os.ReadFile(path)
			want.File = manifests.DigestOf(content)
		}
		if got != want {
			t.Errorf("%s is %+v: want %+v", name, got, want)
		}
		return err
	})
	if err != nil || found != len(state.Etc) || found < 8 {
		t.Errorf("%d names in /etc, %d in the document, %v", found, len(state.Etc), err)
	}
}

func TestAMigrationThatIsNotInTheImageIsRefused(t *testing.T) {
	for _, mode := range []os.FileMode{0, 0o644} {
		c := config(t, "  - dir: overlay\nmigrations: [{to: 2, run: /usr/lib/test/2}]\n")
		put(t, c, "overlay/usr/lib/test/other", "", 0o755)
		if mode != 0 {
			put(t, c, "overlay/usr/lib/test/2", "", mode)
		}
		if _, err := Build(t.Context(), c); err == nil || !strings.Contains(err.Error(), "migrations[0]: /usr/lib/test/2: want an executable file in the image") {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
}
