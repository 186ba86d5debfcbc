package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/repository"
	"github.com/proa-os/proa/signing"
	"github.com/proa-os/proa/updater/config"
	"github.com/proa-os/proa/updater/demands"
)

// TestHowToDemandEvidenceWorks plays what the document says, and judges the result as
// a host would that is configured as it says.
func TestHowToDemandEvidenceWorks(t *testing.T) {
	const document = "demand-evidence.md"
	programs, err := fixtures()
	if err != nil {
		t.Fatal(err)
	}
	w := keyWorld{t.TempDir()}
	w.run(t, `mkdir edge; cp `+filepath.Join(programs, "appliance.tar")+` edge/root.tar
printf 'product: edge\nplatform: qemu\nvar: 16MiB\nsources:\n  - tar: root.tar\n' > edge/recipe.yaml
proa key new -o keys; proa repo init repo`)
	init := " --init " + filepath.Join(programs, "proa-init")
	w.run(t, steps(t, document, "Keys"))
	w.run(t, strings.Replace(steps(t, document, "Build, and say so"), "proa build edge", "proa build edge"+init, 1))
	w.run(t, strings.Replace(steps(t, document, "Build it again"), "proa attest rebuild edge", "proa attest rebuild edge"+init, 1))
	release, digest, err := repository.Find(repository.ExtractConfig{Dir: filepath.Join(w.folder, "repo"), Version: "1.1.0"})
	if err != nil {
		t.Fatal(err)
	}
	w.run(t, `echo '{"id": "CVE-2026-1", "affected": [{"package": {"ecosystem": "Debian:12", "name": "linux"}}]}' > one.json
python3 -m zipfile -c all.zip one.json`)
	w.run(t, steps(t, document, "Look its packages up"))
	w.rehearse(t, "lab.json", "lab.pem", digest)

	host := filepath.Join(w.folder, "agent.yaml")
	text, err := os.ReadFile(filepath.Join("../../docs/how-to", document))
	if err != nil {
		t.Fatal(err)
	}
	_, yaml, _ := strings.Cut(string(text), "\n```yaml\n")
	yaml, _, _ = strings.Cut(yaml, "\n```\n")
	for name, file := range map[string]string{"BUILDER": "builder.pub", "ANNA": "anna.pub", "LAB": "lab.pub", "SCANNER": "scanner.pub"} {
		pem, err := os.ReadFile(filepath.Join(w.folder, file))
		if err != nil {
			t.Fatal(err)
		}
		yaml = strings.Replace(yaml, name, strings.Split(string(pem), "\n")[1], 1)
	}
	if err := os.WriteFile(host, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	settings, err := config.ReadFiles(host)
	if err != nil {
		t.Fatal(err)
	}
	evidence := demands.Evidence{Release: release, Digest: digest, Running: demands.Running{Version: "1.0.0"}, Now: time.Now()}
	provenance, err := os.ReadFile(filepath.Join(w.folder, "out/1.1.0", manifests.ProvenanceFile))
	if err != nil {
		t.Fatal(err)
	}
	evidence.Envelopes = append(evidence.Envelopes, provenance)
	if missing := settings.Settings.Demands.Missing(evidence); len(missing) != 3 {
		t.Errorf("before anything is attached, a host misses %q", missing)
	}
	w.run(t, steps(t, document, "Attach it"))
	evidence.Envelopes = append(evidence.Envelopes, w.attached(t)...)
	if missing := settings.Settings.Demands.Missing(evidence); len(missing) != 0 {
		t.Errorf("a host misses %q", missing)
	}
}

// rehearse writes what a rehearsal from 1.0.0 would.
func (w keyWorld) rehearse(t *testing.T, file, key string, to manifests.Digest) {
	t.Helper()
	statement, err := manifests.Rehearsal{
		Product: "edge", Version: "1.1.0", Arch: manifests.AMD64, Checks: []string{},
		From: []manifests.RehearsedFrom{{Version: "1.0.0", Release: manifests.DigestOf(nil), Passed: manifests.RehearsedFrom{}.Lacks()}},
	}.Statement(to)
	if err != nil {
		t.Fatal(err)
	}
	private, err := signing.ReadKeyFile(filepath.Join(w.folder, key))
	if err != nil {
		t.Fatal(err)
	}
	envelope, err := signing.Seal(signing.PayloadInToto, statement, private)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(w.folder, file), envelope, 0o600); err != nil {
		t.Fatal(err)
	}
}

// attached is what lies beside the release.
func (w keyWorld) attached(t *testing.T) [][]byte {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(w.folder, "repo/targets/releases/edge/amd64/1.1.0/*.release.json.intoto.jsonl"))
	if err != nil || len(paths) != 1 {
		t.Fatalf("attached %v, %v", paths, err)
	}
	bundle, err := os.ReadFile(paths[0])
	if err != nil {
		t.Fatal(err)
	}
	envelopes, err := manifests.SplitAttestations(bundle)
	if err != nil {
		t.Fatal(err)
	}
	return envelopes
}
