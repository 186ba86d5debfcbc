package repository

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/signing"
)

// nextRoot is the root that follows the repository's, signed by the given keys.
func nextRoot(t testing.TB, cfg Config, change signing.RootChange, signers ...string) []byte {
	t.Helper()
	if change.Expires.IsZero() {
		change.Expires = cfg.Now().Add(365 * 24 * time.Hour)
	}
	before := must[[]byte](t)(signing.NewestRoot(os.DirFS(filepath.Join(cfg.Dir, "metadata"))))
	draft := must[*signing.RootDraft](t)(signing.NextRoot(before, change, cfg.Now()))
	for _, path := range signers {
		check(t, draft.Sign(must[signing.PrivateKey](t)(signing.ReadKeyFile(path))))
	}
	return must[[]byte](t)(draft.Bytes())
}

// rotation gives each of the roles a new key in folder, in the place of its first.
func rotation(t testing.TB, folder string, roles ...signing.Role) signing.RootChange {
	t.Helper()
	change := signing.RootChange{Add: map[signing.Role][]signing.PublicKey{}, Remove: map[signing.Role][]string{}}
	for _, role := range roles {
		old := must[signing.PublicKey](t)(signing.ReadPublicKeyFile(filepath.Join(folder, string(role)+".pub")))
		key := must[signing.PublicKey](t)(signing.CreateKeyFile(filepath.Join(folder, signing.KeyFileName(role, 2))))
		change.Add[role] = []signing.PublicKey{key}
		change.Remove[role] = []string{old.ID()}
	}
	return change
}

// resident is a host whose trusted folder stays.
type resident struct {
	dir  string
	root []byte
}

func newResident(t testing.TB, cfg Config) resident {
	return resident{t.TempDir(), must[[]byte](t)(os.ReadFile(filepath.Join(cfg.Dir, "metadata/1.root.json")))}
}

func (h resident) refresh(t testing.TB, cfg Config) error {
	t.Helper()
	handler := must[*FolderHandler](t)(Handler(cfg.Dir))
	defer handler.Close()
	server := httptest.NewServer(handler)
	defer server.Close()
	client := must[*signing.Client](t)(signing.OpenClient(signing.Config{URL: server.URL, Dir: h.dir, Root: h.root, Now: cfg.Now}))
	if err := client.Refresh(context.Background()); err != nil {
		return err
	}
	_, err := client.Fetch(context.Background(), manifests.ChannelTarget("demo", manifests.AMD64, "stable"))
	return err
}

// makeRotating is a repository with a release, and the folder of its keys.
func makeRotating(t testing.TB) (Config, string) {
	t.Helper()
	folder := t.TempDir()
	cfg := Config{Dir: filepath.Join(t.TempDir(), "repo"), Keys: makeKeys(t, folder), Now: time.Now}
	check(t, Init(context.Background(), InitConfig{Config: cfg, RootThreshold: 1}))
	publish(t, cfg, makeRelease(t, "demo", "1.0.0", fakeImage(1, 8192)), "stable")
	return cfg, folder
}

func TestRootOfFewerSignaturesThanEitherRootDemandsIsNotPublished(t *testing.T) {
	cfg, folder := makeRotating(t)
	change := rotation(t, folder, signing.RoleRoot)
	old, new := filepath.Join(folder, "root.pem"), filepath.Join(folder, "root-2.pem")
	before := snapshotOf(t, cfg.Dir)
	cfg.Keys = must[signing.Keys](t)(signing.LoadKeys(folder))
	for _, signers := range [][]string{{}, {old}, {new}} {
		_, err := PublishRoot(context.Background(), RootConfig{Config: cfg, Copies: [][]byte{nextRoot(t, cfg, change, signers...)}})
		if !errors.Is(err, signing.ErrSignature) {
			t.Errorf("signed by %v: %v", signers, err)
		}
		if !maps.Equal(before, snapshotOf(t, cfg.Dir)) {
			t.Fatalf("signed by %v: the repository changed", signers)
		}
	}
	// The same in two copies.
	draft := nextRoot(t, cfg, change)
	var copies [][]byte
	for _, path := range []string{old, new} {
		d := must[*signing.RootDraft](t)(signing.ReadRootDraft(draft, []byte(before["metadata/1.root.json"])))
		check(t, d.Sign(must[signing.PrivateKey](t)(signing.ReadKeyFile(path))))
		copies = append(copies, must[[]byte](t)(d.Bytes()))
	}
	published := must[PublishedRoot](t)(PublishRoot(context.Background(), RootConfig{Config: cfg, Copies: copies}))
	if !published.Changed || published.Root.Version != 2 {
		t.Errorf("published %+v", published)
	}
	check(t, newResident(t, cfg).refresh(t, cfg))
}

func TestCopiesOfTwoRootsAreRefused(t *testing.T) {
	cfg, folder := makeRotating(t)
	key := filepath.Join(folder, "root.pem")
	a := nextRoot(t, cfg, signing.RootChange{}, key)
	b := nextRoot(t, cfg, signing.RootChange{Expires: cfg.Now().Add(time.Hour * 24)}, key)
	if _, err := PublishRoot(context.Background(), RootConfig{Config: cfg, Copies: [][]byte{a, b}}); !errors.Is(err, signing.ErrMismatch) {
		t.Error(err)
	}
}

func TestNeglectedRepositoryIsMendedByANewRoot(t *testing.T) {
	cfg, folder := makeRotating(t)
	later := cfg.Now().Add(800 * 24 * time.Hour)
	cfg.Now = func() time.Time { return later }
	if _, err := Refresh(context.Background(), Config{Dir: cfg.Dir, Now: cfg.Now, Keys: onlyKeys(t, folder, signing.RoleTargets, signing.RoleSnapshot, signing.RoleTimestamp)}); !errors.Is(err, signing.ErrExpired) {
		t.Errorf("a refresh under an expired root: %v", err)
	}
	root := nextRoot(t, cfg, signing.RootChange{}, filepath.Join(folder, "root.pem"))
	published := must[PublishedRoot](t)(PublishRoot(context.Background(), RootConfig{Config: cfg, Copies: [][]byte{root}}))
	if len(published.Renewed) != 3 {
		t.Errorf("signed anew: %v, want all three", published.Renewed)
	}
	check(t, newResident(t, cfg).refresh(t, cfg))
}

// onlyKeys are the private keys of some roles.
func onlyKeys(t testing.TB, folder string, roles ...signing.Role) signing.Keys {
	t.Helper()
	dir := t.TempDir()
	for _, role := range roles {
		name := signing.KeyFileName(role, 1)
		check(t, os.WriteFile(filepath.Join(dir, name), must[[]byte](t)(os.ReadFile(filepath.Join(folder, name))), 0o600))
	}
	return must[signing.Keys](t)(signing.LoadKeys(dir))
}

// TestKilledChangeOfRootLeavesARepositoryThatHostsAccept kills the publisher at
// each of its writes, with the former keys at hand: hosts never see a gap. Without
// them there may be one, until the command runs again.
func TestKilledChangeOfRootLeavesARepositoryThatHostsAccept(t *testing.T) {
	cfg, folder := makeRotating(t)
	host := newResident(t, cfg)
	check(t, host.refresh(t, cfg))
	change := rotation(t, folder, signing.RoleTargets, signing.RoleSnapshot, signing.RoleTimestamp)
	root := filepath.Join(t.TempDir(), "next.json")
	check(t, os.WriteFile(root, nextRoot(t, cfg, change, filepath.Join(folder, "root.pem")), 0o644))
	lost := t.TempDir()
	for _, role := range []signing.Role{signing.RoleTargets, signing.RoleSnapshot, signing.RoleTimestamp} {
		name := signing.KeyFileName(role, 2)
		check(t, os.WriteFile(filepath.Join(lost, name), must[[]byte](t)(os.ReadFile(filepath.Join(folder, name))), 0o600))
	}
	for name, keys := range map[string]string{"with the former keys": folder, "without": lost} {
		t.Run(name, func(t *testing.T) {
			seen := map[string]int{}
			prepare := func() []string {
				dir := filepath.Join(t.TempDir(), "repo")
				check(t, os.CopyFS(dir, os.DirFS(cfg.Dir)))
				return []string{"root", dir, keys, root}
			}
			killEverywhere(t, []string{"renameat"}, prepare, func(t *testing.T, dir string) {
				here := cfg
				here.Dir = dir
				here.Keys = must[signing.Keys](t)(signing.LoadKeys(keys))
				follower := resident{t.TempDir(), host.root}
				check(t, os.CopyFS(follower.dir, os.DirFS(host.dir)))
				errFollower, errNew := follower.refresh(t, here), newResident(t, here).refresh(t, here)
				seen[fmt.Sprintf("follower %t, new host %t", errFollower == nil, errNew == nil)]++
				if keys == folder && (errFollower != nil || errNew != nil) {
					t.Errorf("hosts see a gap: %v, %v", errFollower, errNew)
				}
				published := must[PublishedRoot](t)(PublishRoot(context.Background(), RootConfig{Config: here, Copies: [][]byte{must[[]byte](t)(os.ReadFile(root))}}))
				if published.Root.Version != 2 {
					t.Errorf("the second run publishes root %d", published.Root.Version)
				}
				check(t, follower.refresh(t, here))
				check(t, newResident(t, here).refresh(t, here))
				wantNoTemps(t, dir)
			})
			t.Logf("after kills: %v", seen)
			if keys == lost && len(seen) != 2 {
				t.Error("no kill hits the gap that the documentation tells of")
			}
		})
	}
}
