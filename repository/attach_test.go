package repository

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/signing"
)

func makeKey(t testing.TB) signing.PrivateKey {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key.pem")
	must[signing.PublicKey](t)(signing.CreateKeyFile(path))
	return must[signing.PrivateKey](t)(signing.ReadKeyFile(path))
}

// rebuildOf is an envelope about a release that is published.
func rebuildOf(t testing.TB, cfg Config, version manifests.Version, key signing.PrivateKey, change func(*manifests.Rebuild)) File {
	t.Helper()
	release, digest, err := Find(ExtractConfig{Dir: cfg.Dir, Version: version})
	check(t, err)
	uki, _ := release.Artifact(manifests.UKIFile)
	r := manifests.Rebuild{
		Product: release.Product, Version: version, Arch: release.Arch, RootHash: release.Root.Hash, Kernel: uki.Digest,
		Recipe: manifests.DigestOf(nil), Same: []string{manifests.RootFile, manifests.UKIFile}, Otherwise: []string{},
	}
	if change != nil {
		change(&r)
	}
	statement := must[[]byte](t)(r.Statement(digest))
	return File{"rebuild.json", must[[]byte](t)(signing.Seal(signing.PayloadInToto, statement, key))}
}

func attach(t testing.TB, cfg Config, files ...File) (Attached, error) {
	t.Helper()
	return Attach(context.Background(), AttachConfig{Config: cfg, Version: "1.1.0", Files: files})
}

// attached reads what hosts read.
func attached(t testing.TB, cfg Config) [][]byte {
	t.Helper()
	bundle := must[[]byte](t)(readTarget(cfg.Dir, must[*signing.Metadata](t)(readMetadata(cfg.Dir)), manifests.AttestationsTarget("demo", manifests.AMD64, "1.1.0")))
	return must[[][]byte](t)(manifests.SplitAttestations(bundle))
}

func TestAttachedStatementsAreBesideTheReleaseAndInItsCopies(t *testing.T) {
	cfg := twoReleases(t)
	one, two := makeKey(t), makeKey(t)
	first, second := rebuildOf(t, cfg, "1.1.0", one, nil), rebuildOf(t, cfg, "1.1.0", two, nil)
	done := must[Attached](t)(attach(t, cfg, first))
	if !done.Changed || len(done.Attestations) != 1 || done.Attestations[0].Type != manifests.RebuildType || done.Attestations[0].Keys[0] != one.Public().ID() {
		t.Errorf("attached %+v", done)
	}
	// Indented, and together with what is there.
	var indented bytes.Buffer
	check(t, json.Indent(&indented, second.Content, "", "\t"))
	done = must[Attached](t)(attach(t, cfg, File{"two", indented.Bytes()}, first))
	if !done.Changed || len(done.Attestations) != 2 {
		t.Errorf("attached %+v", done)
	}
	before := snapshotOf(t, cfg.Dir)
	both := File{"both", append(bytes.Clone(second.Content), first.Content...)}
	if done = must[Attached](t)(attach(t, cfg, both)); done.Changed || len(done.Attestations) != 2 {
		t.Errorf("attached again %+v", done)
	}
	if now := snapshotOf(t, cfg.Dir); fmt.Sprint(now) != fmt.Sprint(before) {
		t.Error("attaching again changed the repository")
	}
	lines := attached(t, cfg)
	for n, key := range []signing.PrivateKey{one, two} {
		if _, err := signing.OpenSealed(lines[n], signing.PayloadInToto, 1, key.Public()); err != nil {
			t.Errorf("line %d: %v", n, err)
		}
	}
	// A later one of the same key replaces the earlier one.
	later := rebuildOf(t, cfg, "1.1.0", one, func(r *manifests.Rebuild) { r.Tool = "2" })
	must[Attached](t)(attach(t, cfg, later))
	if lines = attached(t, cfg); len(lines) != 2 || string(lines[0]) != strings.TrimSpace(string(later.Content)) {
		t.Errorf("lines %s", lines)
	}
	entry := must[Contents](t)(List(cfg.Dir)).Releases[0]
	if entry.Version != "1.1.0" || len(entry.Attestations) != 2 {
		t.Errorf("listed %+v", entry)
	}
	found := checked(t, cfg, nil)
	if len(found.Wrong)+len(found.Noted) > 0 {
		t.Errorf("check says %v, %v", found.Wrong, found.Noted)
	}
	name := manifests.AttestationsTarget("demo", manifests.AMD64, "1.1.0")
	pack := must[*Pack](t)(PackWhole(context.Background(), cfg.Dir, start))
	export := filepath.Join(t.TempDir(), "stick")
	must[Exported](t)(Export(context.Background(), ExportConfig{Dir: cfg.Dir, Path: export, Channel: "stable", Now: cfg.Now}))
	digest, _, _ := must[*signing.Metadata](t)(readMetadata(cfg.Dir)).Target(name)
	path := signing.TargetPath(name, digest[:])
	if _, err := os.Stat(filepath.Join(export, path)); err != nil {
		t.Errorf("the export lacks it: %v", err)
	}
	packed := false
	for _, f := range pack.Files {
		packed = packed || f.Name == path
	}
	if !packed {
		t.Error("what is pushed lacks it")
	}
}

func TestWhatAttestsNothingOfTheReleaseIsNotAttached(t *testing.T) {
	cfg := twoReleases(t)
	key := makeKey(t)
	good := rebuildOf(t, cfg, "1.1.0", key, nil)
	statement := must[[]byte](t)(signing.OpenUnsealed(good.Content, signing.PayloadInToto))
	other := rebuildOf(t, cfg, "1.1.0", key, func(r *manifests.Rebuild) { r.RootHash = bytes.Repeat([]byte{1}, 32) })
	seal := func(kind, payload string) File {
		return File{"f", must[[]byte](t)(signing.Seal(kind, []byte(payload), key))}
	}
	before := snapshotOf(t, cfg.Dir)
	for want, file := range map[string]File{
		"it is about release.json":                 rebuildOf(t, cfg, "1.0.0", key, nil),
		"it came to root hash":                     other,
		"nobody has signed it":                     {"f", must[[]byte](t)(signing.Seal(signing.PayloadInToto, statement))},
		"the envelope holds something else":        seal("text/plain", string(statement)),
		`predicateType "https://example.org/x"`:    seal(signing.PayloadInToto, `{"_type":"https://in-toto.io/Statement/v1","predicateType":"https://example.org/x"}`),
		"f: line 2: it attests nothing":            {"f", append(bytes.Clone(good.Content), "nothing\n"...)},
		"release.json: it attests nothing":         {"release.json", []byte(`{"schema": 1}`)},
		"f: it attests nothing of this release: i": {"f", nil},
	} {
		if _, err := attach(t, cfg, good, file); !errors.Is(err, ErrAttestsNothing) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	many := make([]File, manifests.AttestationsMost+1)
	for n := range many {
		many[n] = rebuildOf(t, cfg, "1.1.0", makeKey(t), nil)
	}
	if _, err := attach(t, cfg, many...); err == nil || !strings.Contains(err.Error(), "more than 64 attestations") {
		t.Errorf("65 of them: %v", err)
	}
	if _, err := Attach(context.Background(), AttachConfig{Config: cfg, Version: "9", Files: []File{good}}); !errors.Is(err, ErrNoRelease) {
		t.Errorf("to what is not there: %v", err)
	}
	if now := snapshotOf(t, cfg.Dir); fmt.Sprint(now) != fmt.Sprint(before) {
		t.Error("the repository changed")
	}
}

func TestCheckTellsWhatHostsPassOver(t *testing.T) {
	cfg := twoReleases(t)
	good := rebuildOf(t, cfg, "1.1.0", makeKey(t), nil)
	name := manifests.AttestationsTarget("demo", manifests.AMD64, "1.1.0")
	sign(t, cfg, map[string][]byte{name: append([]byte("{}\n"), good.Content...)})
	found := checked(t, cfg, nil)
	if len(found.Wrong) > 0 || len(found.Noted) != 1 || found.Noted[0].Path != name || !strings.Contains(found.Noted[0].What, "hosts pass over line 1: it attests nothing") {
		t.Errorf("check says %v, %v", found.Wrong, found.Noted)
	}
	// It goes when something is attached.
	must[Attached](t)(attach(t, cfg, good))
	if lines := attached(t, cfg); len(lines) != 1 {
		t.Errorf("lines %s", lines)
	}
	sign(t, cfg, map[string][]byte{name: bytes.Repeat([]byte("{}\n"), 10_000)})
	if found = checked(t, cfg, nil); len(found.Wrong) != 1 || !strings.Contains(found.Wrong[0].What, "more than 64 attestations") {
		t.Errorf("check says %v", found.Wrong)
	}
}

func TestARehearsalFromAnotherReleaseTakesNobodysPlace(t *testing.T) {
	cfg := twoReleases(t)
	key := makeKey(t)
	_, digest, err := Find(ExtractConfig{Dir: cfg.Dir, Version: "1.1.0"})
	check(t, err)
	rehearsed := func(from string, scenes ...string) File {
		r := manifests.Rehearsal{Product: "demo", Version: "1.1.0", Arch: manifests.AMD64, Finished: time.Unix(0, 0).UTC(), Checks: []string{}, From: []manifests.RehearsedFrom{
			{Version: "1.0.0", Release: manifests.DigestOf([]byte(from)), Passed: scenes},
		}}
		return File{from, must[[]byte](t)(signing.Seal(signing.PayloadInToto, must[[]byte](t)(r.Statement(digest)), key))}
	}
	all := manifests.RehearsedFrom{}.Lacks()
	done := must[Attached](t)(attach(t, cfg, rehearsed("a", all...), rehearsed("b", all...), rehearsed("a", all...)))
	if len(done.Attestations) != 2 {
		t.Errorf("attached %+v", done)
	}
	if _, err := attach(t, cfg, rehearsed("a", all[1:]...)); !errors.Is(err, ErrAttestsNothing) || !strings.Contains(err.Error(), "it lacks the scene "+all[0]) {
		t.Errorf("one of fewer scenes: %v", err)
	}
}
