package e2e

import (
	"context"
	"encoding/json"
	"errors"
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
