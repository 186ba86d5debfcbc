package updater_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/proa-os/proa/fetch"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/signing"
	"github.com/proa-os/proa/updater"
	"github.com/proa-os/proa/updater/demands"
	"github.com/proa-os/proa/updater/testhost"
)

const ci = "https://ci.example.org/proa"

func newKey(t testing.TB) signing.PrivateKey {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key.pem")
	_, err := signing.CreateKeyFile(path)
	check(t, err)
	key, err := signing.ReadKeyFile(path)
	check(t, err)
	return key
}

func publics(keys ...signing.PrivateKey) []signing.PublicKey {
	var all []signing.PublicKey
	for _, key := range keys {
		all = append(all, key.Public())
	}
	return all
}

func sealed(t testing.TB, statement []byte, keys ...signing.PrivateKey) []byte {
	t.Helper()
	envelope, err := signing.Seal(signing.PayloadInToto, statement, keys...)
	check(t, err)
	return bytes.TrimSpace(envelope)
}

// rebuilt is a statement about a rebuild of a release.
func rebuilt(t testing.TB, r *testhost.Release) []byte {
	t.Helper()
	uki, _ := r.Release.Artifact(manifests.UKIFile)
	rebuild := manifests.Rebuild{
		Product: testhost.Product, Version: r.Release.Version, Arch: manifests.AMD64, RootHash: r.Release.Root.Hash, Kernel: uki.Digest,
		Recipe: manifests.DigestOf(nil), Same: []string{}, Otherwise: []string{},
	}
	for _, a := range r.Release.Artifacts {
		rebuild.Same = append(rebuild.Same, a.Name)
	}
	statement, err := rebuild.Statement(manifests.DigestOf(r.Text(t)))
	check(t, err)
	return statement
}

// rehearsed is a statement about a whole rehearsal from one release to another.
func rehearsed(t testing.TB, from, to *testhost.Release) []byte {
	t.Helper()
	statement, err := manifests.Rehearsal{
		Product: testhost.Product, Version: to.Release.Version, Arch: manifests.AMD64, Finished: time.Unix(0, 0).UTC(), Checks: []string{},
		From: []manifests.RehearsedFrom{{Version: from.Release.Version, Release: manifests.DigestOf(from.Text(t)), Passed: manifests.RehearsedFrom{}.Lacks()}},
	}.Statement(manifests.DigestOf(to.Text(t)))
	check(t, err)
	return statement
}

// provenanceOf is a statement that a release was built somewhere, as SLSA words it.
func provenanceOf(t testing.TB, builder string, r *testhost.Release) []byte {
	t.Helper()
	var made []any
	for _, a := range r.Release.Artifacts {
		made = append(made, map[string]any{"name": a.Name, "digest": map[string]string{"sha256": a.Digest.Hex()}})
	}
	statement, err := json.Marshal(map[string]any{
		"_type": "https://in-toto.io/Statement/v1", "subject": made, "predicateType": "https://slsa.dev/provenance/v1",
		"predicate": map[string]any{"runDetails": map[string]any{"builder": map[string]any{"id": builder}}},
	})
	check(t, err)
	return statement
}

// attach publishes what is attested of a release.
func (f *fleet) attach(t testing.TB, r *testhost.Release, envelopes ...[]byte) {
	t.Helper()
	bundle := append(bytes.Join(envelopes, []byte("\n")), '\n')
	f.repository.SetTarget(t, manifests.AttestationsTarget(testhost.Product, manifests.AMD64, r.Release.Version), bundle)
}

// demand is an updater of a host that demands something.
func (f *fleet) demand(t testing.TB, d demands.Demands) *updater.Updater {
	t.Helper()
	settings, err := updater.LoadSettings(f.host.Path("agent.yaml"))
	check(t, err)
	settings.Demands = d
	u, err := updater.New(updater.Config{Host: f.host.Host(), Settings: settings})
	check(t, err)
	return u
}

func TestReleaseIsTakenOnlyWithWhatTheHostDemands(t *testing.T) {
	f := newFleet(t)
	builder, one, two, lab := newKey(t), newKey(t), newKey(t), newKey(t)
	wanted := demands.Demands{
		Provenance: []demands.Builder{{ID: ci, Key: builder.Public()}},
		Rebuilds:   &demands.Rebuilds{Keys: publics(one, two), Threshold: 2},
		Rehearsal:  &demands.Rehearsal{Keys: publics(lab), FromRunning: true},
	}
	u := f.demand(t, wanted)
	before := f.host.Bootable(t)
	reasons := []string{
		"no provenance says that " + ci + " built it", "0 of 2 independent rebuilds attest its root hash", "no rehearsal of it is attested",
	}
	refused := func() {
		t.Helper()
		for _, options := range []updater.UpdateOptions{{}, {Stage: true}, {Now: true, RetryBlocked: true}} {
			_, err := u.Update(t.Context(), options)
			wantRefusal(t, err, "release 1.1.0: it lacks what this host demands: "+strings.Join(reasons, "; "))
		}
		found, err := u.Check(t.Context())
		wantRefusal(t, err, reasons[0])
		planned, err := u.Plan(t.Context())
		wantRefusal(t, err, reasons[0])
		status, err := u.Status(t.Context(), true)
		check(t, err)
		for name, got := range map[string][]string{"check": found.Missing, "plan": planned.Missing, "status": status.Available.Missing} {
			if strings.Join(got, "|") != strings.Join(reasons, "|") {
				t.Errorf("%s says %q", name, got)
			}
		}
		if found.News || found.Refused == "" || planned.Refused == "" || len(status.Problems) != 0 {
			t.Errorf("found %+v, planned %+v, problems %q", found, planned, status.Problems)
		}
	}
	refused()
	if n := f.repository.Served(manifests.ArtifactPath(f.next.Transport.Index.Digest)); n != 0 {
		t.Errorf("%d bytes of what was refused were fetched", n)
	}
	// One after the other, until nothing is missing.
	provenance := provenanceOf(t, ci, f.next)
	statements := [][]byte{sealed(t, provenance, builder)}
	f.attach(t, f.next, statements...)
	reasons = reasons[1:]
	refused()
	statements = append(statements, sealed(t, rebuilt(t, f.next), one))
	f.attach(t, f.next, statements...)
	reasons[0] = "1 of 2 independent rebuilds attest its root hash"
	refused()
	statements = append(statements, sealed(t, rebuilt(t, f.next), two))
	f.attach(t, f.next, statements...)
	reasons = reasons[1:]
	refused()
	other := testhost.NewRelease(t, testhost.Spec{Version: "0.9.0"})
	f.attach(t, f.next, append(statements, sealed(t, rehearsed(t, other, f.next), lab))...)
	reasons[0] = "it was not rehearsed from 1.0.0, which runs here"
	refused()
	if !bytes.Equal(f.host.Bootable(t), before) {
		t.Error("the host was changed")
	}
	f.attach(t, f.next, append(statements, sealed(t, rehearsed(t, f.old, f.next), lab))...)
	if done, err := u.Update(t.Context(), updater.UpdateOptions{}); err != nil || done.Result != updater.ResultArmed || done.Missing != nil {
		t.Errorf("update did %+v, %v", done, err)
	}
	f.boot(t, partitions.SlotB)
}

// withDocument publishes a release with one document more.
func (f *fleet) withDocument(t testing.TB, name string, content func(*testhost.Release) []byte) *testhost.Release {
	t.Helper()
	next := testhost.NewRelease(t, testhost.Spec{Version: "1.2.0"})
	text := content(next)
	next.Release.Artifacts = append(next.Release.Artifacts, manifests.Artifact{Name: name, Size: int64(len(text)), Digest: manifests.DigestOf(text)})
	slices.SortFunc(next.Release.Artifacts, func(a, b manifests.Artifact) int { return strings.Compare(a.Name, b.Name) })
	next.More = append(next.More, text)
	f.host.Know(next)
	f.repository.Publish(t, next)
	return next
}

func TestScanIsJudgedByTheHostsClock(t *testing.T) {
	f := newFleet(t)
	scanner := newKey(t)
	next := f.withDocument(t, manifests.SBOMFile, func(*testhost.Release) []byte { return []byte("a bill") })
	at := time.Now().UTC().Truncate(time.Second)
	statement, err := manifests.Scan{
		Scanner:  manifests.Scanner{URI: "https://scanner.example", Result: []manifests.Finding{{ID: "CVE-2026-1", Severity: []manifests.Severity{}}}},
		Metadata: manifests.ScanMetadata{Started: at, Finished: at},
	}.Statement(manifests.DigestOf(next.Text(t)), manifests.DigestOf([]byte("a bill")))
	check(t, err)
	f.attach(t, next, sealed(t, statement, scanner))
	for _, test := range []struct {
		deny  string
		later time.Duration
		want  string
	}{
		{"CVE-2026-1", 0, "release 1.2.0: it lacks what this host demands: it has CVE-2026-1"},
		{"CVE-2026-2", 0, ""},
		{"CVE-2026-2", 2 * time.Hour, "its last scan for vulnerabilities was on " + at.Format("2006-01-02 15:04 MST") + ": want one of the last 1h"},
	} {
		settings, err := updater.LoadSettings(f.host.Path("agent.yaml"))
		check(t, err)
		settings.Demands.Vulnerabilities = &demands.Vulnerabilities{Keys: publics(scanner), Deny: []string{test.deny}, MaxAge: manifests.Duration(time.Hour)}
		u, err := updater.New(updater.Config{Host: f.host.Host(), Settings: settings, Now: func() time.Time { return time.Now().Add(test.later) }})
		check(t, err)
		if found, err := u.Check(t.Context()); test.want != "" {
			wantRefusal(t, err, test.want)
		} else if err != nil || !found.News {
			t.Errorf("found %+v, %v", found, err)
		}
	}
}

func TestProvenanceThatComesWithTheReleaseCounts(t *testing.T) {
	f := newFleet(t)
	builder := newKey(t)
	f.withDocument(t, manifests.ProvenanceFile, func(r *testhost.Release) []byte { return sealed(t, provenanceOf(t, ci, r), builder) })
	for id, good := range map[string]bool{"https://other.example": false, ci: true} {
		found, err := f.demand(t, demands.Demands{Provenance: []demands.Builder{{ID: id, Key: builder.Public()}}}).Check(t.Context())
		if found.News != good || (err == nil) != good {
			t.Errorf("%s: found %+v, %v", id, found, err)
		}
	}
}

func TestWhatIsBegunIsGivenUpWhenItLacksWhatTheHostDemands(t *testing.T) {
	for name, begin := range map[string]func(*testing.T, *fleet){
		"staged": func(t *testing.T, f *fleet) { f.stage(t) },
		"armed":  func(t *testing.T, f *fleet) { f.update(t) },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFleet(t)
			begin(t, f)
			found, err := f.demand(t, demands.Demands{Rebuilds: &demands.Rebuilds{Keys: publics(newKey(t))}}).Check(t.Context())
			wantRefusal(t, err, "0 of 1 independent rebuilds")
			if len(found.Notes) == 0 || !strings.Contains(found.Notes[len(found.Notes)-1], "gave up 1.1.0: it lacks what this host demands: 0 of 1") {
				t.Errorf("notes %q", found.Notes)
			}
			wantCancelled(t, f.host)
			f.boot(t, partitions.SlotA)
		})
	}
}

// A type of attestation that there is one day must not lock out hosts of today.
func TestAttestationsOfALaterTypeHoldNobodyUp(t *testing.T) {
	f := newFleet(t)
	one := newKey(t)
	later := sealed(t, bytes.Replace(rebuilt(t, f.next), []byte("rebuild/v1"), []byte("rebuild/v2"), 1), one)
	fetched := false
	f.answer(t, func(w http.ResponseWriter) { fetched = true })
	f.attach(t, f.next, later, []byte(`{"later": null}`))
	if found, err := f.host.Updater(t, nil).Check(t.Context()); err != nil || !found.News || fetched {
		t.Errorf("a host that demands nothing found %+v, %v, and fetched them: %v", found, err, fetched)
	}
	f.repository.Intercept = nil
	u := f.demand(t, demands.Demands{Rebuilds: &demands.Rebuilds{Keys: publics(one)}})
	_, err := u.Check(t.Context())
	wantRefusal(t, err, "0 of 1 independent rebuilds")
	f.attach(t, f.next, later, []byte(`{"later": null}`), sealed(t, rebuilt(t, f.next), one))
	if found, err := u.Check(t.Context()); err != nil || !found.News {
		t.Errorf("found %+v, %v", found, err)
	}
}

// Each release on the way is one that the host would run.
func TestSteppingStonesNeedEvidenceOfTheirOwn(t *testing.T) {
	f := newFleet(t)
	one := newKey(t)
	wanted := demands.Demands{Rebuilds: &demands.Rebuilds{Keys: publics(one)}}
	second := f.more(t, "2.0.0")
	f.say(t, second, requires(t, f.next))
	const lacks = ": it lacks what this host demands: 0 of 1 independent rebuilds"
	f.attach(t, second, sealed(t, rebuilt(t, second), one))
	_, err := f.demand(t, wanted).Update(t.Context(), updater.UpdateOptions{})
	wantRefusal(t, err, "release 1.1.0"+lacks)
	f.attach(t, f.next, sealed(t, rebuilt(t, f.next), one))
	f.attach(t, second, sealed(t, rebuilt(t, f.next), one))
	if done, err := f.demand(t, wanted).Update(t.Context(), updater.UpdateOptions{}); err != nil || done.Version != "1.1.0" {
		t.Fatalf("update did %+v, %v", done, err)
	}
	f.boot(t, partitions.SlotB)
	f.judge(t)
	_, err = f.demand(t, wanted).Update(t.Context(), updater.UpdateOptions{})
	wantRefusal(t, err, "release 2.0.0"+lacks)
	f.boot(t, partitions.SlotB)
}

// What was given up because it lacks something comes back by no other command.
func TestWhatLacksEvidenceIsNotBroughtBackByRepair(t *testing.T) {
	f := newFleet(t)
	f.stage(t)
	u := f.demand(t, demands.Demands{Rebuilds: &demands.Rebuilds{Keys: publics(newKey(t))}})
	_, err := u.Check(t.Context())
	wantRefusal(t, err, "0 of 1 independent rebuilds")
	_, err = u.Repair(t.Context(), updater.RepairOptions{})
	wantRefusal(t, err, "nothing says what slot b held")
	_, err = u.Rollback(t.Context())
	wantRefusal(t, err, "slot b holds nothing to go back to")
	wantCancelled(t, f.host)
	f.boot(t, partitions.SlotA)
}

// A release that runs already is not judged anew: it would lead nowhere.
func TestWhatRunsNeedsNoEvidence(t *testing.T) {
	f := newFleet(t)
	f.repository.Publish(t, f.old)
	done, err := f.demand(t, demands.Demands{Rebuilds: &demands.Rebuilds{Keys: publics(newKey(t))}}).Update(t.Context(), updater.UpdateOptions{})
	if err != nil || done.Result != updater.ResultUpToDate {
		t.Errorf("update did %+v, %v", done, err)
	}
}

func TestEvidenceIsBoundedAndMustBeWhatWasSigned(t *testing.T) {
	one := newKey(t)
	for name, test := range map[string]struct {
		spoil func(*testing.T, *fleet)
		want  string
	}{
		"10,000 attestations": {func(t *testing.T, f *fleet) {
			f.attach(t, f.next, bytes.Split(bytes.Repeat([]byte("{}\n"), 10_000), []byte("\n"))...)
		}, "release 1.1.0: more than 64 attestations"},
		"more than a mebibyte": {func(t *testing.T, f *fleet) {
			f.attach(t, f.next, make([]byte, manifests.AttestationsSizeMost))
		}, "release 1.1.0: attestations of 1048577 bytes: want at most 1048576"},
		"an endless file": {func(t *testing.T, f *fleet) {
			f.answer(t, func(w http.ResponseWriter) {
				for line := bytes.Repeat([]byte("{}\n"), 1000); ; {
					if _, err := w.Write(line); err != nil {
						return
					}
				}
			})
		}, "intoto.jsonl"},
		"a file that is held back": {func(t *testing.T, f *fleet) {
			f.answer(t, func(w http.ResponseWriter) { w.WriteHeader(http.StatusNotFound) })
		}, "404"},
		"a file that was changed": {func(t *testing.T, f *fleet) {
			f.answer(t, func(w http.ResponseWriter) { w.Write([]byte("{}")) })
		}, "intoto.jsonl"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFleet(t)
			f.attach(t, f.next, sealed(t, rebuilt(t, f.next), one))
			test.spoil(t, f)
			settings, err := updater.LoadSettings(f.host.Path("agent.yaml"))
			check(t, err)
			settings.Demands = demands.Demands{Rebuilds: &demands.Rebuilds{Keys: publics(one)}}
			u, err := updater.New(updater.Config{Host: f.host.Host(), Settings: settings, Patience: fetch.Patience{Attempts: 1}})
			check(t, err)
			if _, err := u.Update(t.Context(), updater.UpdateOptions{}); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			f.boot(t, partitions.SlotA)
		})
	}
}

// answer answers whoever asks for what is attested.
func (f *fleet) answer(t *testing.T, answer func(http.ResponseWriter)) {
	f.repository.Intercept = func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, ".release.json.intoto.jsonl") {
			return false
		}
		answer(w)
		return true
	}
}
