package bootcontrol

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/partitions/esp"
	"github.com/proa-os/proa/updater/efivars"
	"github.com/proa-os/proa/updater/hostfs"
	"github.com/proa-os/proa/updater/hostfs/powercut"
)

func TestTheBackendIsReadFromTheBootPartition(t *testing.T) {
	c, _ := newUnproven(t)
	installed := func() string {
		name, err := Installed(c.FS, c.ESP)
		if err != nil {
			return err.Error()
		}
		return name
	}
	if got := installed(); got != NameCounted {
		t.Errorf("counted: %s", got)
	}
	check(t, os.WriteFile(filepath.Join(c.ESP, esp.LoaderConfPath), esp.LoaderConf(partitions.SlotB), 0o600))
	if got := installed(); got != NameOneShot {
		t.Errorf("oneshot: %s", got)
	}
	for text, want := range map[string]string{
		"grub\n": "grub", " uboot": "uboot", "lilo": "want one of", "": "want one of", "grub\nuboot\n": "want one of", strings.Repeat("grub", 99): "more than 64 bytes",
	} {
		check(t, os.WriteFile(filepath.Join(c.ESP, ChoicePath), []byte(text), 0o600))
		if got := installed(); !strings.Contains(got, want) {
			t.Errorf("%q: %s", text, got)
		}
	}
}

func TestAConfiguredBackendIsNotAWish(t *testing.T) {
	for configured, want := range map[string]string{"": "counted", "auto": "counted", "counted": "counted", "oneshot": "", "grub": ""} {
		got, err := Choose(configured, NameCounted)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", configured, got, err)
		}
	}
}

// Wherever a conversion is cut, the committed slot leads, and running it again
// ends it.
func TestAConversionMayBeCutAnywhere(t *testing.T) {
	for _, to := range []string{NameCounted, NameOneShot} {
		for n := 0; ; n++ {
			cut := true
			for _, loss := range []powercut.Loss{powercut.Nothing, powercut.Everything, powercut.Part} {
				cut = convertCut(t, to, n, loss) && cut
			}
			if !cut {
				break
			}
		}
	}
}

// convertCut reports whether there was an operation n to cut.
func convertCut(t *testing.T, to string, n int, loss powercut.Loss) bool {
	t.Helper()
	c, l := newCounted(t)
	vars := filepath.Join(filepath.Dir(c.ESP), "vars")
	check(t, os.Mkdir(vars, 0o700))
	store := func(fs hostfs.FS) efivars.Store { return efivars.New(fs, vars) }
	check(t, store(c.FS).WriteString(efivars.LoaderEntrySelected, "proa-a.efi"))
	check(t, c.conf().commit(esp.LayoutCounted, partitions.SlotB)) // whose version is the lower one
	if to == NameCounted {
		check(t, Convert(c.FS, c.ESP, store(c.FS), NameOneShot))
		check(t, os.RemoveAll(c.entries().folder())) // as the disk builder leaves it
	}
	before := t.TempDir()
	check(t, os.CopyFS(before, os.DirFS(filepath.Dir(c.ESP))))
	recorder := &powercut.Recorder{Dir: filepath.Dir(c.ESP), Before: powercut.CutAfter(n)}
	err := Convert(recorder, c.ESP, store(recorder), to)
	if err != nil && !errors.Is(err, powercut.ErrCut) {
		t.Fatal(err)
	}
	ops := recorder.Ops()
	check(t, powercut.Leave(before, ops, len(ops), loss, uint64(n)))
	l.dir = filepath.Join(before, "esp")
	l.wantBoots(t, "b", "b")
	vars = filepath.Join(before, "vars")
	check(t, Convert(hostfs.OS{}, l.dir, store(hostfs.OS{}), to))
	if name, err := Installed(hostfs.OS{}, l.dir); err != nil || name != to {
		t.Errorf("cut after %d, %s: %s, %v", n, loss, name, err)
	}
	l.wantBoots(t, "b")
	if to == NameCounted {
		counted := &Counted{FS: hostfs.OS{}, ESP: l.dir, Vars: store(hostfs.OS{}), Running: partitions.SlotB}
		check(t, counted.Arm(partitions.SlotA))
		l.wantBoots(t, "a", "b")
	}
	return err != nil
}

func TestOldEntriesDoNotComeToLifeWithAConversion(t *testing.T) {
	c, l := newUnproven(t)
	check(t, os.WriteFile(filepath.Join(c.ESP, esp.LoaderConfPath), esp.LoaderConf(partitions.SlotA), 0o600))
	check(t, c.entries().create(esp.Entry{Committed: partitions.SlotA, Left: 3}))
	check(t, Convert(c.FS, c.ESP, c.Vars, NameCounted))
	l.wantBoots(t, "a", "a")
}

func TestOnlyBackendsWithTheSameLoaderAreExchanged(t *testing.T) {
	c, _ := newCounted(t)
	for to, want := range map[string]string{NameGRUB: "another boot loader", "": "another boot loader", NameOneShot: "EFI variables"} {
		if err := Convert(c.FS, c.ESP, c.Vars, to); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("to %q: %v", to, err)
		}
	}
	check(t, os.WriteFile(filepath.Join(c.ESP, ChoicePath), []byte("grub\n"), 0o600))
	if err := Convert(c.FS, c.ESP, c.Vars, NameCounted); err == nil || !strings.Contains(err.Error(), "installed with grub") {
		t.Errorf("from grub: %v", err)
	}
}

// newProbe is a probe on a machine with variables.
func newProbe(t *testing.T) (Probe, string) {
	t.Helper()
	dir := t.TempDir()
	vars := filepath.Join(dir, "vars")
	check(t, os.Mkdir(vars, 0o700))
	p := Probe{FS: hostfs.OS{}, Vars: efivars.New(hostfs.OS{}, vars), Path: filepath.Join(dir, "state", "probe.json"), BootID: "boot 1", Now: time.Unix(1e9, 0).UTC()}
	check(t, p.Vars.WriteString(efivars.LoaderEntrySelected, "proa-a.efi"))
	return p, vars
}

func wantOutcome(t *testing.T, p Probe, want Outcome) Finding {
	t.Helper()
	f, err := p.Run()
	check(t, err)
	if f.Outcome != want {
		t.Fatalf("%s: %+v, want %s", p.BootID, f, want)
	}
	if last, ok, err := p.Last(); err != nil || !ok || last != f {
		t.Fatalf("kept as %+v, %v", last, err)
	}
	return f
}

func TestAVariableThatIsThereAfterAResetWasKept(t *testing.T) {
	p, _ := newProbe(t)
	wantOutcome(t, p, Pending)
	wantOutcome(t, p, Pending) // nothing is known before a reset
	p.BootID = "boot 2"
	wantOutcome(t, p, Kept)
	if _, err := p.Vars.Read(probeVariable); err == nil {
		t.Error("the variable is left behind")
	}
	wantOutcome(t, p, Pending) // another probe
}

func TestAVariableThatIsGoneOrOldWasLost(t *testing.T) {
	for name, lose := range map[string]func(p Probe) error{
		"gone": func(p Probe) error { return p.Vars.Delete(probeVariable) },
		"old": func(p Probe) error {
			return p.Vars.Write(probeVariable, efivars.Variable{Attributes: efivars.Persistent, Data: []byte("boot 0")})
		},
	} {
		p, _ := newProbe(t)
		wantOutcome(t, p, Pending)
		check(t, lose(p))
		p.BootID = "boot 2"
		if wantOutcome(t, p, Lost); t.Failed() {
			t.Log(name)
		}
	}
}

// refusing is a firmware that takes no variable.
type refusing struct {
	hostfs.OS
	err error
}

func (r refusing) WriteVariable(string, []byte) error { return r.err }

func TestAbsentReadOnlyAndFullVariablesAreToldApart(t *testing.T) {
	for want, err := range map[string]error{
		"read-only": &os.PathError{Op: "open", Path: "x", Err: syscall.EROFS}, "store is full": syscall.ENOSPC,
	} {
		p, vars := newProbe(t)
		p.Vars = efivars.New(refusing{err: err}, vars)
		if f := wantOutcome(t, p, Unusable); !strings.Contains(f.Reason, want) {
			t.Errorf("%v: %+v", err, f)
		}
	}
	p, vars := newProbe(t)
	check(t, os.RemoveAll(vars))
	if f := wantOutcome(t, p, Unusable); !strings.Contains(f.Reason, "no variables") {
		t.Errorf("absent: %+v", f)
	}
}

func TestADamagedFindingIsReplaced(t *testing.T) {
	p, _ := newProbe(t)
	check(t, os.MkdirAll(filepath.Dir(p.Path), 0o755))
	check(t, os.WriteFile(p.Path, []byte("{"), 0o600))
	if _, _, err := p.Last(); err == nil {
		t.Error("damage is not named")
	}
	wantOutcome(t, p, Pending)
}

func FuzzParseChoice(f *testing.F) {
	f.Add([]byte("grub\n"))
	f.Add([]byte("counted\x00"))
	f.Fuzz(func(t *testing.T, content []byte) {
		name, err := parseChoice(content)
		if err == nil && strings.TrimSpace(string(content)) != name {
			t.Fatalf("%q taken for %s", content, name)
		}
	})
}
