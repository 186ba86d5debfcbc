package packaging

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

var programs = []string{"proa", "proa-agent", "proa-init"}

// TestTwoCheckoutsOfACommitGiveTheSamePrograms builds as somebody does who wants
// to know whether a published program is what its commit says.
func TestTwoCheckoutsOfACommitGiveTheSamePrograms(t *testing.T) {
	here, there := compileCheckout(t, "a"), compileCheckout(t, "another/place")
	for _, name := range programs {
		one, other := readFile(t, filepath.Join(here, name)), readFile(t, filepath.Join(there, name))
		if !bytes.Equal(one, other) {
			t.Errorf("%s: two checkouts of one commit gave %d and %d bytes that differ", name, len(one), len(other))
		}
	}

	said := command(t, "", filepath.Join(here, "proa"), "version")
	commit := bytes.TrimSpace(command(t, "..", "git", "rev-parse", "HEAD"))
	if !bytes.Contains(said, append([]byte("\ncommit    "), commit...)) || bytes.Contains(said, []byte("with changes")) {
		t.Errorf("built from %s, 'proa version' says:\n%s", commit, said)
	}
}

// compileCheckout makes a checkout of the newest commit below a new folder, and
// returns where its programs are.
func compileCheckout(t *testing.T, name string) string {
	t.Helper()
	checkout := filepath.Join(t.TempDir(), name)
	command(t, "", "git", "clone", "--quiet", "--shared", absolute(t, ".."), checkout)
	out := t.TempDir()
	command(t, checkout, filepath.Join(checkout, "testdata", "compile"), out, "cmd/proa", "cmd/proa-agent", "cmd/proa-init")
	return out
}

// command runs a program in a folder and returns what it prints.
func command(t *testing.T, folder, program string, args ...string) []byte {
	t.Helper()
	var errors bytes.Buffer
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir, cmd.Stderr = folder, &errors
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, errors.Bytes())
	}
	return out
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func absolute(t *testing.T, path string) string {
	t.Helper()
	path, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return path
}
