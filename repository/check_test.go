package repository

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/signing"
)

func checked(t testing.TB, cfg Config, change func(*CheckConfig)) Checked {
	t.Helper()
	with := CheckConfig{Dir: cfg.Dir, Now: cfg.Now}
	if change != nil {
		change(&with)
	}
	before := snapshotOf(t, cfg.Dir)
	found := must[Checked](t)(Check(context.Background(), with))
	if !maps.Equal(before, snapshotOf(t, cfg.Dir)) {
		t.Error("the repository changed")
	}
	return found
}

// livelyRepository has been changed in every way, and has deltas.
func livelyRepository(t testing.TB) Config {
	t.Helper()
	cfg, _, next := threeReleases(t)
	notes, stone := "Fixes", manifests.Version("1.1.0")
	must[Published](t)(Publish(context.Background(), PublishConfig{
		Config: cfg, ReleaseDir: next, Channel: "beta", Deltas: 2, Notes: &notes, Requires: &stone,
	}))
	must[Published](t)(Promote(context.Background(), PromoteConfig{Config: cfg, Version: "1.2.0", To: "stable"}))
	cfg.Now = func() time.Time { return start.Add(300 * 24 * time.Hour) }
	must[Refreshed](t)(Refresh(context.Background(), cfg)) // makes root 2
	return cfg
}

func TestWholeRepositoryAndItsPlainCopyAreRight(t *testing.T) {
	cfg := livelyRepository(t)
	found := checked(t, cfg, nil)
	if len(found.Wrong)+len(found.Noted) > 0 {
		t.Errorf("wrong %v, noted %v", found.Wrong, found.Noted)
	}
	if found.Releases != 3 || found.Channels != 2 || found.Targets != 3*2+2+1 || found.Superseded == 0 || found.Metadata[0].Version != 2 {
		t.Errorf("found %+v", found)
	}
	mirror := cfg
	mirror.Dir = filepath.Join(t.TempDir(), "mirror")
	if out, err := exec.Command("cp", "-r", cfg.Dir, mirror.Dir).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v\n%s", err, out)
	}
	if again := checked(t, mirror, nil); fmt.Sprint(again) != fmt.Sprint(found) {
		t.Errorf("the copy is %+v, want %+v", again, found)
	}
	// A server that knows nothing of repositories serves it.
	server := httptest.NewServer(http.FileServer(http.Dir(mirror.Dir)))
	defer server.Close()
	client := must[*signing.Client](t)(signing.OpenClient(signing.Config{
		URL: server.URL, Dir: t.TempDir(), Now: cfg.Now,
		Root: must[[]byte](t)(os.ReadFile(filepath.Join(cfg.Dir, "metadata/1.root.json"))),
	}))
	check(t, client.Refresh(context.Background()))
	for _, name := range must[[]string](t)(client.Targets(context.Background())) {
		must[signing.Verified](t)(client.Fetch(context.Background(), name))
	}
}

// pathOf is where a target lies.
func pathOf(t testing.TB, cfg Config, target string) string {
	t.Helper()
	digest, _, ok := must[*signing.Metadata](t)(readMetadata(cfg.Dir)).Target(target)
	if !ok {
		t.Fatalf("no target %s", target)
	}
	return filepath.Join(cfg.Dir, signing.TargetPath(target, digest[:]))
}

// sign publishes targets of any content, as a publisher would whose tools are broken.
func sign(t testing.TB, cfg Config, targets map[string][]byte) {
	t.Helper()
	r, unlock, err := open(cfg)
	check(t, err)
	defer unlock()
	check(t, r.commit(context.Background(), targets))
}

func flipIn(t testing.TB, path string) {
	t.Helper()
	content := must[[]byte](t)(os.ReadFile(path))
	content[len(content)/2] ^= 1
	check(t, os.WriteFile(path, content, 0o644))
}

func TestCheckNamesEachThingThatIsWrong(t *testing.T) {
	whole := livelyRepository(t)
	release, transport := transportOf(t, whole, "1.1.0")
	root := manifests.ArtifactPath(transport.Root.Digest)
	loader, _ := release.Artifact(manifests.LoaderFile)
	transportName := manifests.TransportTarget("demo", manifests.AMD64, "1.1.0")
	deltasName := manifests.TransportTarget("demo", manifests.AMD64, "1.2.0")
	noticeName := manifests.NoticeTarget("demo", manifests.AMD64, "1.2.0")
	digest := noticeOf(t, whole, "1.2.0").Release
	in := func(cfg Config, path string) string { return filepath.Join(cfg.Dir, path) }
	notice := func(t *testing.T, cfg Config, change func(*manifests.Notice)) {
		n := manifests.Notice{Schema: 1, Product: "demo", Arch: manifests.AMD64, Version: "1.2.0", Release: digest}
		change(&n)
		sign(t, cfg, map[string][]byte{noticeName: must[[]byte](t)(document(n))})
	}
	channel := func(t *testing.T, cfg Config, c manifests.Channel) {
		c.Schema, c.Arch, c.Product = 1, manifests.AMD64, "demo"
		sign(t, cfg, map[string][]byte{"channels/demo/amd64/lab.json": must[[]byte](t)(document(c))})
	}
	for name, test := range map[string]struct {
		spoil      func(*testing.T, Config)
		path, want string
	}{
		"a bit of an artifact":  {func(t *testing.T, cfg Config) { flipIn(t, in(cfg, root)) }, root, "is damaged: the root image of demo 1.1.0 amd64"},
		"an artifact":           {func(t *testing.T, cfg Config) { check(t, os.Remove(in(cfg, root))) }, root, "it is missing: the root image"},
		"an installer's file":   {func(t *testing.T, cfg Config) { check(t, os.Remove(in(cfg, manifests.ArtifactPath(loader.Digest)))) }, manifests.ArtifactPath(loader.Digest), "missing: the loader.efi"},
		"an artifact that grew": {func(t *testing.T, cfg Config) { check(t, os.Truncate(in(cfg, root), transport.Root.Size+1)) }, root, "is damaged"},
		"a bit of a target":     {func(t *testing.T, cfg Config) { flipIn(t, pathOf(t, cfg, transportName)) }, transportName, "not what signed metadata says"},
		"a target":              {func(t *testing.T, cfg Config) { check(t, os.Remove(pathOf(t, cfg, transportName))) }, transportName, "unavailable"},
		"a bit of the snapshot": {func(t *testing.T, cfg Config) {
			flipIn(t, in(cfg, metadataFolder+"/"+must[*signing.Metadata](t)(readMetadata(cfg.Dir)).Files()[1]))
		}, "metadata", "a host would refuse it"},
		"the first root": {func(t *testing.T, cfg Config) { check(t, os.Remove(in(cfg, "metadata/1.root.json"))) }, "metadata", "1.root.json"},
		"the copied root": {func(t *testing.T, cfg Config) {
			check(t, os.WriteFile(in(cfg, "metadata/root.json"), must[[]byte](t)(os.ReadFile(in(cfg, "metadata/1.root.json"))), 0o644))
		}, "metadata/root.json", "no copy of root 2"},
		"a root that nobody signed": {func(t *testing.T, cfg Config) {
			content := must[[]byte](t)(os.ReadFile(in(cfg, "metadata/2.root.json")))
			check(t, os.WriteFile(in(cfg, "metadata/3.root.json"), content, 0o644))
		}, "metadata", "a host would refuse it"},
		"a release.json not listed": {func(t *testing.T, cfg Config) {
			sign(t, cfg, map[string][]byte{manifests.TransportTarget("demo", manifests.AMD64, "9"): must[[]byte](t)(document(transport))})
		}, "releases/demo/amd64/9/release.json", "no release.json"},
		"a transport of another release": {func(t *testing.T, cfg Config) {
			other := transport
			other.Release = digest
			sign(t, cfg, map[string][]byte{transportName: must[[]byte](t)(document(other))})
		}, transportName, "transport is for release"},
		"a channel to nowhere": {func(t *testing.T, cfg Config) {
			channel(t, cfg, manifests.Channel{Name: "lab", Version: "7", Release: digest})
		},
			"channels/demo/amd64/lab.json", "points to 7, which is not here"},
		"a channel of another name": {func(t *testing.T, cfg Config) {
			channel(t, cfg, manifests.Channel{Name: "stable", Version: "1.2.0", Release: digest})
		}, "channels/demo/amd64/lab.json", "of another product, architecture, version or name"},
		"a notice of another release": {func(t *testing.T, cfg Config) {
			notice(t, cfg, func(n *manifests.Notice) { n.Release = manifests.DigestOf(nil) })
		}, noticeName, "its notice is of release.json"},
		"a stepping stone": {func(t *testing.T, cfg Config) {
			notice(t, cfg, func(n *manifests.Notice) { n.Requires = &manifests.SteppingStone{Version: "1.1.5", Release: digest} })
		}, noticeName, "hosts below 1.1.5 have to install that first"},
		"a stepping stone with other content": {func(t *testing.T, cfg Config) {
			notice(t, cfg, func(n *manifests.Notice) { n.Requires = &manifests.SteppingStone{Version: "1.1.0", Release: digest} })
		}, noticeName, "hosts below 1.1.0 have to install that first"},
		"a stepping stone with a higher security epoch": {func(t *testing.T, cfg Config) {
			stone := release
			stone.SecurityEpoch = 9
			text := must[[]byte](t)(document(stone))
			sign(t, cfg, map[string][]byte{manifests.ReleaseTarget("demo", manifests.AMD64, "1.1.0"): text})
			notice(t, cfg, func(n *manifests.Notice) {
				n.Requires = &manifests.SteppingStone{Version: "1.1.0", Release: manifests.DigestOf(text)}
			})
		}, noticeName, "hosts install 1.1.0 with security epoch 9 first, and then refuse this with 0"},
		"a delta from another image": {func(t *testing.T, cfg Config) {
			_, other := transportOf(t, cfg, "1.2.0")
			other.Deltas[0].Base[0] ^= 1
			sign(t, cfg, map[string][]byte{deltasName: must[[]byte](t)(document(other))})
		}, deltasName, "starts from root hash"},
		"an artifact of two sizes": {func(t *testing.T, cfg Config) {
			_, other := transportOf(t, cfg, "1.2.0")
			other.Index = transport.Index
			other.Index.Size++
			sign(t, cfg, map[string][]byte{deltasName: must[[]byte](t)(document(other))})
		}, manifests.ArtifactPath(transport.Index.Digest), "it is the chunk index of demo 1.1.0 amd64 with"},
		"a version that ranks the same": {func(t *testing.T, cfg Config) {
			same := release
			same.Version = "1.01.0"
			sign(t, cfg, map[string][]byte{manifests.ReleaseTarget("demo", manifests.AMD64, same.Version): must[[]byte](t)(document(same))})
		}, manifests.ReleaseTarget("demo", manifests.AMD64, "1.1.0"), "it ranks the same as 1.01.0"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := whole
			cfg.Dir = filepath.Join(t.TempDir(), "repo")
			check(t, os.CopyFS(cfg.Dir, os.DirFS(whole.Dir)))
			test.spoil(t, cfg)
			found := checked(t, cfg, nil)
			if !slices.ContainsFunc(found.Wrong, func(f Finding) bool { return f.Path == test.path && strings.Contains(f.What, test.want) }) {
				t.Errorf("wrong %v, want %s: %s", found.Wrong, test.path, test.want)
			}
		})
	}
}

func TestCheckNotesWhatLiesAbout(t *testing.T) {
	cfg := livelyRepository(t)
	retract(t, cfg, func(c *RetractConfig) { c.Version = "1.1.0" })
	retract(t, cfg, func(c *RetractConfig) { c.Version = "1.2.0" })
	stray := "targets/channels/demo/amd64/" + strings.Repeat("a", 64) + ".stable.json"
	for _, name := range []string{"metadata/99.targets.json", "artifacts/ab/cd", "targets/x.json", "keys/targets.pem", "artifacts/.proa-tmp-1", stray} {
		path := filepath.Join(cfg.Dir, name)
		check(t, os.MkdirAll(filepath.Dir(path), 0o755))
		check(t, os.WriteFile(path, []byte("lies about"), 0o644))
	}
	found := checked(t, cfg, nil)
	if len(found.Wrong) > 0 {
		t.Errorf("wrong: %v", found.Wrong)
	}
	var got []string
	for _, f := range found.Noted {
		got = append(got, f.Path)
	}
	slices.Sort(got)
	want := []string{
		"artifacts/.proa-tmp-1", "artifacts/ab/cd", "channels/demo/amd64/beta.json", "channels/demo/amd64/stable.json", "keys/targets.pem",
		"metadata/99.targets.json", "releases/demo/amd64/1.2.0/notice.json", "targets/x.json", stray,
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("noted %q\nwant %q", got, want)
	}
}

func TestCheckOfSizesDoesNotReadArtifacts(t *testing.T) {
	cfg := livelyRepository(t)
	_, transport := transportOf(t, cfg, "1.1.0")
	path := filepath.Join(cfg.Dir, manifests.ArtifactPath(transport.Root.Digest))
	flipIn(t, path)
	sizes := func(c *CheckConfig) { c.SizesOnly = true }
	if found := checked(t, cfg, sizes); len(found.Wrong) > 0 {
		t.Errorf("wrong: %v", found.Wrong)
	}
	check(t, os.Truncate(path, transport.Root.Size-1))
	if found := checked(t, cfg, sizes); len(found.Wrong) != 1 || !strings.Contains(found.Wrong[0].What, "bytes, want") {
		t.Errorf("wrong: %v", found.Wrong)
	}
}

func TestCheckOfExpiredMetadataGoesOn(t *testing.T) {
	cfg := livelyRepository(t)
	late := cfg
	late.Now = func() time.Time { return cfg.Now().Add(20 * 24 * time.Hour) }
	found := checked(t, late, nil)
	if len(found.Wrong) != 1 || !strings.Contains(found.Wrong[0].What, "expired") || found.Releases != 3 {
		t.Errorf("found %+v", found)
	}
}
