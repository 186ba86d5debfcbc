package rehearsal

import (
	"bytes"
	"encoding/xml"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/proa-os/proa/manifests"
)

func report(last Outcome) Report {
	began := time.Date(2026, 11, 26, 6, 0, 0, 0, time.UTC)
	broken := Scene{Name: "failing health check", Outcome: last, Seconds: 9, Boots: []Boot{{Log: "1.0.0/health/boot-1.log", Ended: "guest-reset", Seconds: 9, Memory: 300 << 20}}}
	if last == Failed {
		broken.Reason, broken.Console, broken.Picture = "waiting <for> ever", "Kernel panic \x1b & more", "1.0.0/health/failing-health-check.png"
	}
	return Report{
		Product: "edge", Arch: manifests.AMD64, Version: "1.1.0", Release: manifests.DigestOf([]byte("new")), Channel: "beta", Checks: []string{},
		Accel: "tcg,thread=multi", Memory: 512, CPUs: 1, Started: began, Finished: began.Add(90 * time.Second),
		Pairs: []Pair{{From: "1.0.0", Release: manifests.DigestOf([]byte("old")), Scenes: []Scene{
			{Name: "update", Outcome: Passed, Seconds: 81, Boots: []Boot{{Memory: 700 << 20, Fetched: 5}, {Memory: 600 << 20, Fetched: 2}}},
			broken,
		}}},
	}
}

func TestTheTableSaysWhatHappened(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	if err := report(Failed).WriteTable(&out); err != nil {
		t.Fatal(err)
	}
	const want = `FROM   SCENE                 OUTCOME  TIME  MEMORY   FETCHED
1.0.0  update                passed   81 s  700 MiB  7 bytes
1.0.0  failing health check  failed   9 s   300 MiB  0 bytes

edge 1.1.0 amd64, by channel beta: failed after 90 s, on machines with 512 MiB and 1 CPU, emulated
from 1.0.0: failing health check: waiting <for> ever
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

// TestOthersReadTheJUnitFile has Python's parser read it, which CI servers are near to.
func TestOthersReadTheJUnitFile(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := report(Failed).WriteJUnit(&out); err != nil {
		t.Fatal(err)
	}
	if err := xml.Unmarshal(out.Bytes(), new(struct{})); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "junit.xml")
	if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	const script = `
import sys, xml.etree.ElementTree as t
root = t.parse(sys.argv[1]).getroot()
print(root.tag, root.get("tests"), root.get("failures"), root.get("skipped"))
for case in root.iter("testcase"):
    print(case.get("name"), [(c.tag, c.get("message")) for c in case])
`
	got, err := exec.Command("python3", "-c", script, path).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, got)
	}
	const want = `testsuites 2 1 0
update [('system-out', None)]
failing health check [('failure', 'waiting <for> ever'), ('system-out', None)]
`
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestOnlyWhatPassedIsAttested(t *testing.T) {
	t.Parallel()
	if _, err := report(Failed).Rehearsal(); err == nil {
		t.Error("a rehearsal that failed can be attested")
	}
	if _, err := report(Skipped).Rehearsal(); err == nil {
		t.Error("a rehearsal with a scene that was skipped can be attested")
	}
	if _, err := (Report{}).Rehearsal(); err == nil {
		t.Error("nothing can be attested")
	}
	r, err := report(Passed).Rehearsal()
	if err != nil {
		t.Fatal(err)
	}
	if len(r.From) != 1 || r.From[0].Release != manifests.DigestOf([]byte("old")) || strings.Join(r.From[0].Passed, ", ") != "update, failing health check" {
		t.Errorf("got %+v", r)
	}
	if _, err := r.Statement(manifests.DigestOf([]byte("new"))); err != nil {
		t.Error(err)
	}
}
