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
			before := slotsOf(t, f.host)
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
			if test.early && !bytes.Equal(slotsOf(t, f.host), before) {
				t.Error("the host was changed")
			}
		})
	}
}

func TestStatusTellsWhetherVarIsOpenOrLost(t *testing.T) {
	f := newFleet(t)
	name := f.host.Path("run/boot.json")
	text, err := os.ReadFile(name)
	check(t, err)
	var note map[string]any
	check(t, json.Unmarshal(text, &note))
	note["varFault"], note["varSealed"] = "opening /dev/vda7: the TPM does not give out its key", true
	text, err = json.Marshal(note)
	check(t, err)
	check(t, os.WriteFile(name, text, 0o600))
	status, err := f.host.Updater(t, nil).Status(context.Background(), false)
	check(t, err)
	if !status.VarSealed {
		t.Error("that /var is encrypted is not told")
	}
	if !strings.Contains(strings.Join(status.Problems, "\n"), "changes to /var and /etc are lost at the next boot: opening /dev/vda7") {
		t.Errorf("problems: %q", status.Problems)
	}
}
