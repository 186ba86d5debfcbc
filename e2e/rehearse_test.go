package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const rehearsedFrom = "1.20.0"

// rehearsalReport is what the tests look at in the output of proa rehearse --json.
type rehearsalReport struct {
	Pairs []struct {
		From   string
		Scenes []struct {
			Name, Outcome, Reason, Picture, Console string
			Boots                                   []struct {
				Log, Ended      string
				Memory, Fetched int64
			}
		}
	}
}

// rehearse runs proa rehearse, and gives what it reports and what it did to the exit
// code.
func rehearse(t *testing.T, to string, args ...string) (report rehearsalReport, code int) {
	t.Helper()
	shared.release(t, rehearsedFrom)
	shared.release(t, to)
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	args = append([]string{"rehearse", "--repo", "repo", "--from", rehearsedFrom, "--to", to,
		"--accel", "tcg", "--memory", "256MiB", "--disk", "1GiB", "--json"}, args...)
	cmd := exec.CommandContext(ctx, shared.path("bin", "proa"), args...)
	cmd.Dir = shared.dir
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	t.Logf("%s", said.String())
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out, &report); err != nil || len(report.Pairs) != 1 {
		t.Fatalf("report: %v: %s", err, out)
	}
	return report, cmd.ProcessState.ExitCode()
}

func TestARehearsalThatPassesLetsAChannelMove(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	attestation, key := filepath.Join(dir, "rehearsal.json"), filepath.Join(dir, "rehearsal.pem")
	if err := shared.proaRun(t.Context(), "key", "new", "-o", key); err != nil {
		t.Fatal(err)
	}
	report, code := rehearse(t, "1.21.0", "-o", filepath.Join(dir, "logs"), "--check", "image=test -e /usr/lib/proa/image.json",
		"--attest", attestation, "--key", key)
	var names []string
	for _, s := range report.Pairs[0].Scenes {
		names = append(names, s.Name)
		if s.Outcome != "passed" {
			t.Errorf("%s: %s: %s\n%s", s.Name, s.Outcome, s.Reason, s.Console)
		}
		for _, b := range s.Boots {
			if b.Memory < 128<<20 {
				t.Errorf("%s: QEMU had %d bytes", b.Log, b.Memory)
			}
		}
	}
	if want := []string{"power cut in the download", "power cut right after arming", "update", "power cut in the trial", "failing health check"}; !slices.Equal(names, want) {
		t.Errorf("scenes %q, want %q", names, want)
	}
	if code != 0 || t.Failed() {
		t.Fatalf("exit code %d", code)
	}
	// What the first boot had fetched, the second did not fetch again.
	if boots := report.Pairs[0].Scenes[0].Boots; len(boots) != 2 || boots[0].Ended != "power-cut" || boots[0].Fetched == 0 || boots[1].Fetched == 0 {
		t.Errorf("the download came in %+v", boots)
	}
	promote := []string{"repo", "promote", "1.21.0", "--repo", "repo", "--keys", "keys", "--to", "rehearsed-from", "--require", "rehearsed",
		"--rehearsal", attestation, "--rehearsal-key", strings.TrimSuffix(key, ".pem") + ".pub"}
	if err := shared.proaRun(t.Context(), promote...); err != nil {
		t.Error(err)
	}
}

func TestARehearsalTellsWhatIsWrongWithARelease(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := shared.proaRun(t.Context(), "key", "new", "-o", at("rehearsal.pem")); err != nil {
		t.Fatal(err)
	}
	report, code := rehearse(t, "1.22.0", "-o", at("logs"), "--junit", at("junit.xml"), "--attest", at("rehearsal.json"), "--key", at("rehearsal.pem"))
	if code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	// The machines come through what is done to them; the release does not lead.
	const reason = "1.22.0 went back: health check 20-gateway: gateway: no answer"
	for _, s := range report.Pairs[0].Scenes {
		want := "passed"
		if s.Name == "update" {
			want = "failed"
			if !strings.Contains(s.Reason, reason) || !strings.Contains(s.Console, "20-gateway: failed") {
				t.Errorf("%s: %s\n%s", s.Name, s.Reason, s.Console)
			}
			if shows, err := os.ReadFile(at("logs/" + s.Picture)); err != nil || !bytes.HasPrefix(shows, []byte("\x89PNG")) {
				t.Errorf("picture %q: %v", s.Picture, err)
			}
		}
		if s.Outcome != want {
			t.Errorf("%s: %s, want %s: %s\n%s", s.Name, s.Outcome, want, s.Reason, s.Console)
		}
		for _, b := range s.Boots {
			if log, err := os.ReadFile(at("logs/" + b.Log)); err != nil || len(log) == 0 {
				t.Errorf("log of a boot: %d bytes, %v", len(log), err)
			}
		}
	}
	if junit, err := os.ReadFile(at("junit.xml")); err != nil || !strings.Contains(string(junit), `failures="1"`) || !strings.Contains(string(junit), reason) {
		t.Errorf("JUnit: %v\n%s", err, junit)
	}
	if _, err := os.Stat(at("rehearsal.json")); err == nil {
		t.Error("what failed is attested")
	}
	if left, err := filepath.Glob(at("logs/.*")); err != nil || len(left) > 0 {
		t.Errorf("left over: %q, %v", left, err)
	}
	err := shared.proaRun(t.Context(), "repo", "promote", "1.22.0", "--repo", "repo", "--keys", "keys", "--to", "rehearsed-from",
		"--require", "rehearsed", "--rehearsal-key", at("rehearsal.pub"))
	if err == nil || !strings.Contains(err.Error(), "no rehearsal of appliance 1.22.0") {
		t.Errorf("promoting it: %v", err)
	}
}
