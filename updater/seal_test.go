package updater_test

import (
	"bytes"
	"context"
	"crypto/rsa"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/proa-os/proa/builder/uki"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/partitions/cmdline"
	"github.com/proa-os/proa/partitions/luks/lukstest"
	"github.com/proa-os/proa/partitions/pcrpolicy"
	"github.com/proa-os/proa/partitions/ukifile"
	"github.com/proa-os/proa/updater"
	"github.com/proa-os/proa/updater/testhost"
)

// sealing is how the kernel image of a release is made.
type sealing struct {
	line string // the end of its command line
	key  *rsa.PrivateKey
	// then changes the image after it was signed.
	then func([]byte) []byte
}

// release makes a release with a kernel image of systemd's stub.
func (s sealing) release(t *testing.T, version string) *testhost.Release {
	t.Helper()
	r := testhost.NewRelease(t, testhost.Spec{Version: manifests.Version(version)})
	stub, err := os.ReadFile("/usr/lib/systemd/boot/efi/linuxx64.efi.stub")
	check(t, err)
	config := uki.Config{
		Stub: stub, Kernel: stub, Initrd: []byte("initrd"), OSRelease: []byte("ID=test\n"), Uname: "6.1",
		CommandLine: cmdline.Boot{Root: r.Root}.String() + s.line,
	}
	image, err := uki.Assemble(config)
	check(t, err)
	if s.key != nil {
		measured, err := ukifile.Measurement(bytes.NewReader(image), int64(len(image)))
		check(t, err)
		config.PCRSignature, err = pcrpolicy.Sign(s.key, measured)
		check(t, err)
		image, err = uki.Assemble(config)
		check(t, err)
	}
	if s.then != nil {
		image = s.then(image)
	}
	r.UseUKI(t, image)
	return r
}

// TestAReleaseThatWouldNotOpenVarIsNotArmed publishes releases to machines with
// and without an encrypted /var.
func TestAReleaseThatWouldNotOpenVarIsNotArmed(t *testing.T) {
	const word = " proa.var=tpm2 quiet"
	key, public := lukstest.NewKey(t)
	other, _ := lukstest.NewKey(t)
	volume := lukstest.New(t)
	unsealed := volume.Content()
	volume.SealTo(public)
	sealed := volume.Content()
	damaged := bytes.Clone(sealed)
	damaged[5000] ^= 1
	damaged[16<<10+5000] ^= 1
	after := func(old, new string) func([]byte) []byte {
		return func(image []byte) []byte { return bytes.Replace(image, []byte(old), []byte(new), 1) }
	}
	for name, test := range map[string]struct {
		disk []byte // var
		sealing
		want    string // of the refusal; "" for none
		early   bool   // before the other slot is given up
		failure string // of another error
	}{
		"signed":               {disk: sealed, sealing: sealing{word, key, nil}},
		"plain":                {disk: make([]byte, 1<<20), sealing: sealing{"", nil, nil}},
		"unsigned":             {disk: sealed, sealing: sealing{word, nil, nil}, want: "it would not open this machine's /var: the kernel image has no signed PCR policy", early: true},
		"another key":          {disk: sealed, sealing: sealing{word, other, nil}, want: "signed no policy", early: true},
		"changed":              {disk: sealed, sealing: sealing{word, key, after("quiet", "debug")}, want: "signed no policy"},
		"no longer encrypted":  {disk: sealed, sealing: sealing{"", key, nil}, want: "brings nothing to open it with", early: true},
		"encrypted from now":   {disk: make([]byte, 1<<20), sealing: sealing{word, key, nil}, want: "this machine's is not", early: true},
		"by hand alone":        {disk: unsealed, sealing: sealing{word, key, nil}},
		"a header with faults": {disk: damaged, sealing: sealing{word, key, nil}, failure: "does not have its checksum"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFleet(t)
			f.host.AddVar(t, test.disk)
			f.repository.Publish(t, test.release(t, "2"))
			before := f.host.Bootable(t)
			done, err := f.host.Updater(t, nil).Update(context.Background(), updater.UpdateOptions{})
			switch {
			case test.failure != "":
				if err == nil || !strings.Contains(err.Error(), test.failure) {
					t.Errorf("error %v: want one with %q", err, test.failure)
				}
			case test.want != "":
				wantRefusal(t, err, test.want)
			default:
				check(t, err)
			}
			names, err := filepath.Glob(f.host.Path("efivars/LoaderEntryOneShot*"))
			check(t, err)
			if armed := len(names) > 0; armed != (test.want == "" && test.failure == "") {
				t.Errorf("armed: %v; %+v", armed, done)
			}
			if test.early && !bytes.Equal(f.host.Bootable(t), before) {
				t.Error("the host was changed")
			}
		})
	}
}

// TestAReleaseThatWouldNotOpenVarIsNotGoneBackTo is a machine that was encrypted
// after its first release.
func TestAReleaseThatWouldNotOpenVarIsNotGoneBackTo(t *testing.T) {
	key, public := lukstest.NewKey(t)
	volume := lukstest.New(t)
	byHand := volume.Content()
	volume.SealTo(public)
	second := sealing{" proa.var=tpm2", key, nil}.release(t, "2")
	third := sealing{" proa.var=tpm2", key, nil}.release(t, "3")
	start := func(t *testing.T, disk []byte) *fleet {
		f := newFleet(t)
		f.host.AddVar(t, disk)
		f.host.Know(second, third)
		f.repository.Publish(t, second)
		f.update(t)
		f.boot(t, partitions.SlotB)
		f.judge(t)
		return f
	}
	fromThirdToSecond := func(t *testing.T, f *fleet) {
		t.Helper()
		f.repository.Publish(t, third)
		f.update(t)
		f.boot(t, partitions.SlotA)
		f.judge(t)
		if v, err := f.host.Updater(t, nil).Rollback(t.Context()); err != nil || v.Outcome != updater.ResultArmed {
			t.Errorf("to a release that opens it: %+v, %v", v, err)
		}
	}
	t.Run("by hand", func(t *testing.T) {
		f := start(t, volume.Content())
		_, err := f.host.Updater(t, nil).Rollback(t.Context())
		wantRefusal(t, err, "this machine's /var is encrypted, and its kernel image brings nothing to open it with")
		fromThirdToSecond(t, f)
	})
	t.Run("watched", func(t *testing.T) {
		f := start(t, volume.Content())
		f.host.AddHealthCheck(t, "10-later", "exit 1")
		v, err := f.host.Updater(t, nil).Watch(t.Context())
		if check(t, err); !strings.Contains(v.Reason, "it stays, since") || !strings.Contains(v.Reason, "/var is encrypted") {
			t.Errorf("verdict %+v", v)
		}
		f.boot(t, partitions.SlotB)
	})
	t.Run("no TPM opens it", func(t *testing.T) { fromThirdToSecond(t, start(t, byHand)) })
}

func TestATrialWithoutVarGoesBackUnlessVarWasLostBefore(t *testing.T) {
	for name, test := range map[string]struct{ before, after, back bool }{
		"there":             {},
		"lost by the trial": {after: true, back: true},
		"lost before":       {before: true, after: true},
		"found":             {before: true},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFleet(t)
			try := func(slot partitions.Slot) (went bool) {
				t.Helper()
				f.boot(t, slot)
				if test.after {
					loseVar(t, f.host)
				}
				v := f.judge(t)
				if went = v.Outcome == "went back"; went && v.Reason != "health check /var: it is in memory: opening /dev/vda7: no" {
					t.Errorf("verdict %+v", v)
				}
				return went
			}
			lose := func() {
				if test.before {
					loseVar(t, f.host)
				}
			}
			lose()
			f.update(t)
			if back := try(partitions.SlotB); back != test.back {
				t.Fatalf("the trial went back: %t, want %t", back, test.back)
			} else if back {
				return
			}
			// A way back is a trial, too.
			f.boot(t, partitions.SlotB)
			lose()
			if _, err := f.host.Updater(t, nil).Rollback(t.Context()); err != nil {
				t.Fatal(err)
			}
			if try(partitions.SlotA) {
				t.Error("the way back went back")
			}
		})
	}
}

// loseVar notes what proa-init notes of a boot whose /var is in memory.
func loseVar(t *testing.T, h *testhost.Host) {
	t.Helper()
	name := h.Path("run/boot.json")
	text, err := os.ReadFile(name)
	check(t, err)
	var note map[string]any
	check(t, json.Unmarshal(text, &note))
	note["varFault"], note["varSealed"] = "opening /dev/vda7: no", true
	text, err = json.Marshal(note)
	check(t, err)
	check(t, os.WriteFile(name, text, 0o600))
}

func TestStatusTellsWhetherVarIsOpenOrLost(t *testing.T) {
	f := newFleet(t)
	loseVar(t, f.host)
	status, err := f.host.Updater(t, nil).Status(context.Background(), false)
	check(t, err)
	if !status.VarSealed {
		t.Error("that /var is encrypted is not told")
	}
	if !strings.Contains(strings.Join(status.Problems, "\n"), "changes to /var and /etc are lost at the next boot: opening /dev/vda7") {
		t.Errorf("problems: %q", status.Problems)
	}
}
