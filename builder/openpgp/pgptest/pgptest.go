// Package pgptest signs with GnuPG, for tests. Each test has a home of its own;
// nobody's own keys are touched.
package pgptest

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Home makes a folder for gpg's keys, for the time of the test.
func Home(t testing.TB) string {
	t.Helper()
	home, err := os.MkdirTemp("", "gpg") // the path of gpg's socket must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		End(home)
		os.RemoveAll(home)
	})
	return home
}

// End ends what gpg has left running for a home.
func End(home string) { _ = exec.Command("gpgconf", "--homedir", home, "--kill", "all").Run() }

// Command is a command line of gpg that asks nothing.
func Command(home string, args ...string) []string {
	return append([]string{
		"gpg", "--homedir", home, "--batch", "--quiet", "--no-tty", "--yes", "--pinentry-mode", "loopback", "--passphrase", "",
	}, args...)
}

// Run runs gpg, and returns what it printed.
func Run(t testing.TB, home, stdin string, args ...string) []byte {
	t.Helper()
	line := Command(home, args...)
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Stdin = strings.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("gpg %v: %v\n%s", args, err, stderr.Bytes())
	}
	return out
}
