package debian

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestARootThatIsThereIsNotMadeAgain(t *testing.T) {
	t.Parallel()
	// An unknown suite could not be made.
	config := Config{Suite: "no-such-suite", Packages: []string{}, Dir: t.TempDir()}
	path := filepath.Join(config.Dir, config.name())
	if err := os.WriteFile(path, []byte("root"), 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := Root(t.Context(), config)
	if err != nil || got != path {
		t.Errorf("got %q, %v: want %q", got, err, path)
	}
}

func TestAFailedRootLeavesNoArchiveAndShowsWhatWasSaid(t *testing.T) {
	t.Parallel()
	config := Config{Suite: "no such suite", Packages: []string{}, Dir: t.TempDir()}
	_, err := Root(t.Context(), config)
	if err == nil || !strings.Contains(err.Error(), "E: ") {
		t.Errorf("got %v, want an error with mmdebstrap's message", err)
	}
	left, globErr := filepath.Glob(filepath.Join(config.Dir, "*.tar*"))
	if globErr != nil || len(left) != 1 || !strings.HasSuffix(left[0], ".lock") {
		t.Errorf("left %q, %v: want the lock alone", left, globErr)
	}
}

func TestOtherPackagesAreAnotherRoot(t *testing.T) {
	t.Parallel()
	a, b := Config{Suite: "s", Packages: []string{"x"}}, Config{Suite: "s", Packages: []string{"y"}}
	if a.name() == b.name() {
		t.Errorf("both are %s", a.name())
	}
}
