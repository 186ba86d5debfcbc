package rpmrepository

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestVersionsOfDebianBecomeVersionsOfRPM(t *testing.T) {
	t.Parallel()
	for debian, want := range map[string][2]string{
		"1.47.0-2+b2": {"1.47.0", "2+b2"}, "1:1.35.0-4+deb12u1+b1": {"1.35.0", "4+deb12u1+b1"}, "3.6.1": {"3.6.1", "1"},
		"2.0-rc1-3": {"2.0.rc1", "3"}, "252.39-1~deb12u2": {"252.39", "1~deb12u2"},
	} {
		if v, r := version(debian); v != want[0] || r != want[1] {
			t.Errorf("%s: %s-%s, want %s-%s", debian, v, r, want[0], want[1])
		}
	}
}

func TestARepositoryThatIsThereIsNotMadeAgain(t *testing.T) {
	t.Parallel()
	config := Config{Debian: "no-such.tar", Appliance: filepath.Join(t.TempDir(), "appliance.tar"), Dir: t.TempDir()}
	if err := os.WriteFile(config.Appliance, []byte("not an archive"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Make(t.Context(), config); err == nil || !strings.Contains(err.Error(), "no-such.tar") {
		t.Errorf("%v: want an error that names the archive", err)
	}
	if left, err := os.ReadDir(config.Dir); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v: want nothing", left, err)
	}
	name, err := config.name()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(config.Dir, name), 0o755); err != nil {
		t.Fatal(err)
	}
	if path, err := Make(t.Context(), config); err != nil || path != filepath.Join(config.Dir, name) {
		t.Errorf("got %q, %v: want %q", path, err, name)
	}
}
