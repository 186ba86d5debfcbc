package builder

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/proa-os/proa/builder/openpgp"
	"github.com/proa-os/proa/builder/resolve/resolvetest"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/progress"
	"github.com/proa-os/proa/signing"
)

// TestAPackageIsVerifiedByTheKeysOfItsRepository has a repository that does not
// sign its index, with a package that another repository has signed.
func TestAPackageIsVerifiedByTheKeysOfItsRepository(t *testing.T) {
	w := resolvetest.Open(t)
	w.AddRPM(t, resolvetest.Package{Name: "gear", Version: "1"})
	other := filepath.Join(w.Dir, "other")
	w.RPMFile(t, other, resolvetest.Package{Name: "spare", Version: "1"})
	if out, err := exec.Command("createrepo_c", "--quiet", other).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	folder := t.TempDir()
	build := func(key string) error {
		c := config(t, fmt.Sprintf("  - rpm: {repositories: [{url: %s/rpm/, gpgkey: [%s]}, {url: %s/other, gpgkey: [%s], unsignedMetadata: true}], packages: [gear, spare]}\n", w.URL, w.Key, w.URL, key))
		c.Recipe.Sources = c.Recipe.Sources[1:]
		_, err := Build(t.Context(), locked(t, c, folder))
		return err
	}
	if err := build(w.Key); err == nil || !strings.Contains(err.Error(), "kernel") {
		t.Fatalf("with the right key: %v", err)
	}
	// The cache has it unpacked by now.
	if err := build(w.Stranger); !errors.Is(err, openpgp.ErrUnknownKey) || !strings.Contains(err.Error(), "package spare") {
		t.Errorf("by the key of the other repository: %v", err)
	}
}

func TestALockedArchiveThatBecameAPipeIsRefused(t *testing.T) {
	c := config(t, "")
	c.Recipe.Sources[0].Tar = copyOf(t, c.Recipe.Sources[0].Tar)
	c = locked(t, c, t.TempDir())
	path := c.Recipe.Sources[0].Tar
	if err := errors.Join(os.Remove(path), syscall.Mkfifo(path, 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := Build(t.Context(), c); !errors.Is(err, ErrChanged) {
		t.Errorf("got %v: want %v", err, ErrChanged)
	}
}

func copyOf(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	to := filepath.Join(t.TempDir(), "root.tar")
	if err := errors.Join(err, os.WriteFile(to, data, 0o600)); err != nil {
		t.Fatal(err)
	}
	return to
}

// during calls a function when a step begins.
type during struct {
	progress.Reporter
	step string
	call func()
}

func (d during) Step(name string, total int64) progress.Step {
	if name == d.step {
		d.call()
	}
	return d.Reporter.Step(name, total)
}

func TestAnArchiveThatIsWrittenToMeanwhileIsFoundOut(t *testing.T) {
	c := config(t, "")
	path := copyOf(t, c.Recipe.Sources[0].Tar)
	c.Recipe.Sources[0].Tar = path
	times := 0
	c.Progress = during{progress.Silent(), "write bill of materials", func() { times++ }}
	mustBuild(t, c)
	if times != 1 {
		t.Fatalf("%d such steps", times)
	}
	c.Output += "-2"
	c.Progress = during{progress.Silent(), "hash root image", func() { os.Chtimes(path, time.Time{}, time.Unix(1, 0)) }}
	if _, err := Build(t.Context(), c); err == nil || !strings.Contains(err.Error(), path+" was changed while it was read") {
		t.Errorf("got %v", err)
	}
}

func TestSignaturesOfTheProvenanceAreNoDifference(t *testing.T) {
	c := config(t, "")
	path := filepath.Join(t.TempDir(), "build.pem")
	if _, err := signing.CreateKeyFile(path); err != nil {
		t.Fatal(err)
	}
	key, err := signing.ReadKeyFile(path)
	if err != nil {
		t.Fatal(err)
	}
	c.Keys = []signing.PrivateKey{key}
	mustBuild(t, c)
	c.Keys = nil
	check, err := Rebuild(t.Context(), c, mustRelease(t, c.Output), c.Output)
	if err != nil || !check.Same || !check.Signatures || len(check.Artifacts) != 0 {
		t.Errorf("%+v, %v", check, err)
	}
	c.Builder = "https://builder.test"
	check, err = Rebuild(t.Context(), c, mustRelease(t, c.Output), c.Output)
	if err != nil || check.Same || check.Signatures || fmt.Sprint(check.Artifacts) != "["+manifests.ProvenanceFile+"]" {
		t.Errorf("by another builder: %+v, %v", check, err)
	}
}
