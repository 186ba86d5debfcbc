package main

import (
	"context"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/repository"
	"github.com/proa-os/proa/signing"
)

// keyWorld is the folder that the how-tos about keys begin in: a repository with
// 20 roots, two of three holders of which must sign, and the trusted folders of
// hosts that saw it at roots 20, 16 and 1.
type keyWorld struct{ folder string }

const rootsBefore = 20

// hostsBehind says at which root a host stopped, by how many it then is behind the
// next.
var hostsBehind = map[string]int64{"1 root behind": rootsBefore, "5 roots behind": rootsBefore - 4, "20 roots behind": 1}

func newKeyWorld(t *testing.T) keyWorld {
	t.Helper()
	w := keyWorld{t.TempDir()}
	ctx := context.Background()
	w.run(t, `for holder in ann bob eve; do proa key new -o $holder.pem; done
proa key new --role targets,snapshot,timestamp -o keys
proa repo root init --add-key root=ann.pub --add-key root=bob.pub --add-key root=eve.pub --threshold root=2 \
  --add-key targets=keys/targets.pub --add-key snapshot=keys/snapshot.pub --add-key timestamp=keys/timestamp.pub -o first.json
proa repo root sign first.json --key ann.pem --key bob.pem
proa repo init repo --root first.json
rm first.json`)
	keys, err := signing.LoadKeys(filepath.Join(w.folder, "keys"))
	if err != nil {
		t.Fatal(err)
	}
	for n := int64(1); ; n++ {
		for name, at := range hostsBehind {
			if at == n {
				w.mustFollow(t, name, n)
			}
		}
		if n == rootsBefore {
			return w
		}
		before, err := os.ReadFile(filepath.Join(w.folder, "repo/metadata/root.json"))
		if err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		draft, err := signing.NextRoot(before, signing.RootChange{Expires: now.Add(24 * time.Hour * time.Duration(300+n))}, now)
		if err != nil {
			t.Fatal(err)
		}
		for _, holder := range []string{"ann.pem", "bob.pem"} {
			key, err := signing.ReadKeyFile(filepath.Join(w.folder, holder))
			if err == nil {
				err = draft.Sign(key)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		content, err := draft.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		config := repository.Config{Dir: filepath.Join(w.folder, "repo"), Keys: keys}
		if _, err := repository.PublishRoot(ctx, repository.RootConfig{Config: config, Copies: [][]byte{content}}); err != nil {
			t.Fatal(err)
		}
	}
}

func (w keyWorld) copy(t *testing.T) keyWorld {
	t.Helper()
	folder := t.TempDir()
	if out, err := exec.Command("cp", "-a", w.folder+"/.", folder).CombinedOutput(); err != nil { // keys stay 0600
		t.Fatalf("cp: %v: %s", err, out)
	}
	return keyWorld{folder}
}

func (w keyWorld) run(t *testing.T, script string) {
	t.Helper()
	cmd := exec.Command("sh", "-eux")
	cmd.Dir, cmd.Stdin = w.folder, strings.NewReader(script)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// follow is one refresh of a host with what the world's folder of the given name
// serves.
func (w keyWorld) follow(t *testing.T, name, served string) error {
	t.Helper()
	_, err := w.refresh(t, name, served, "repo/metadata/1.root.json")
	return err
}

// refresh is follow, of a host whose image has the given root.
func (w keyWorld) refresh(t *testing.T, name, served, root string) (*signing.Client, error) {
	t.Helper()
	handler, err := repository.Handler(filepath.Join(w.folder, served))
	if err != nil {
		t.Fatal(err)
	}
	defer handler.Close()
	server := httptest.NewServer(handler)
	defer server.Close()
	baked, err := os.ReadFile(filepath.Join(w.folder, root))
	if err != nil {
		t.Fatal(err)
	}
	client, err := signing.OpenClient(signing.Config{URL: server.URL, Dir: filepath.Join(w.folder, "hosts", name), Root: baked})
	if err != nil {
		t.Fatal(err)
	}
	return client, client.Refresh(context.Background())
}

// mustFollow refreshes a host and demands that it then trusts the given root.
func (w keyWorld) mustFollow(t *testing.T, name string, version int64) {
	t.Helper()
	if err := w.follow(t, name, "repo"); err != nil {
		t.Fatalf("host %s: %v", name, err)
	}
	content, err := os.ReadFile(filepath.Join(w.folder, "hosts", name, "root.json"))
	if err != nil {
		t.Fatal(err)
	}
	root, err := signing.ReadRootDraft(content, nil)
	if err != nil || root.Version() != version {
		t.Fatalf("host %s trusts root %d (%v), want %d", name, root.Version(), err, version)
	}
}

// steps are all commands of a section of a how-to.
func steps(t *testing.T, document, section string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("../../docs/how-to", document))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(content), "\n## "+section+"\n")
	rest, _, _ = strings.Cut(rest, "\n## ")
	var script strings.Builder
	for {
		_, block, fenced := strings.Cut(rest, "\n```sh\n")
		commands, after, ends := strings.Cut(block, "\n```\n")
		if !fenced || !ends {
			break
		}
		script.WriteString(commands + "\n")
		rest = after
	}
	if !found || script.Len() == 0 {
		t.Fatalf("%s has no section %q with commands", document, section)
	}
	return script.String()
}

// TestHowTosAboutKeysAreTrue runs the commands of each section in a world of its
// own, after which every host follows, however far behind it is.
func TestHowTosAboutKeysAreTrue(t *testing.T) {
	t.Parallel()
	base := newKeyWorld(t)
	for _, section := range []struct {
		document, name string
		before         func(t *testing.T, w keyWorld) // what went wrong
	}{
		{"rotate-keys.md", "Another key for targets", nil},
		{"rotate-keys.md", "Another holder of a root key", nil},
		{"rotate-keys.md", "Keys were stolen", fastForward},
		{"rotate-keys.md", "Renew the root, and refresh from cron", nil},
		{"recover-from-lost-keys.md", "Lost: keys of targets, snapshot or timestamp", nil},
		{"recover-from-lost-keys.md", "Lost: a root key, and enough are left", nil},
		{"recover-from-lost-keys.md", "Everything has expired", nil}, // with what had expired: package repository
	} {
		t.Run(section.name, func(t *testing.T) {
			w := base.copy(t)
			if section.before != nil {
				section.before(t, w)
			}
			w.run(t, steps(t, section.document, section.name))
			for name := range hostsBehind {
				w.mustFollow(t, name, rootsBefore+1)
			}
		})
	}
}

// TestHostsLeaveARepositoryWhoseRootKeysAreLost goes with hosts the way that the how-to
// describes, and back, however far behind they are.
func TestHostsLeaveARepositoryWhoseRootKeysAreLost(t *testing.T) {
	t.Parallel()
	w := newKeyWorld(t)
	w.run(t, `rm ann.pem bob.pem
mkdir out
head -c 8192 /dev/zero > out/root.erofs
printf 'a kernel\n' > out/uki.efi
cat > out/release.json <<'END'
{"schema": 1, "product": "demo", "version": "1.0.0", "arch": "amd64", "epoch": 1700000000, "securityEpoch": 0,
 "root": {"hash": "05927d36681daf2129a7ab821c194d61c7943aba7a8a38532b2e075ca1e56736",
  "salt": "0000000000000000000000000000000000000000000000000000000000000000", "blocks": 2},
 "artifacts": [
  {"name": "root.erofs", "size": 8192, "digest": "sha256:9f1dcbc35c350d6027f98be0f5c8b43b42ca52b7604459c0c42be3aa88913d47"},
  {"name": "uki.efi", "size": 9, "digest": "sha256:0ea0e4d98d963a16e4ae69a302423f7648056205ea740c9559c92725d9544e4d"}]}
END`)
	w.run(t, steps(t, "recover-from-lost-keys.md", "Lost: more root keys than can be spared"))
	release := manifests.ReleaseTarget("demo", manifests.AMD64, "1.0.0")
	for name := range hostsBehind {
		for _, image := range []struct{ what, served, root string }{
			{"takes the release", "repo", "repo/metadata/1.root.json"},
			{"goes on with its image", "new-repo", "new-repo/metadata/root.json"},
			{"went back to the image before", "repo", "repo/metadata/1.root.json"},
			{"goes on again", "new-repo", "new-repo/metadata/root.json"},
		} {
			client, err := w.refresh(t, name, image.served, image.root)
			var targets []string
			if err == nil {
				targets, err = client.Targets(t.Context())
			}
			if err != nil || !slices.Contains(targets, release) {
				t.Errorf("host %s %s: it is offered %q, %v", name, image.what, targets, err)
			}
		}
		// The old keys say nothing to the new image, nor the new ones to the old.
		for _, image := range []struct{ served, root string }{
			{"repo", "new-repo/metadata/root.json"}, {"new-repo", "repo/metadata/1.root.json"},
		} {
			if _, err := w.refresh(t, name, image.served, image.root); err == nil {
				t.Errorf("host %s with %s takes %s", name, image.root, image.served)
			}
		}
	}
}

// fastForward has a thief with the keys give hosts metadata of higher versions.
func fastForward(t *testing.T, w keyWorld) {
	t.Helper()
	w.run(t, `cp -a repo thiefs
for days in 30 2000 7000; do proa repo refresh --repo thiefs --lifetime snapshot=${days}d; done`)
	for name := range hostsBehind {
		if err := w.follow(t, name, "thiefs"); err != nil {
			t.Fatalf("host %s of the thief's: %v", name, err)
		}
		if err := w.follow(t, name, "repo"); err == nil {
			t.Fatalf("host %s does not take the true repository for old: the theft has no effect", name)
		}
	}
}
